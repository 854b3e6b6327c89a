package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// An image is written as a SquashFS. What unsquashfs makes of it is what unpack makes in a directory.
func TestUnpackSquashFS(t *testing.T) {
	imagetest.NeedsRoot(t, "owners and devices are tried as root")
	imagetest.NeedsPrograms(t, "unsquashfs")
	img, top := onDisk(t, testImage(t)), t.TempDir()
	succeeds(t, "unpack", img, top+"/want")
	want := look(t, top+"/want")
	for name, args := range map[string][]string{
		"zstd":                   nil,
		"zstd, strong and large": {"-level", "19", "-block", "1024"},
		"gzip":                   {"-compression", "gzip", "-block=4"},
	} {
		file := filepath.Join(top, name+".squashfs")
		succeeds(t, append([]string{"unpack", img, file, "-strict"}, args...)...)
		dir := filepath.Join(top, name)
		out, err := exec.Command("unsquashfs", "-no-progress", "-strict-errors", "-d", dir, file).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: unsquashfs: %v\n%s", name, err, out)
		}
		if diff := cmp.Diff(want, look(t, dir)); diff != "" {
			t.Errorf("%s: the image differs from the directory:\n%s", name, diff)
		}
		b := make([]byte, 10)
		if n, err := unix.Getxattr(dir+"/caps", "user.note", b); err != nil || string(b[:n]) != "hello" {
			t.Errorf("%s: the attribute is %q, %v", name, b[:max(0, n)], err)
		}
		again := filepath.Join(imagetest.TempDir(t), "again.squashfs") // in memory
		succeeds(t, append([]string{"unpack", img, again}, args...)...)
		first, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := os.ReadFile(again); err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s: the same image became another file (%v)", name, err)
		}
	}
	// Nothing else is left.
	names, err := filepath.Glob(top + "/.*")
	if err != nil || len(names) > 0 {
		t.Errorf("unpack has left %q, %v", names, err)
	}
}

func TestUnpackSquashFSRefused(t *testing.T) {
	top := t.TempDir()
	file := top + "/x.squashfs"
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	lossy := onDisk(t, imagetest.Image(t, imagetest.Files(unkept()...)))
	long := onDisk(t, imagetest.Image(t, imagetest.Files(imagetest.File(strings.Repeat("n", 256), ""))))
	for _, row := range []struct {
		args []string
		want string // of the error
	}{
		{[]string{lossy, "-strict"}, `a SquashFS image cannot hold the attribute "`},
		{[]string{long}, "has a name of 256 bytes; Linux takes 255"},
		{[]string{lossy, "-compression", "lzma"}, "-compression is zstd or gzip"},
		{[]string{lossy, "-compression", "gzip", "-level", "10"}, "-level is a number from 1 to 9 for gzip"},
		{[]string{lossy, "-level", "-1"}, "-level is a number from 1 to 22 for zstd"},
		{[]string{lossy, "-block", "5"}, "-block is a power of two"},
		{[]string{lossy, "-block", "2048"}, "-block is a power of two"},
	} {
		c, _, _ := tool(t, append([]string{"unpack", row.args[0], file}, row.args[1:]...)...)
		if err := c.run(context.Background()); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("unpack %q = %v, want %q", row.args[1:], err, row.want)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
			t.Fatalf("after a failure the file is %q, %v", b, err)
		}
	}
	c, _, stderr := tool(t, "unpack", lossy, file)
	if err := c.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`the attribute "com.apple.provenance" of 2 files (SquashFS has only user, trusted and security attributes): `,
		`the attribute "user.large" of 1 file (its value has 102400 bytes; Linux takes 65536): "large"`,
		`the attribute "evil.\x1b[2J" of 1 file`,
	} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("it does not say %q: %s", want, stderr)
		}
	}
	// A directory with such a name is still one.
	dir := top + "/dir.squashfs"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	succeeds(t, "unpack", "-no-owner", onDisk(t, imagetest.Image(t, imagetest.Files(imagetest.File("f", "x")))), dir)
	if b, err := os.ReadFile(dir + "/f"); err != nil || string(b) != "x" {
		t.Errorf("in the directory is %q, %v", b, err)
	}
}
