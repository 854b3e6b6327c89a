package erofs

import (
	"bytes"
	"errors"
	"hash/maphash"
	"io"
	"os"
	"sort"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// Layer keeps the contents of one layer of an image, in a file that begins as an image does: with room for the
// superblock. Small contents are in a file of their own, one after the other. It is written once, from its beginning to
// its end, until Seal. Then several goroutines may read it.
//
// To package rootfs it is a stream of contents, as a spool is.
type Layer struct {
	p        *Packer
	pages    *os.File
	small    *os.File
	pos      int64 // where the next page goes in pages
	smallPos int64
	end      int64 // of the stream
	contents []content
	pieces   []piece

	pending []byte // of small, not written yet
	known   map[sum]int32
	buf     []byte // scratch
	taken   bool   // pages has become the image
}

// content is a file's content.
type content struct {
	off, size int64 // its place in the stream
	start     int64 // its place in the file of pages, or of small contents
	pieces    span  // of a large one
	first     int32 // the first content that is equal; it may be this one
	shared    bool  // others are equal to it; only of those that are the first
	sparse    bool  // so much of it is zeros that they are not in the image
}

// span is a row of pieces of a layer.
type span struct{ from, to int32 }

// piece is a part of a content, in whole pages. One that is not sparse is one piece.
type piece struct {
	start, size int64 // in the file of pages
	at          int64 // in the content
	live        bool  // it is in the image
}

// sum tells contents apart. That two have the same one does not mean that they are equal.
type sum struct {
	hash uint64
	size int64
}

const (
	// largest is the size of the largest content that is beside its inode.
	largest = block / 2
	// step is how much of a content is read at once.
	step = 64 << 10
)

// Add appends a file and returns where its content is in the stream. It reads f.Size bytes of the content.
func (l *Layer) Add(f spool.File, r io.Reader) (int64, error) {
	c := content{off: l.end, size: f.Size, first: int32(len(l.contents))}
	add := l.addLarge
	if c.inline() {
		add = l.addSmall
	}
	err := add(&c, r)
	l.contents = append(l.contents, c)
	l.end += f.Size
	return c.off, err
}

// inline reports whether the content is beside its inode.
func (c *content) inline() bool { return c.size <= largest }

// addSmall keeps a content that is beside its inode.
func (l *Layer) addSmall(c *content, r io.Reader) error {
	raw := l.buf[:c.size]
	if _, err := io.ReadFull(r, raw); err != nil {
		return err
	}
	key := sum{maphash.Bytes(l.p.seed, raw), c.size}
	if i, ok := l.known[key]; ok {
		same, err := l.sameSmall(&l.contents[i], raw)
		if err != nil {
			return err
		}
		if same {
			l.share(c, i)
			return nil
		}
	}
	l.known[key] = c.first
	c.start = l.smallPos
	l.smallPos += c.size
	if l.pending = append(l.pending, raw...); len(l.pending) < step {
		return nil
	}
	return l.flush()
}

// share makes a content the same as an earlier one.
func (l *Layer) share(c *content, i int32) {
	first := &l.contents[i]
	first.shared = true
	c.first, c.start, c.pieces, c.sparse = i, first.start, first.pieces, first.sparse
}

// flush writes the small contents that are pending.
func (l *Layer) flush() error {
	err := l.p.write(l.small, l.pending, l.smallPos-int64(len(l.pending)))
	l.pending = l.pending[:0]
	return err
}

// sameSmall reports whether a content that was added before is equal to raw.
func (l *Layer) sameSmall(c *content, raw []byte) (bool, error) {
	if at := c.start - (l.smallPos - int64(len(l.pending))); at >= 0 {
		return bytes.Equal(l.pending[at:at+c.size], raw), nil
	}
	other := make([]byte, c.size)
	_, err := l.small.ReadAt(other, c.start)
	return bytes.Equal(other, raw), err
}

// addLarge keeps a content in pages of its own. Zeros are not written: a file in memory has them where it has nothing.
func (l *Layer) addLarge(c *content, r io.Reader) error {
	c.start = l.pos
	c.pieces.from = int32(len(l.pieces))
	var hash maphash.Hash
	hash.SetSeed(l.p.seed)
	grid, data, zeros := chunkSize(c.size), false, int64(0)
	for at := int64(0); at < c.size; {
		raw := l.buf[:min(c.size-at, step)]
		if _, err := io.ReadFull(r, raw); err != nil {
			return err
		}
		hash.Write(raw) // a hash takes everything
		if !zero(raw) {
			data = true
			if err := l.p.write(l.pages, raw, c.start+at); err != nil {
				return err
			}
		}
		at += int64(len(raw))
		if at%grid != 0 && at != c.size {
			continue
		}
		if begin := (at - 1) &^ (grid - 1); data {
			l.extend(c, begin, pages(at)-begin)
		} else {
			zeros += at - begin
		}
		data = false
	}
	c.pieces.to = int32(len(l.pieces))
	l.pos += pages(c.size)
	key := sum{hash.Sum64(), c.size}
	if i, ok := l.known[key]; ok {
		same, err := l.sameLarge(&l.contents[i], c)
		if err != nil {
			return err
		}
		if same {
			start, pieces := c.start, c.pieces.from
			l.share(c, i)
			return l.drop(start, pieces)
		}
	}
	l.known[key] = c.first
	// The kernel uses a file in place only if it is in one piece, so a hole must be worth it.
	if c.sparse = zeros >= 1<<20 && zeros >= c.size/8; !c.sparse {
		l.pieces = append(l.pieces[:c.pieces.from], piece{start: c.start, size: pages(c.size)})
		c.pieces.to = c.pieces.from + 1
	}
	return nil
}

// extend adds a part of a content to its pieces.
func (l *Layer) extend(c *content, at, size int64) {
	if n := len(l.pieces); n > int(c.pieces.from) {
		if last := &l.pieces[n-1]; last.at+last.size == at {
			last.size += size
			return
		}
	}
	l.pieces = append(l.pieces, piece{start: c.start + at, size: size, at: at})
}

// drop takes the content back that was added last and begins at start. What comes next relies on zeros there.
func (l *Layer) drop(start int64, pieces int32) error {
	l.pieces, l.pos = l.pieces[:pieces], start
	return l.pages.Truncate(start)
}

// sameLarge reports whether two contents of the same size are equal.
func (l *Layer) sameLarge(a, b *content) (bool, error) {
	one, other := make([]byte, step), make([]byte, step)
	for at := int64(0); at < b.size; at += step {
		n := min(b.size-at, step)
		if err := l.readAt(l.pages, one[:n], a.start+at); err != nil {
			return false, err
		}
		if err := l.readAt(l.pages, other[:n], b.start+at); err != nil {
			return false, err
		}
		if !bytes.Equal(one[:n], other[:n]) {
			return false, nil
		}
	}
	return true, nil
}

// readAt reads from a file of this layer. Behind its end are zeros, which were not written.
func (l *Layer) readAt(f *os.File, p []byte, at int64) error {
	n, err := f.ReadAt(p, at)
	if err == io.EOF {
		clear(p[n:])
		err = nil
	}
	return err
}

// zero reports whether p holds zeros only: its first byte is zero, and each byte is equal to the next.
func zero(p []byte) bool { return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1]) }

