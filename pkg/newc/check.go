package newc

import (
	"fmt"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// MaxSize is the largest content in bytes that the kernel unpacks. The eight hexadecimal digits of a record's size
// could say twice as much. But do_name in init/initramfs.c opens files without O_LARGEFILE (seen in Linux 6.1), so
// writing ends at MAX_NON_LFS of include/linux/fs.h, and unpacking ends with "write error".
const MaxSize = 1<<31 - 1

// Limits of the kernel's unpacker and of its file systems. The kernel drops a record with a longer name and says
// nothing.
const (
	maxPath = 4096 - 1 // PATH_MAX without the NUL
	maxName = 255      // NAME_MAX
)

// CheckPath refuses a path that the kernel drops, or takes for the end of the archive. The error goes on after the
// path.
func CheckPath(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("has a path of %d bytes; Linux takes %d", len(path), maxPath)
	}
	for name := range strings.SplitSeq(path, "/") {
		if len(name) > maxName {
			return fmt.Errorf("has a name of %d bytes in it; Linux takes %d", len(name), maxName)
		}
	}
	if path == cpio.Trailer {
		return fmt.Errorf("is the name that ends an initramfs; a file cannot have it")
	}
	return nil
}

// CheckTarget refuses the target of a symbolic link that the kernel drops. The error goes on after the path of the
// link.
func CheckTarget(target string) error {
	if len(target) > maxPath {
		return fmt.Errorf("is a symbolic link to a path of %d bytes; Linux takes %d", len(target), maxPath)
	}
	return nil
}

// CheckSize refuses a content that the kernel does not unpack to its end. The error goes on after the path of the file.
func CheckSize(size int64) error {
	if size > MaxSize {
		return fmt.Errorf("has %d bytes; a file in an initramfs can have at most %d (2 GiB - 1)", size, MaxSize)
	}
	return nil
}
