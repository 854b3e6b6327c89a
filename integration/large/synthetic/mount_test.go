package synthetic_test

import (
	"bytes"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/large/synthetic"
	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/erofs"
	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/squashfs"
)

// What these tests make an image of, in bytes, and who reads it: by hand more than every day, and this machine's kernel.
// Where the tests run every day nothing can be mounted.
var (
	mounts = flag.Bool("mount", false, "mount the images; else unsquashfs reads them")
	small  = flag.Int64("small", 16e6, "bytes in small files")
	large  = flag.Int64("large", 16e6, "bytes in large files")
	each   = flag.Int64("each", 9e6, "bytes of a large file")
	noise  = flag.Bool("noise", false, "nothing can be compressed")
)

// shape returns the shape of the layer.
func shape() synthetic.Shape {
	s := synthetic.Shape{Small: *small, Large: *large, Each: *each}
	if *noise {
		s.Of = synthetic.Noise
	}
	return s
}

// TestMounted compares every file of images, of both kinds if they can be mounted.
func TestMounted(t *testing.T) {
	squash, err := squashfs.New(squashfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	packers := []bundle.Packer{squash}
	if *mounts {
		packers = append(packers, erofs.New(erofs.Options{}))
	}
	for _, p := range packers {
		t.Run(p.Kind(), func(t *testing.T) {
			s, began := shape(), time.Now()
			tree, err := rootfs.Read(t.Context(), []rootfs.Layer{synthetic.Unknown(s)}, rootfs.Options{Store: p.Store})
			if err != nil {
				t.Fatal(err)
			}
			defer tree.Close()
			read := time.Since(began)
			image, err := p.Image(t.Context(), tree, time.Unix(0, 0), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer image.Close()
			t.Logf("%d paths: read in %v, all in %v; the image has %d bytes", tree.Stat().Entries, read,
				time.Since(began), size(t, image))
			compare(t, files(t, image, p.Kind()), s)
		})
	}
}

// TestMorphed compares every file of the image that wyrcan morph has put into an initrd: as one file, or in parts if it
// is larger than 2 GiB, which are joined here as wyrinit does it.
func TestMorphed(t *testing.T) {
	imagetest.NeedsPrograms(t, "cpio")
	program, s, dir := vm.Artefact(t, "wyrcan"), shape(), t.TempDir()
	ref := serve(t, s)
	morph := exec.Command(program, "morph", "-root", "squashfs", "-kernel", filepath.Join(dir, "kernel"),
		"-cmdline", filepath.Join(dir, "cmdline"), "-initrd", "-", ref)
	unpack := exec.Command("cpio", "--extract", "--quiet", "--make-directories", "--no-absolute-filenames")
	unpack.Dir = dir
	var err error
	if unpack.Stdin, err = morph.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := morph.Start(); err != nil {
		t.Fatal(err)
	}
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v: %s", err, out)
	}
	if err := morph.Wait(); err != nil {
		t.Fatalf("wyrcan morph: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, handover.List))
	if err != nil {
		t.Fatal(err)
	}
	m, err := handover.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.OpenFile(filepath.Join(dir, handover.Image), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	for _, j := range m.Joins {
		for n := 1; size(t, image) < j.Size; n++ {
			part := filepath.Join(dir, j.Parts+strconv.Itoa(n))
			b, err := os.ReadFile(part)
			if err == nil {
				_, err = image.Write(b)
			}
			if err != nil {
				t.Fatal(err)
			}
			os.Remove(part)
		}
	}
	t.Logf("the image has %d bytes and %d files in parts", size(t, image), len(m.Joins))
	if large := size(t, image) > 1<<31; large != (len(m.Joins) > 0) {
		t.Errorf("%d files come in parts", len(m.Joins))
	}
	compare(t, files(t, image, m.Kind), s)
}

// size returns how many bytes a file has.
func size(t *testing.T, f *os.File) int64 {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// compare compares every file of a layer.
func compare(t *testing.T, dir string, s synthetic.Shape) {
	t.Helper()
	count := 0
	for f := range s.Files() {
		got, err := os.Open(filepath.Join(dir, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		if err := same(got, f.Open()); err != "" {
			t.Fatalf("%s: %s", f.Path, err)
		}
		got.Close()
		count++
	}
	t.Logf("%d files are equal", count)
}

// same returns how two contents differ, "" if they do not.
func same(got, want io.Reader) string {
	const step = 256 << 10
	a, b := make([]byte, step), make([]byte, step)
	for {
		n, err := io.ReadFull(got, a)
		m, _ := io.ReadFull(want, b)
		switch {
		case err != nil && err != io.EOF && err != io.ErrUnexpectedEOF:
			return err.Error()
		case !bytes.Equal(a[:n], b[:m]):
			return "its content differs"
		case n == 0:
			return ""
		}
	}
}

// files returns a directory with the files of an image.
func files(t *testing.T, image *os.File, kind string) string {
	t.Helper()
	imagetest.NeedsRoot(t, "to mount, or to give files their owners")
	if *mounts {
		return mount(t, image, kind)
	}
	imagetest.NeedsPrograms(t, "unsquashfs")
	dir := filepath.Join(t.TempDir(), "files")
	unpack := exec.Command("unsquashfs", "-no-progress", "-strict-errors", "-d", dir, "/proc/self/fd/3")
	unpack.ExtraFiles = []*os.File{image}
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unsquashfs: %v: %s", err, out)
	}
	return dir
}

// mount mounts an image until the test ends.
func mount(t *testing.T, image *os.File, kind string) string {
	t.Helper()
	attach := exec.Command("losetup", "--find", "--show", "--read-only", "/proc/self/fd/3")
	attach.ExtraFiles = []*os.File{image}
	out, err := attach.CombinedOutput()
	device := strings.TrimSpace(string(out))
	if err != nil {
		t.Fatalf("losetup: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("losetup", "--detach", device).Run() })
	dir := t.TempDir()
	if err := unix.Mount(device, dir, kind, unix.MS_RDONLY, ""); err != nil {
		t.Fatalf("cannot mount the image: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}
