package rootfs

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync/atomic"

	"gitlab.com/wyrcan/wyrcan/pkg/compression"
	"gitlab.com/wyrcan/wyrcan/pkg/cores"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// Layer is one layer of an image as a registry stores it.
type Layer interface {
	// Open returns the stored bytes: a tar archive, compressed with gzip or zstd, or not compressed. Its Read must
	// verify the bytes before it returns io.EOF, and should fail once the context is done.
	Open(context.Context) (io.ReadCloser, error)
	// Digests returns the digest of the stored bytes, and the digest of the archive in them, the DiffID (config.md),
	// in the form "sha256:0123...". A digest that nobody knows is empty.
	Digests() (stored, archive string)
	// String names the layer in messages.
	String() string
}

// Options bound what Read may use. The zero value suits a machine with memory to spare.
type Options struct {
	// Memory is how many bytes of contents may be kept as they are, including files that upper layers replace; 0 is no
	// limit. Further contents are kept packed with zstd, as they would be in an initramfs.
	Memory int64
	// Overflow makes a file that is not in memory and has no name. If it is set, contents beyond Memory go there
	// instead and are not packed.
	Overflow func() (*os.File, error)
	// Grow is asked, now and then, whether contents may take more memory; nil is no limit. Read returns its error.
	Grow func() error
	// MaxBytes is how many bytes all layers together may hold uncompressed; 0 is 64 GiB. It stops a decompression bomb.
	MaxBytes int64
	// MaxEntries is how many files the tree may have at any time, and how many members each layer may have; 0 is 1 <<
	// 23. The index and the tree take some 300 bytes for each, and the name; Grow is asked about these, too.
	MaxEntries int
	// Store makes the place for the contents of a layer; nil is a spool. Memory and Overflow are about spools, and so is
	// Grow.
	Store func() (Store, error)
	// Twice, if set, has the layers read twice, so that contents that upper layers hide are never kept. What is hidden is
	// certain only when the names in all layers are known, because a path may lead through a link of any layer. So Read
	// keeps no content at first. When it knows the tree, it calls Twice, and returns its error. Then it opens the layers
	// again that have a content of the tree.
	Twice func(First) error
	// Early are layers, by their numbers, that are read before the others, so that files of lower layers that these hide
	// are never kept. They had better be small, because the contents of the others wait for them. Where such a file turns
	// out to have another name, its layer is read again. It has no effect where the layers are read twice.
	Early []int
	// Again is told the number of each layer that is opened once more, before that begins; nil tells nobody.
	Again func(layer int)
	// AtOnce is how many layers are read at the same time; 0 is as many as there are processors, and at least 4. Each
	// takes some MiB for what is on its way.
	AtOnce int
	// Formats are further compressions that layers may have, besides gzip and zstd.
	Formats []compression.Format
	// SkipDiffIDs leaves out the check that a decompressed layer has the digest in the image's configuration. The
	// check costs a second hash, over more bytes than the first (docs/benchmarks.md has numbers).
	SkipDiffIDs bool
	// Cores is how many processors the layers share that are decompressed by several; each may take 15 MiB. With fewer
	// than four, each layer is decompressed by one.
	Cores int
	// Under is how many of the lowest layers are those of an image that is laid under another one. Their files are where
	// the links of the upper image lead: see Tree.Under.
	Under int
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 30
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = 1 << 23
	}
	o.Early = slices.Compact(slices.Sorted(slices.Values(o.Early)))
	if o.AtOnce == 0 {
		o.AtOnce = max(4, runtime.GOMAXPROCS(0))
	}
	return o
}

// maxText bounds the names, link targets and extended attributes of all layers together, in bytes.
const maxText = 512 << 20

// errTooMuch is why reading stops at a bound. The rest of the layer is not read then.
var errTooMuch = errors.New("too much")

// bounds are shared by the layers of an image while they are read.
type bounds struct {
	Options
	contents spool.Room
	cores    *cores.Cores // nil if each layer has one
	hidden   *hidden
	bytes    atomic.Int64
	text     atomic.Int64
	entries  atomic.Int64
}

// newBounds returns bounds of which nothing is used yet.
func newBounds(opt Options) *bounds {
	b := &bounds{Options: opt.withDefaults()}
	b.contents.Limit, b.contents.Overflow = b.Memory, b.Overflow
	if b.Cores >= cores.Least {
		b.cores = cores.New(b.Cores)
	}
	if b.Grow != nil {
		b.contents.Grow = func() error {
			if err := b.Grow(); err != nil {
				return &outgrown{err}
			}
			return nil
		}
	}
	return b
}

// store makes the place for the contents of a layer.
func (b *bounds) store() (Store, error) {
	if b.Store != nil {
		return b.Store()
	}
	s, err := spool.New(&b.contents)
	return spooled{s}, err
}

// pass counts n uncompressed bytes.
func (b *bounds) pass(n int64) error {
	if b.bytes.Add(n) > b.MaxBytes {
		return fmt.Errorf("%w: the layers of the image hold more than %d MiB uncompressed, the limit for them",
			errTooMuch, b.MaxBytes>>20)
	}
	return nil
}

// entry counts an entry of a layer, or a name of the tree, and asks now and then whether there is memory for more.
func (b *bounds) entry() error {
	const often = 1 << 12 // about a megabyte
	if b.contents.Grow == nil || b.entries.Add(1)%often != 0 {
		return nil
	}
	if err := b.contents.Grow(); err != nil {
		return broken("", err)
	}
	return nil
}

