package initrd

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// Options say what goes into the archive and how it is compressed. The zero value is the whole tree, uncompressed.
type Options struct {
	Compression Compression
	Level       int // of zstd(1) or gzip(1); 0 is the fastest

	// Parallel compresses with zstd on all processors. The result is several archives in a row, which the kernel reads
	// as one; cpio(1) stops at the end of the first. Other forms are not changed by it.
	Parallel bool

	// Skip leaves a path out. A directory that is left out takes nothing below it along, and the kernel drops what
	// has no parent.
	Skip func(*rootfs.Node) bool
	// Move puts the file at a path of the tree, which is not a directory, at another one.
	Move map[string]string
	// Extra come right after the root directory, in this order. They take the place of what the tree has at their
	// paths, which must not be a directory unless the extra file is one.
	Extra []File
	// Consume gives the memory of the tree's contents back as they are written; they cannot be read again.
	Consume bool
	// Last come after all else. The kernel stops at what it has no room for, so where these are, everything is.
	Last []File
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
	Split   int   // symbolic links that were hard links of each other, which the kernel makes single ones
}

// Limits of the kernel's unpacker and of its file systems: a longer name is dropped without a word.
const (
	maxPath = 4096 - 1 // PATH_MAX without the NUL
	maxName = 255      // NAME_MAX
	maxSize = math.MaxUint32
)

// Write writes the tree as one archive, as one frame or member where it is compressed: the kernel reads no further
// than the first. Parents come before what is in them, and contents in the order in which Walk reads them.
func Write(ctx context.Context, w io.Writer, t *rootfs.Tree, opt Options) (Result, error) {
	a := &archive{opt: opt, moved: map[string]bool{}, extra: map[string]bool{}}
	var out io.WriteCloser
	var err error
	if opt.Parallel && opt.Compression == Zstd {
		a.segments, err = newSegmented(w, opt.Level)
		out = a.segments
	} else {
		out, err = newSingle(w, opt.Compression, opt.Level)
	}
	if err != nil {
		return Result{}, err
	}
	a.out = &counter{w: out, n: &a.result.Size}
	a.rec = cpio.Newc.Writer(a.out)
	err = a.write(ctx, t)
	if e := out.Close(); err == nil {
		err = e
	}
	if err != nil {
		return Result{}, err
	}
	return a.result, nil
}

// single is one archive in one frame.
type single struct {
	*behind
	frame io.WriteCloser
}

func newSingle(w io.Writer, c Compression, level int) (*single, error) {
	frame, err := c.writer(w, level)
	if err != nil {
		return nil, err
	}
	return &single{writeBehind(frame), frame}, nil
}

func (s *single) Close() error {
	err := s.behind.Close()
	if e := s.frame.Close(); err == nil {
		err = e
	}
	return err
}

// counter counts what passes.
type counter struct {
	w io.Writer
	n *int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	*c.n += int64(n)
	return n, err
}

// archive is one being written.
type archive struct {
	rec cpio.RecordWriter
	out io.Writer // where rec writes

	segments *segmented // nil for a single archive

	opt    Options
	moved  map[string]bool // where Move put something
	extra  map[string]bool // what Extra put where: true is a directory
	ino    uint32
	last   *rootfs.Node // the file whose names are being written
	result Result
}

func (a *archive) write(ctx context.Context, t *rootfs.Tree) error {
	for _, f := range a.opt.Extra {
		a.extra[f.Node.Path] = f.Node.Dir()
	}
	for _, to := range a.opt.Move {
		a.moved[to] = true
	}
	walk := t.Walk
	if a.opt.Consume {
		walk = t.Consume
	}
	err := walk(ctx, func(n *rootfs.Node, content io.Reader) error {
		if n.Path == "." {
			return a.begin(n)
		}
		if a.opt.Skip != nil && a.opt.Skip(n) {
			return rootfs.SkipName
		}
		dir, replaced := a.extra[n.Path]
		to, moves := a.opt.Move[n.Path]
		switch {
		case moves && n.Dir():
			return fmt.Errorf("cannot move the directory %q", n.Path)
		case moves:
			return a.put(n, to, content)
		case replaced && n.Dir() && !dir:
			return fmt.Errorf("cannot put a file in the place of the directory %q", n.Path)
		case replaced:
			return rootfs.SkipName
		case a.moved[n.Path]:
			return fmt.Errorf("cannot move a file to %q: the image has one there", n.Path)
		}
		return a.put(n, n.Path, content)
	})
	if err != nil {
		return err
	}
	if err := a.putFiles(a.opt.Last); err != nil {
		return err
	}
	return cpio.WriteTrailer(a.rec)
}