// pages rounds up to whole pages.
func pages(n int64) int64 { return (n + block - 1) &^ (block - 1) }

// chunkSize returns the size of the parts of a content that are in the image or not.
func chunkSize(size int64) int64 {
	grid := int64(step)
	for size/grid >= 4096 {
		grid *= 2
	}
	return grid
}

// Seal writes what is left. Nothing can be added after it.
func (l *Layer) Seal() error {
	err := l.flush()
	l.known, l.pending, l.buf = nil, nil, nil
	return err
}

// Close frees the memory.
func (l *Layer) Close() error {
	err := l.small.Close()
	if !l.taken {
		err = errors.Join(err, l.pages.Close())
	}
	return err
}

// find returns the content at a place of the stream.
func (l *Layer) find(off int64) *content {
	return &l.contents[sort.Search(len(l.contents), func(i int) bool {
		return l.contents[i].off+l.contents[i].size > off
	})]
}

// Open returns a reader. With release it gives the memory of contents back behind itself.
func (l *Layer) Open(release bool) rootfs.Reader { return &reader{l, release} }

// reader reads a layer. Places are those of the stream.
type reader struct {
	l       *Layer
	release bool
}

// Close does nothing.
func (r *reader) Close() error { return nil }

// ReadAt implements io.ReaderAt.
func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) && off < r.l.end {
		c := r.l.find(off)
		n := min(int64(len(p)-done), c.off+c.size-off)
		if err := r.read(c, p[done:done+int(n)], off-c.off); err != nil {
			return done, err
		}
		done += int(n)
		off += n
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// read reads a part of a content.
func (r *reader) read(c *content, p []byte, at int64) error {
	if c.inline() {
		return r.l.readAt(r.l.small, p, c.start+at)
	}
	if err := r.l.readAt(r.l.pages, p, c.start+at); err != nil || !r.release || r.l.contents[c.first].shared {
		return err
	}
	end := at + int64(len(p))
	if end == c.size {
		end = pages(end)
	}
	return memory.GiveBack(r.l.pages, c.start+at&^(block-1), c.start+end&^(block-1))
}
