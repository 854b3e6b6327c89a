package initrd

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
	"golang.org/x/sys/unix"
)

// Options say what goes into the archive and how it is compressed. The zero value is the whole tree, uncompressed.
type Options struct {
	Compression Compression
	Level       int   // of zstd(1) or gzip(1); 0 is the fastest
	Plain       int64 // with Mixed, how many bytes of what Waiting calls loose stay as they are

	// Skip leaves a path out. A directory that is left out takes nothing below it along, and the kernel drops what
	// has no parent.
	Skip func(*rootfs.Node) bool
	// Move puts the file at a path of the tree, which is not a directory, at another one.
	Move map[string]string
	// Split has files of the tree with more than MaxSize bytes, by their paths, be written as several: the first MaxFirst
	// bytes at the path, and the rest in parts of PartSize bytes, the last one excepted, whose paths are what Split says with
	// a number behind, from 1 on. All names of a file must have the same. Who boots the archive has to join them.
	Split map[string]string
	// Extra come right after the root directory, in this order. They take the place of what the tree has at their
	// paths, which must not be a directory unless the extra file is one.
	Extra []File
	// Last come after all else. The kernel stops at what it has no room for, so where these are, everything is.
	Last []File
	// Single has Make write one archive too, in one frame, for what reads no further than the first: cpio(1).
	Single bool
	// Grow is asked by Make, now and then, whether the archive may take more memory; nil is always. Its error is Make's.
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
	Split   int   // symbolic links that were hard links of each other, which the kernel makes single ones
}

// Limits of the kernel's unpacker and of its file systems: a longer name is dropped without a word.
const (
	maxPath = 4096 - 1 // PATH_MAX without the NUL
	maxName = 255      // NAME_MAX
)

const (
	// MaxSize is the size in bytes of the largest file that an archive can have.
	MaxSize = spool.MaxSize
	// MaxFirst is how much of a larger one Options.Split leaves in its place: whole pages, so that what is appended fills pages.
	MaxFirst = MaxSize + 1 - memory.Page
	// PartSize is the size of the parts of the rest: as much is in memory twice while they are joined.
	PartSize = 64 << 20
)

// Write writes the tree as one archive, as one frame or member where it is compressed: the kernel reads no further
// than the first. Parents come before what is in them, and contents in the order in which Walk reads them.
func Write(ctx context.Context, w io.Writer, t *rootfs.Tree, opt Options) (Result, error) {
	return write(ctx, w, t.Walk, opt)
}

// walk is rootfs.Tree's Walk or Consume.
type walk func(context.Context, func(*rootfs.Node, io.Reader) error) error

func write(ctx context.Context, w io.Writer, walk walk, opt Options) (Result, error) {
	out, err := newSingle(w, opt.Compression, opt.Level)
	if err != nil {
		return Result{}, err
	}
	a := newArchive(out, opt)
	err = a.write(ctx, walk)
	if e := out.Close(); err == nil {
		err = e
	}
	return a.result, err
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
	out *counter // where rec writes

	segments *segmented // nil for a single archive
	// For Make: what comes after the directories, and whether a file is in the archive already.
	endHead func() error
	keep    func(*rootfs.Node) (bool, error)

	opt    Options
	moved  map[string]bool // where Move put something
	extra  map[string]bool // what Extra put where: true is a directory
	number uint32          // of the last file with several names
	last   *rootfs.Node    // the file whose names are being written
	header []byte          // scratch
	buf    []byte          // scratch
	result Result
}

func newArchive(out io.Writer, opt Options) *archive {
	a := &archive{opt: opt, moved: map[string]bool{}, extra: map[string]bool{}}
	a.out = &counter{w: out, n: &a.result.Size}
	a.rec = cpio.Newc.Writer(a.out)
	for _, f := range opt.Extra {
		a.extra[f.Node.Path] = f.Node.Dir()
	}
	for _, to := range opt.Move {
		a.moved[to] = true
	}
	return a
}

