package rootfs_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// contents returns all contents of a tree.
func contents(t *testing.T, tree *rootfs.Tree) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := tree.Walk(t.Context(), func(n *rootfs.Node, content io.Reader) error {
		if content == nil {
			return nil
		}
		b, err := io.ReadAll(content)
		all[n.Path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRestore puts contents that wait as they are, or packed, into stores, and those of stores into others.
func TestRestore(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<17)
	layers := []rootfs.Layer{
		imagetest.Files(imagetest.File("a", "a"), imagetest.File("b", "below"), imagetest.File("large", large),
			imagetest.File("z", "the last")).Blob(t),
		imagetest.Files(imagetest.Whiteout("nothing")).Blob(t),
		imagetest.Files(imagetest.File("b", "above"), imagetest.File("c", ""), imagetest.Link("d", "a"),
			imagetest.Dir("dir"), imagetest.File("dir/e", "e")).Blob(t),
	}
	for name, limit := range map[string]int64{"plain": 0, "packed": 1, "mixed": 1 << 20} {
		tree, err := rootfs.Read(t.Context(), layers, rootfs.Options{Memory: limit})
		if err != nil {
			t.Fatal(err)
		}
		want := contents(t, tree)
		for turn := range 2 {
			var stores []*kept
			open := func() (rootfs.Store, error) {
				stores = append(stores, new(kept))
				return stores[len(stores)-1], nil
			}
			if err := tree.Restore(t.Context(), open); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := contents(t, tree); !maps.Equal(got, want) || len(got) != 6 {
				t.Errorf("%s: the contents are %.200q, want %.200q", name, got, want)
			}
			if n := len(tree.Stores()); n != len(layers) || len(stores) != n || len(tree.Spools()) > 0 {
				t.Errorf("%s: there are %d stores", name, n)
			}
			for i, s := range stores {
				if !s.sealed || s.closed || strings.Contains(s.String(), "below") {
					t.Errorf("%s: turn %d: store %d has %.40q", name, turn, i, s.String())
				}
			}
		}
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRestoreFails ends where a store does, or the context, and the tree can be closed.
func TestRestoreFails(t *testing.T) {
	failing := errors.New("no room")
	for name, open := range map[string]func() (rootfs.Store, error){
		"open": func() (rootfs.Store, error) { return nil, failing },
		"seal": func() (rootfs.Store, error) { return &kept{err: failing}, nil },
	} {
		tree, err := rootfs.Read(t.Context(), []rootfs.Layer{imagetest.Files(imagetest.File("a", "a")).Blob(t)},
			rootfs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Restore(t.Context(), open); !errors.Is(err, failing) {
			t.Errorf("%s: %v", name, err)
		}
		if err := tree.Close(); err != nil {
			t.Errorf("%s: Close = %v", name, err)
		}
	}
	tree, err := rootfs.Read(t.Context(), []rootfs.Layer{imagetest.Files(imagetest.File("a", "a")).Blob(t)},
		rootfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = tree.Restore(ctx, func() (rootfs.Store, error) { return new(kept), nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("without a context: %v", err)
	}
}
