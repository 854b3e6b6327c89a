package imagetest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TempDir is t.TempDir in memory, which is much faster for many small files. Where the machine has no such directory,
// or one that takes no extended attributes (tmpfs before Linux 6.6), it is t.TempDir itself.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "wyrcan-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("imagetest: %v", err)
		}
	})
	if err := unix.Setxattr(dir, "user.wyrcan", []byte("x"), 0); err != nil {
		return t.TempDir()
	}
	return dir
}