// write writes what a walk visits.
func (a *archive) write(ctx context.Context, walk walk) error {
	headed := a.endHead == nil
	err := walk(ctx, func(n *rootfs.Node, content io.Reader) error {
		if !headed && !n.Dir() {
			headed = true
			if err := a.endHead(); err != nil {
				return err
			}
		}
		return a.visit(n, content)
	})
	if err == nil && !headed {
		err = a.endHead()
	}
	if err != nil {
		return err
	}
	if err := a.putFiles(a.opt.Last); err != nil {
		return err
	}
	return a.end()
}

func (a *archive) visit(n *rootfs.Node, content io.Reader) error {
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
	if a.keep != nil && content != nil {
		if err := a.check(n, n.Path); err != nil {
			return err
		}
		if kept, err := a.keep(n); err != nil || kept {
			return err
		}
	}
	return a.put(n, n.Path, content)
}

// end writes the trailer.
func (a *archive) end() error {
	if a.segments != nil && !a.segments.open() {
		return nil
	}
	if err := cpio.WriteTrailer(a.rec); err != nil || a.segments == nil {
		return err
	}
	return a.segments.end()
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
	if err := a.check(n, path); err != nil {
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
	f := spool.File{
		Path: path, Mode: n.Mode, UID: n.UID, GID: n.GID, ModTime: n.ModTime.Unix(), Links: uint32(max(1, links)),
	}
	var left int64 // for parts
	switch {
	case n.Symlink():
		content, f.Size = strings.NewReader(n.Target), int64(len(n.Target))
	case n.Regular() && content != nil:
		f.Size = n.Size
		if f.Size > MaxSize {
			f.Size, left = MaxFirst, f.Size-MaxFirst
		}
	}
	if !again {
		// Hard links do not reach from one archive into another, so one begins only here.
		if err := a.cut(f.Size + left); err != nil {
			return fmt.Errorf("cannot write %s: %w", rootfs.Quote(path), err)
		}
		if links > 1 {
			a.number++
		}
	}
	if links > 1 {
		f.Number = a.number
	}
	a.last = n
	err := a.record(n, f, content)
	for i := 1; left > 0 && err == nil; i++ {
		size := min(left, PartSize)
		err = a.record(n, spool.File{Path: a.opt.Split[n.Path] + strconv.Itoa(i), Mode: unix.S_IFREG | 0o600, Size: size}, content)
		left -= size
		a.result.Records++
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", rootfs.Quote(path), err)
	}
	a.result.Records++
	return nil
}

// record writes one with u-root's writer if it has no content. Otherwise that would begin with a new buffer for each.
func (a *archive) record(n *rootfs.Node, f spool.File, content io.Reader) error {
	if f.Size == 0 {
		return a.rec.WriteRecord(cpio.Record{Info: cpio.Info{
			Ino: uint64(f.Number), Name: f.Path, Mode: uint64(f.Mode), UID: uint64(f.UID), GID: uint64(f.GID),
			NLink: uint64(f.Links), MTime: uint64(min(max(f.ModTime, 0), math.MaxUint32)), Rmajor: uint64(n.Major), Rminor: uint64(n.Minor),
		}})
	}
	a.header = spool.Header(a.header[:0], f)
	if _, err := a.out.Write(a.header); err != nil {
		return err
	}
	if a.buf == nil {
		a.buf = make([]byte, 256<<10)
	}
	for left := f.Size; left > 0; {
		part := a.buf[:min(left, int64(len(a.buf)))]
		if _, err := io.ReadFull(content, part); err != nil {
			return err
		}
		if _, err := a.out.Write(part); err != nil {
			return err
		}
		left -= int64(len(part))
	}
	_, err := a.out.Write(make([]byte, spool.Padded(f.Size)-f.Size))
	return err
}

// cut begins another archive before a file of this size where that is due.
func (a *archive) cut(size int64) error {
	if a.segments == nil || a.segments.fits(size) {
		return nil
	}
	if err := a.end(); err != nil {
		return err
	}
	a.rec = cpio.Newc.Writer(a.out)
	return a.segments.begin(size)
}

// check refuses what the kernel would drop, or read as something else.
func (a *archive) check(n *rootfs.Node, path string) error {
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
	case n.Size > MaxSize && a.opt.Split[n.Path] == "":
		return fmt.Errorf("%s has %d bytes; a file in an initramfs can have at most %d (2 GiB - 1)", rootfs.Quote(path), n.Size, MaxSize)
	}
	return nil
}
