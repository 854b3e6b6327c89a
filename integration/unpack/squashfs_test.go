package unpack

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/compression/small"
	"gitlab.com/wyrcan/wyrcan/pkg/erofs"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/modinfo"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/squashfs"
)

// TestSquashFS has a kernel mount the corpus as an image, with what only an image can hold.
func TestSquashFS(t *testing.T) {
	t.Parallel()
	vm.Long(t)
	mounts(t, packer(t, squashfs.Options{}), append(layers(t, false, true), special(5000), odd(t)))
}

// TestEROFS does the same with the other kind of image.
func TestEROFS(t *testing.T) {
	t.Parallel()
	vm.Long(t)
	fine := imagetest.File("special/fine", "").At(time.Unix(-1e9, 123_456_789)).Owner(1<<31, 1<<31+1)
	mounts(t, erofs.New(erofs.Options{}), append(layers(t, false, true), special(5000), imagetest.Files(fine), odd(t)))
}

func packer(t *testing.T, opt squashfs.Options) *squashfs.Packer {
	t.Helper()
	p, err := squashfs.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// special is a layer with what an initramfs cannot hold, and with a directory of so many names.
func special(names int) imagetest.Layer {
	value := strings.Repeat("a long value ", 1000)
	l := imagetest.Files(imagetest.Dir("special"))
	for i := range 20 {
		path := fmt.Sprintf("special/xattr%d", i)
		l.Entries = append(l.Entries,
			imagetest.File(path, "").Xattr("user.same", value).Xattr("user.own", path),
			imagetest.Symlink(path+".link", path).Xattr("trusted.link", value),
			imagetest.FIFO(path+".fifo").Xattr("trusted.fifo", path),
			imagetest.Char(path+".char", 1, int64(i)).Xattr("security.wyrcan", "x"),
			imagetest.Block(path+".block", 259, 1<<20-1).Xattr("trusted.block", "x"),
			imagetest.Dir(path+".dir").Xattr("user.dir", value))
	}
	l.Entries = append(l.Entries, imagetest.File("special/large", value).Xattr("user.max", strings.Repeat("x", 64<<10)),
		imagetest.PAXSparse("special/sparse", "end", 40<<20, 40<<20+5), imagetest.Dir("special/many"))
	for i := range names {
		l.Entries = append(l.Entries, imagetest.File(fmt.Sprintf("special/many/file-%d", i), fmt.Sprint(i%7)))
	}
	return l
}

// odd is a layer with random trees, each below a directory that is named after its seed.
func odd(t *testing.T) imagetest.Layer {
	t.Helper()
	var l imagetest.Layer
	for seed := range uint64(24) {
		tree := read(t, 0, imagetest.Odd(rand.New(rand.NewPCG(seed, 1)))...)
		l.Entries = append(l.Entries, below(t, fmt.Sprintf("odd-%d", seed), tree, true)...)
		if err := tree.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// mounts checks that a kernel mounts layers as an image: /init compares what is in it.
func mounts(t *testing.T, p bundle.Packer, layers []imagetest.Layer) {
	t.Helper()
	var in []rootfs.Layer
	for _, l := range layers {
		in = append(in, l.Blob(t))
	}
	tree, err := rootfs.Read(t.Context(), in, rootfs.Options{Store: p.Store})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	want, err := report.FromTree(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	for n, err := range tree.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range p.Lost(n) {
			delete(want[n.Path].Xattrs, name)
		}
	}
	if p.Kind() == "squashfs" {
		want = want.Map(func(_ string, f *report.File) {
			f.ModTime = time.Unix(min(max(f.ModTime.Unix(), 0), 1<<32-1), 0)
		})
	}
	f, err := p.Image(t.Context(), tree, imagetest.Epoch, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	image, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	none := read(t, 0)
	defer none.Close()
	file := filepath.Join(t.TempDir(), "initrd")
	files := []initrd.File{extra("init", vm.Program(t, "./report")), extra("expected", text(t, want)),
		extra("image", image), extra("kind", []byte(p.Kind()))}
	for i, name := range map[string][]string{
		"squashfs": {"drivers/block/loop", "fs/squashfs/squashfs"},
		"erofs":    {"drivers/block/loop", "crypto/crc32c_generic", "lib/libcrc32c", "fs/erofs/erofs"},
	}[p.Kind()] {
		files = append(files, extra(fmt.Sprintf("%d.ko", i+1), module(t, name)))
	}
	save(t, none, file, initrd.Options{Single: true, Extra: files})
	reports(t, file, len(want), "1500M")
}

// module returns a module of the kernel that the tests boot.
func module(t *testing.T, name string) []byte {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(vm.Artefact(t, "kernel/modules"), "kernel", name+".ko*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the kernel has %d modules %s, want 1 (%v)", len(found), name, err)
	}
	b, err := os.ReadFile(found[0])
	if err == nil {
		b, err = small.Unpack(b, modinfo.MaxModule)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}
