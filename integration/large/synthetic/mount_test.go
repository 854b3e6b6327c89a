package synthetic_test

import (
	"bytes"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/large/synthetic"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/squashfs"
)

// What TestMounted makes an image of, in bytes: by hand more than a test of every day.
var (
	small = flag.Int64("small", 16e6, "bytes in small files")
	large = flag.Int64("large", 16e6, "bytes in large files")
	each  = flag.Int64("each", 9e6, "bytes of a large file")
	noise = flag.Bool("noise", false, "nothing can be compressed")
)

// TestMounted has this machine's kernel mount an image, and compares every file.
func TestMounted(t *testing.T) {
	imagetest.NeedsRoot(t, "to mount")
	imagetest.NeedsPrograms(t, "losetup")
	s := synthetic.Shape{Small: *small, Large: *large, Each: *each}
	if *noise {
		s.Of = synthetic.Noise
	}
	p, err := squashfs.New(squashfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	tree, err := rootfs.Read(t.Context(), []rootfs.Layer{synthetic.Unknown(s)}, rootfs.Options{Store: p.Store})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	read := time.Since(began)
	f, err := p.Image(t.Context(), tree, time.Unix(0, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d paths: read in %v, all in %v; the image has %d bytes", tree.Stat().Entries, read, time.Since(began),
		info.Size())
	dir := mount(t, f, "squashfs")
	files := 0
	for f := range s.Files() {
		got, err := os.Open(filepath.Join(dir, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		if err := same(got, f.Open()); err != "" {
			t.Fatalf("%s: %s", f.Path, err)
		}
		got.Close()
		files++
	}
	t.Logf("%d files are equal", files)
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

// mount mounts an image that is in memory, until the test ends.
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
