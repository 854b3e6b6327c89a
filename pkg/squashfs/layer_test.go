package squashfs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// shift moves the blocks of a layer behind 4 GiB, where an inode needs 64 bits to say so. What lies before takes no
// memory.
func shift(t *testing.T, s rootfs.Store) {
	t.Helper()
	l, ok := s.(*Layer)
	if !ok {
		t.Fatalf("the layer is a %T", s)
	}
	for i := range l.extents {
		l.extents[i].start += hole
	}
	for i := range l.frags {
		l.frags[i].start += hole
	}
	b := make([]byte, l.pos-superSize)
	if _, err := l.f.ReadAt(b, superSize); err != nil {
		t.Fatal(err)
	}
	if _, err := l.f.WriteAt(b, superSize+hole); err != nil {
		t.Fatal(err)
	}
	l.pos += hole
}

const hole = 1 << 32

// TestFar checks the inodes of files that begin behind 4 GiB.
func TestFar(t *testing.T) {
	random := make([]byte, 300<<10)
	rand.NewChaCha8([32]byte{}).Read(random)
	p, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	layer := imagetest.Files(imagetest.File("large", string(random)), imagetest.File("small", strings.Repeat("x", 100)))
	tree, err := rootfs.Read(t.Context(), []rootfs.Layer{layer.Blob(t)}, rootfs.Options{Store: p.Store})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	shift(t, tree.Stores()[0])
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
		l, _ := store.(*Layer)
		if err := w.regularOf(n, l, l.find(off), 1, noXattr); err != nil {
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

// TestBehind has unsquashfs read an image whose contents and tables all begin behind 4 GiB. The second layer's blocks
// are moved there.
func TestBehind(t *testing.T) {
	imagetest.NeedsPrograms(t, "unsquashfs")
	p, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 700<<10)
	rand.NewChaCha8([32]byte{}).Read(random)
	want := map[string]string{
		"large": string(random[:300<<10]), "small": "text", "dir/other": string(random[300<<10:]), "dir/more": "more text",
	}
	tree, err := rootfs.Read(t.Context(), []rootfs.Layer{
		imagetest.Files(imagetest.File("large", want["large"]), imagetest.File("small", want["small"])).Blob(t),
		imagetest.Files(imagetest.File("dir/other", want["dir/other"]), imagetest.File("dir/more", want["dir/more"]),
			imagetest.File("dir/owned", "").Xattr("user.name", "value")).Blob(t),
	}, rootfs.Options{Store: p.Store})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	shift(t, tree.Stores()[0])
	first, _ := tree.Stores()[0].(*Layer) // the image begins with what lies before it, so that it stays where it is
	first.extents = append(first.extents, extent{piece: piece{start: superSize, size: hole, live: true}})
	f, err := p.Image(t.Context(), tree, time.Unix(0, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := filepath.Join(t.TempDir(), "root")
	cmd := exec.Command("unsquashfs", "-no-progress", "-strict-errors", "-user-xattrs", "-d", dir, "/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{f}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("unsquashfs: %v\n%s", err, out)
	}
	for name, want := range want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s differs (%v)", name, err)
		}
	}
	value := make([]byte, 10)
	if n, err := unix.Lgetxattr(filepath.Join(dir, "dir/owned"), "user.name", value); err == nil &&
		string(value[:n]) != "value" {
		t.Errorf("the attribute is %q", value[:n])
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
