package initrd

import (
	"fmt"
	"io"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/newc"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// Options say what goes into the archive and how it is compressed. The zero value is the whole tree, uncompressed.
type Options struct {
	Compression Compression
	Level       int   // of zstd(1) or gzip(1); 0 is the fastest
	Plain       int64 // with Mixed, how many bytes of what Waiting calls loose stay uncompressed

	// Skip leaves a path out. What is below a directory that is left out stays in the archive, and the kernel drops
	// it, for it has no parent.
	Skip func(*rootfs.Node) bool
	// Move puts the file at a path of the tree, which is not a directory, at another path.
	Move map[string]string
	// Split names the files of the tree with more than MaxSize bytes that are written as several, by their paths. The
	// first MaxFirst bytes stay at the path. The rest comes in parts of PartSize bytes, but the last part may be
	// smaller. The path of a part is what Split says, and a number behind it, from 1 on. All names of a file must
	// have the same. Whoever boots the archive has to join the parts.
	Split map[string]string
	// Extra come right after the root directory, in this order. They take the place of what the tree has at their
	// paths, which must not be a directory unless the extra file is one.
	Extra []File
	// Last come after everything else. The kernel stops at the file that it has no room for. So where these are,
	// everything is.
	Last []File
	// Early is an archive that is complete, a whole number of words. It comes first and is never compressed.
	Early []byte
	// Single has Make write one archive in one frame, for programs that read only the first, such as cpio(1).
	Single bool
	// Grow is asked by Make, after each MiB, whether the archive may take more memory; nil is no limit. Make returns
	// its error.
	Grow func() error
}

// File is a file that the tree does not have.
type File struct {
	Node    rootfs.Node
	Content io.ReaderAt // Node.Size bytes of it; nil where Size is 0
}

// Result says what was written.
type Result struct {
	Records int   // files and directories
	Size    int64 // of the archive before compression, in bytes
	Split   int   // symbolic links that were hard links of each other; the kernel makes separate links of them
}

const (
	// MaxSize is the size in bytes of the largest file that an archive can have.
	MaxSize = newc.MaxSize
	// MaxFirst is how much of a larger file Options.Split leaves in its place. These are whole pages, so that what is
	// appended fills pages.
	MaxFirst = MaxSize + 1 - memory.Page
	// PartSize is the size of the parts of the rest. While they are joined, this much is in memory twice.
	PartSize = 64 << 20
)

// rules decide what of the tree gets a record, and at which path.
type rules struct {
	Options
	moved map[string]bool // paths that Move puts something at
	extra map[string]bool // paths of Extra; true is a directory

	estimate bool // for Waiting: nothing is refused
}

func newRules(opt Options) *rules {
	r := &rules{Options: opt, moved: map[string]bool{}, extra: map[string]bool{}}
	for _, f := range opt.Extra {
		r.extra[f.Node.Path] = f.Node.Dir()
	}
	for _, to := range opt.Move {
		r.moved[to] = true
	}
	return r
}

// wants reports whether a node of the tree is in the archive. It returns an error if the options cannot be followed.
func (r *rules) wants(n *rootfs.Node) (bool, error) {
	dir, replaced := r.extra[n.Path]
	_, moves := r.Move[n.Path]
	switch {
	case n.Path == ".":
		return !replaced, nil
	case r.Skip != nil && r.Skip(n):
		return false, nil
	case moves && n.Dir():
		return false, fmt.Errorf("cannot move the directory %q", n.Path)
	case moves:
		return true, nil
	case replaced && n.Dir() && !dir:
		return false, fmt.Errorf("cannot put a file in the place of the directory %q", n.Path)
	case replaced:
		return false, nil
	case r.moved[n.Path]:
		return false, fmt.Errorf("cannot move a file to %q: the image has one there", n.Path)
	}
	return true, nil
}

// path returns where a node of the tree is in the archive.
func (r *rules) path(n *rootfs.Node) string {
	if to, ok := r.Move[n.Path]; ok {
		return to
	}
	return n.Path
}

// check refuses what the kernel would drop, or read as something else.
func (r *rules) check(n *rootfs.Node, path string) error {
	if r.estimate {
		return nil
	}
	err := newc.CheckPath(path)
	if err == nil {
		err = newc.CheckTarget(n.Target)
	}
	if err == nil && r.Split[n.Path] == "" {
		err = newc.CheckSize(n.Size)
	}
	if err != nil {
		return fmt.Errorf("%s %w", rootfs.Quote(path), err)
	}
	return nil
}
