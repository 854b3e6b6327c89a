package smallfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"golang.org/x/sys/unix"
)

func TestRead(t *testing.T) {
	root := fstest.MapFS{
		"empty": {}, "small": {Data: []byte("small")}, "dir/x": {},
		"most": {Data: make([]byte, 1024)}, "large": {Data: make([]byte, 1025)},
	}
	for name, row := range map[string]struct {
		size int
		want string // the error
	}{
		"empty":   {0, ""},
		"small":   {5, ""},
		"most":    {1024, ""},
		"large":   {1024, "it has more than 1 KiB"},
		"dir":     {0, "it is not a file"},
		"missing": {0, "file does not exist"},
		"../x":    {0, "file does not exist"},
	} {
		b, err := Read(root, name, 1024)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if len(b) != row.size || got != row.want || errors.Is(err, fs.ErrNotExist) != (row.want == "file does not exist") {
			t.Errorf("Read(%q) = %d bytes, %v; want %d, %q", name, len(b), err, row.size, row.want)
		}
	}
}

// TestReadOS reads from a real file system, in which a file may be a pipe or a device, or may be no file for its user.
func TestReadOS(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"device": "/dev/zero", "loop": "loop", "gone": "nowhere",
		"masked": "/dev/null"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"pipe": "it is not a file", "device": "it is not a file", "gone": "no such file or directory",
		"loop": "too many levels of symbolic links",
	} {
		if b, err := Read(os.DirFS(dir), name, 1024); err == nil || err.Error() != want || len(b) > 0 {
			t.Errorf("Read(%q) = %d bytes, %v; want %q", name, len(b), err, want)
		}
	}
	if b, err := Read(os.DirFS(dir), "masked", 1024); len(b) > 0 || err != nil {
		t.Errorf("Read of a link to /dev/null = %d bytes, %v", len(b), err)
	}
}

// TestAll reads from what has no size, and from what fails.
func TestAll(t *testing.T) {
	if b, err := All(strings.NewReader("key"), 3); string(b) != "key" || err != nil {
		t.Errorf("All = %q, %v", b, err)
	}
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer zero.Close()
	if b, err := All(zero, 2048); len(b) != 2048 || err == nil || err.Error() != "it has more than 2 KiB" {
		t.Errorf("All of a device without an end = %d bytes, %v", len(b), err)
	}
	broken := &fs.PathError{Op: "read", Path: "secret", Err: io.ErrUnexpectedEOF}
	if _, err := All(iotest.ErrReader(broken), 1); err != io.ErrUnexpectedEOF {
		t.Errorf("All of a file that breaks = %v", err)
	}
}
