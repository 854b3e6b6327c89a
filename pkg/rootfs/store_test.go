package rootfs_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// kept is a store that is a buffer.
type kept struct {
	bytes.Buffer
	sealed, closed bool
	err            error // of Seal
}

func (k *kept) Add(f spool.File, content io.Reader) (int64, error) {
	off := int64(k.Len())
	_, err := io.CopyN(k, content, f.Size)
	return off, err
}
func (k *kept) Seal() error { k.sealed = true; return k.err }
func (k *kept) Open(bool) rootfs.Reader {
	return struct {
		io.ReaderAt
		io.Closer
	}{bytes.NewReader(k.Bytes()), io.NopCloser(nil)}
}
func (k *kept) Close() error { k.closed = true; return nil }

// TestStore keeps contents elsewhere than in spools.
func TestStore(t *testing.T) {
	layers := []rootfs.Layer{
		imagetest.Files(imagetest.File("a", "a"), imagetest.File("b", "below")).Blob(t),
		imagetest.Files(imagetest.File("b", "above"), imagetest.File("c", ""), imagetest.Link("d", "a")).Blob(t),
	}
	var stores []*kept
	var failing error
	opt := rootfs.Options{Store: func() (rootfs.Store, error) {
		stores = append(stores, &kept{err: failing})
		return stores[len(stores)-1], nil
	}}
	tree, err := rootfs.Read(t.Context(), layers[:1], opt)
	if err != nil {
		t.Fatal(err)
	}
	tree.Close()
	failing = errors.New("no room")
	if _, err := rootfs.Read(t.Context(), layers[:1], opt); !errors.Is(err, failing) ||
		!strings.Contains(err.Error(), "layer ") {
		t.Errorf("where the store fails the error is %v", err)
	}
	for i, s := range stores {
		if !s.sealed || !s.closed || s.String() != "abelow" {
			t.Errorf("store %d: %+v", i, s)
		}
	}
	no := rootfs.Options{Store: func() (rootfs.Store, error) { return nil, failing }}
	if _, err := rootfs.Read(t.Context(), layers[:1], no); !errors.Is(err, failing) {
		t.Errorf("without a store the error is %v", err)
	}

	ready := make(chan rootfs.Store, 2) // layers are read in parallel
	ready <- new(kept)
	ready <- new(kept)
	opt.Store = func() (rootfs.Store, error) { return <-ready, nil }
	tree, err = rootfs.Read(t.Context(), layers, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	got := map[string]string{}
	err = tree.Walk(t.Context(), func(n *rootfs.Node, content io.Reader) error {
		if content == nil {
			return nil
		}
		b, err := io.ReadAll(content)
		got[n.Path] = string(b)
		return err
	})
	if err != nil || got["a"] != "a" || got["b"] != "above" || got["c"] != "" {
		t.Errorf("the contents are %q, %v", got, err)
	}
	a, err := tree.Lookup("a")
	if err != nil {
		t.Fatal(err)
	}
	d, err := tree.Lookup("d")
	if err != nil || a.Identity() != d.Identity() || len(tree.Stores()) != 2 || len(tree.Spools()) != 0 {
		t.Errorf("d is %v, %v; there are %d stores and %d spools", d, err, len(tree.Stores()), len(tree.Spools()))
	}
	if s, off := tree.Stored(a); s != tree.Stores()[0] || off != 0 {
		t.Errorf("a is stored in %v at %d", s, off)
	}
	if _, ok := tree.Place(a); ok {
		t.Error("a is in a spool")
	}
	if c, err := tree.Lookup("c"); err != nil || c.Identity() == a.Identity() {
		t.Errorf("c is %v, %v", c, err)
	} else if s, _ := tree.Stored(c); s != nil {
		t.Errorf("an empty file is stored in %v", s)
	}
}