// begin writes the root directory, without whose record the kernel leaves its own, writable to all, and Options.Extra.
func (a *archive) begin(root *rootfs.Node) error {
	if _, replaced := a.extra["."]; !replaced {
		if err := a.put(root, ".", nil); err != nil {
			return err
		}
	}
	return a.putFiles(a.opt.Extra)
}

func (a *archive) putFiles(files []File) error {
	for _, f := range files {
		var content io.Reader
		if f.Content != nil {
			content = io.NewSectionReader(f.Content, 0, f.Node.Size)
		}
		if err := a.put(&f.Node, f.Node.Path, content); err != nil {
			return err
		}
	}
	return nil
}

// put writes one record. All names of a file have the same header but for their names and sizes, since the kernel
// sets owner, mode and time again with each.
func (a *archive) put(n *rootfs.Node, path string, content io.Reader) error {
	if err := check(n, path); err != nil {
		return err
	}
	again := a.last != nil && n.Same(a.last)
	links := n.Links
	if again && n.Symlink() {
		a.result.Split++
		again = false
	}
	if n.Symlink() || n.Dir() {
		links = 1 // init/initramfs.c links neither
	}
	r := cpio.Record{Info: cpio.Info{
		Name: path, Mode: uint64(n.Mode), UID: uint64(n.UID), GID: uint64(n.GID),
		NLink: uint64(max(1, links)), MTime: clamp(n.ModTime), Rmajor: uint64(n.Major), Rminor: uint64(n.Minor),
	}}
	switch {
	case n.Symlink():
		r.ReaderAt, r.FileSize = strings.NewReader(n.Target), uint64(len(n.Target))
	case n.Regular() && content != nil && n.Size > 0:
		r.ReaderAt, r.FileSize = &sequential{r: content}, uint64(n.Size)
	}
	if !again {
		// Hard links do not reach from one archive into another, so one begins only here.
		if err := a.cut(r.FileSize); err != nil {
			return fmt.Errorf("cannot write %s: %w", rootfs.Quote(path), err)
		}
		if a.ino == math.MaxUint32 {
			return fmt.Errorf("%s is one file too many: an initramfs numbers them with 32 bits", rootfs.Quote(path))
		}
		a.ino++
	}
	a.last = n

	r.Ino = uint64(a.ino)
	if err := a.rec.WriteRecord(r); err != nil {
		return fmt.Errorf("cannot write %s: %w", rootfs.Quote(path), err)
	}
	a.result.Records++
	return nil
}

// cut begins another archive before a file of this size where that is due.
func (a *archive) cut(size uint64) error {
	if a.segments == nil {
		return nil
	}
	if a.result.Records > 0 {
		if !a.segments.full(int64(size)) && size <= segmentSize {
			return nil
		}
		if err := cpio.WriteTrailer(a.rec); err != nil {
			return err
		}
		if err := a.segments.end(); err != nil {
			return err
		}
	}
	a.rec = cpio.Newc.Writer(a.out)
	return a.segments.begin(int64(size))
}

// clamp makes a time the unsigned 32 bits that the kernel takes: -5 would become the year 2106.
func clamp(t time.Time) uint64 { return uint64(min(max(t.Unix(), 0), math.MaxUint32)) }

// check refuses what the kernel would drop, or read as something else.
func check(n *rootfs.Node, path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("%s has a path of %d bytes; Linux takes %d", rootfs.Quote(path), len(path), maxPath)
	}
	for name := range strings.SplitSeq(path, "/") {
		if len(name) > maxName {
			return fmt.Errorf("%s has a name of %d bytes in it; Linux takes %d", rootfs.Quote(path), len(name), maxName)
		}
	}
	switch {
	case path == cpio.Trailer:
		return fmt.Errorf("%s is the name that ends an initramfs; a file cannot have it", rootfs.Quote(path))
	case len(n.Target) > maxPath:
		return fmt.Errorf("%s is a symbolic link to a path of %d bytes; Linux takes %d", rootfs.Quote(path), len(n.Target), maxPath)
	case n.Size > maxSize:
		return fmt.Errorf("%s has %d bytes; a file in an initramfs can have at most %d (4 GiB - 1)", rootfs.Quote(path), n.Size, maxSize)
	}
	return nil
}

// sequential is a reader seen as the io.ReaderAt that a cpio.Record wants. It is read from its beginning to its end.
type sequential struct {
	r   io.Reader
	pos int64
}

func (s *sequential) ReadAt(p []byte, off int64) (int, error) {
	if off != s.pos {
		return 0, fmt.Errorf("read at %d of a stream that is at %d", off, s.pos)
	}
	n := 0
	for n < len(p) {
		m, err := s.r.Read(p[n:])
		n += m
		s.pos += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
