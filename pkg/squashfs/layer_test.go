package squashfs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// far is a store whose blocks begin behind 4 GiB, where an inode needs 64 bits to say so. What lies before takes no
// memory.
type far struct{ *Layer }

func (f far) Seal() error {
	const hole = 1 << 32
	if err := f.Layer.Seal(); err != nil {
		return err
	}
	for i := range f.extents {
		f.extents[i].start += hole
	}
	for i := range f.frags {
		f.frags[i].start += hole
	}
	b := make([]byte, f.pos-superSize)
	if _, err := f.f.ReadAt(b, superSize); err != nil {
		return err
	}
	_, err := f.f.WriteAt(b, superSize+hole)
	f.pos += hole
	return err
}

// TestFar checks the inodes of files that begin behind 4 GiB.
func TestFar(t *testing.T) {
	random := make([]byte, 300<<10)
	rand.NewChaCha8([32]byte{}).Read(random)
	p, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	layer := imagetest.Files(imagetest.File("large", string(random)), imagetest.File("small", strings.Repeat("x", 100)))
	store := func() (rootfs.Store, error) {
		s, err := p.Store()
		if err != nil {
			return nil, err
		}
		return far{s.(*Layer)}, nil
	}
	tree, err := rootfs.Read(t.Context(), []rootfs.Layer{layer.Blob(t)}, rootfs.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	for name, want := range map[string]string{"large": string(random), "small": strings.Repeat("x", 100)} {
		n, err := tree.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		store, off := tree.Stored(n)
		got := make([]byte, n.Size)
		if _, err := store.Open(false).ReadAt(got, off); err != nil || string(got) != want {
			t.Errorf("%s differs where its block is far away (%v)", name, err)
		}
		w := newInodes(p, &rootfs.Choice{Tree: tree})
		l, _ := store.(far)
		if err := w.regularOf(n, l.Layer, l.find(off), 1, noXattr); err != nil {
			t.Fatal(err)
		}
		if long := w.buf[0] == typeFile+extended; long != (name == "large") {
			t.Errorf("%s has an extended inode: %v", name, long)
		}
		if start := append([]byte{96, 0, 0, 0, 1}, 0, 0, 0); name == "large" && !bytes.Equal(w.buf[16:24], start) {
			t.Errorf("the inode of %s says it begins at % x", name, w.buf[16:24])
		}
	}
}

// TestWindow packs much in several layers at a time, and counts the blocks that are on their way.
func TestWindow(t *testing.T) {
	p, err := New(Options{BlockSize: minBlock})
	if err != nil {
		t.Fatal(err)
	}
	var layers []*Layer
	for range 5 {
		f, err := memory.File("test")
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, newLayer(p, f))
	}
	most := 0
	for i := range 1000 {
		jobs := 0
		text := strings.Repeat(fmt.Sprintln("some text", i), minBlock)
		for _, l := range layers {
			if _, err := l.Add(spool.File{Size: 3 * minBlock}, strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
		}
		for _, l := range layers {
			jobs += len(l.jobs)
		}
		most = max(most, jobs)
	}
	if limit := own*len(layers) + cap(p.extra); most > limit || most < own*len(layers) {
		t.Errorf("%d blocks were on their way, want at most %d", most, limit)
	}
	for _, l := range layers {
		if err := l.Seal(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := len(p.extra); n > 0 {
		t.Errorf("%d blocks more are on their way at the end", n)
	}
}