// stored is a layer that was read.
type stored struct {
	name    string
	format  string // how it was compressed
	index   index
	content Store
}

// source is a layer as it arrives. It remembers why reading it failed. If the digest is wrong, that is the cause; the
// error of the decompressor is only its effect.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// cause returns why reading failed, where err is what was seen. It reads the source to its end, where the digest is
// checked.
func (s *source) cause(err error) error {
	if s.err == nil && !errors.Is(err, errTooMuch) {
		// If that fails, s.err has the cause.
		_, _ = io.Copy(io.Discard, s)
	}
	if s.err != nil {
		return s.err
	}
	return err
}

// Sizes of the chunks between the stages of the pipeline: before and behind the decompressor.
const (
	rawChunk, rawChunks         = 128 << 10, 4
	archiveChunk, archiveChunks = 256 << 10, 3
)

// readLayer reads one layer and keeps its contents in a store.
func readLayer(ctx context.Context, l Layer, number int32, b *bounds, content Store) (*stored, error) {
	s := &stored{name: l.String(), content: content}
	err := s.read(ctx, l, b, func(r io.Reader, h *tar.Header, seq int32) error {
		return s.member(ctx, r, h, number, seq, b)
	})
	if err == nil {
		err = b.hidden.add(number, &s.index, b.entry)
	}
	if err != nil {
		content.Close()
		return nil, err
	}
	return s, nil
}

// read reads a layer. One goroutine receives and hashes it, a second one decompresses it, a third one hashes the
// archive. The caller's goroutine calls member for each member of the archive, and seals the store.
func (s *stored) read(ctx context.Context, l Layer, b *bounds, member eachMember) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	rc, err := l.Open(ctx)
	if err != nil {
		return err
	}
	defer rc.Close()
	src := &source{ctx: ctx, r: rc}
	var sums sums
	if sums.stored, sums.archive = l.Digests(); b.SkipDiffIDs {
		sums.archive = ""
	}
	if err := s.take(src, sums, b, member); err != nil {
		return src.cause(err)
	}
	return s.content.Seal()
}

// eachMember is called for each member of an archive, with its content, and with its number in the archive.
type eachMember func(content io.Reader, h *tar.Header, seq int32) error

// take reads the layer from in, to its end, even if the archive ends before.
func (s *stored) take(in io.Reader, sums sums, b *bounds, member eachMember) error {
	raw := readAhead(in, rawChunk, rawChunks, nil)
	defer raw.Close()
	archive, format, err := compression.Open(raw, b.cores, b.Formats...)
	if err != nil {
		return err
	}
	defer archive.Close()
	s.format = format
	check, err := sums.check(format)
	if err != nil {
		return err
	}
	out := readAhead(&limited{archive, b.pass}, archiveChunk, archiveChunks, check.write())
	defer out.Close()

	tr := tar.NewReader(out)
	for seq := int32(0); ; seq++ {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return broken("is no intact tar archive", err)
		}
		if err := member(tr, h, seq); err != nil {
			return fmt.Errorf("%s %w", Quote(h.Name), err)
		}
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		return broken("has a broken end", err)
	}
	return check.end()
}

// member reads one member of the archive.
func (s *stored) member(ctx context.Context, r io.Reader, h *tar.Header, number, seq int32, b *bounds) error {
	e, err := newEntry(h)
	if err == errSkip {
		return nil
	}
	if err != nil {
		return err
	}
	e.layer, e.seq = number, seq
	if s.index.count == b.MaxEntries {
		return fmt.Errorf("is %w: the layer has more than %d entries", errTooMuch, b.MaxEntries)
	}
	if err := b.entry(); err != nil {
		return err
	}
	if b.text.Add(e.weight()) > maxText {
		return fmt.Errorf("is %w: names and attributes take more than %d MiB", errTooMuch, maxText>>20)
	}
	if e.regular() {
		if isSparse(h) {
			// Its holes are not in the archive, so they were not counted yet.
			if err := b.pass(e.size); err != nil {
				return fmt.Errorf("is %w", err)
			}
		} else if b.bytes.Load()+e.size-archiveChunk*(archiveChunks+2) > b.MaxBytes {
			// What was read ahead is counted already, and may be a part of this file.
			return fmt.Errorf("is %w", b.pass(b.MaxBytes))
		}
		if e.size > 0 {
			hides, err := b.hidden.has(ctx, e.path, number)
			if err != nil {
				return err
			}
			if e.off = unkept; !hides {
				if err := s.keep(&e.inode, r); err != nil {
					return err
				}
			}
		}
	}
	s.index.add(e)
	return nil
}

// keep adds the content of a file to the store.
func (s *stored) keep(i *inode, content io.Reader) (err error) {
	if i.off, err = s.content.Add(i.file(), content); err != nil {
		return broken("breaks off", err)
	}
	return nil
}

// broken tells why reading ended: at a bound, or because of what the layer holds, which how names. The message goes
// on after the name of the layer or of the file.
func broken(how string, err error) error {
	switch {
	case TooMuch(err):
		how = "is"
	case errors.Is(err, errTooMuch): // Options.Grow says so
		how = "cannot be kept:"
	default:
		how += ":"
	}
	return fmt.Errorf("%s %w", how, err)
}

func (n *inode) regular() bool { return n.mode&typeMask == typeRegular }

// limited counts the bytes that it reads and fails beyond a limit. io.LimitedReader would end there instead.
type limited struct {
	r    io.Reader
	take func(n int64) error // called for each n bytes
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if tooMuch := l.take(int64(n)); tooMuch != nil {
		return 0, tooMuch
	}
	return n, err
}
