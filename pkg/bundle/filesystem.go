package bundle

import (
	"context"
	"math"
	"os"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// Packer packs the contents of layers while they are read, and makes a file system image of them: packages squashfs
// and erofs.
type Packer interface {
	// Kind is the name of the file system, for mount(2). It is also the Root that the image can be.
	Kind() string
	// Store makes a place for the contents of a layer: see rootfs.Options.
	Store() (rootfs.Store, error)
	// Image makes an image, in memory, of a tree whose contents are in such places. The image says when it was made. skip
	// reports whether a path, which is not a directory, is left out. No content can be read any more. The caller closes
	// the file and the tree.
	Image(ctx context.Context, tree *rootfs.Tree, made time.Time, skip func(*rootfs.Node) bool) (*os.File, error)
	// Lost returns the names of the extended attributes of a file that the image cannot hold.
	Lost(n *rootfs.Node) []string
}

// filesystem is what a bundle has to know of a kind of file system.
type filesystem struct {
	name     string   // for people
	part     part     // of the kernel
	features []string // options without which something of the files would be missing
	oldest   string   // the first version of Linux that can mount such an image, "" if that is older than "oldest"
	inPlace  bool     // it is made only where it can stay in memory beside the initrd
	owners   int      // how many owners and groups its files can have together, 0 if any number
}

// filesystems are the kinds of images that a root can be.
var filesystems = map[Root]filesystem{
	// It has had zstd since Linux 4.14. The number of owners has 16 bits: struct squashfs_super_block in
	// fs/squashfs/squashfs_fs.h.
	SquashFS: {"SquashFS", part{"squashfs", "CONFIG_SQUASHFS"},
		[]string{"CONFIG_SQUASHFS_ZSTD", "CONFIG_SQUASHFS_XATTR"}, "", false, math.MaxUint16},
	// Since Linux 5.15 it can use files in place (dax) and has files with holes (EROFS_FEATURE_INCOMPAT_CHUNKED_FILE).
	EROFS: {"EROFS", part{"erofs", "CONFIG_EROFS_FS"},
		[]string{"CONFIG_EROFS_FS_XATTR", "CONFIG_EROFS_FS_POSIX_ACL", "CONFIG_EROFS_FS_SECURITY"}, "5.15", true, 0},
}

// IsImage reports whether the root is a file system image, which the kernel mounts.
func (r Root) IsImage() bool {
	_, ok := filesystems[r]
	return ok
}

// Name returns the root's name for people.
func (r Root) Name() string {
	if fs, ok := filesystems[r]; ok {
		return fs.name
	}
	return string(r)
}
