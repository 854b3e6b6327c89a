package squashfs

import (
	"bytes"
	"io"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// Layer keeps the contents of one layer of an image, compressed, in a file that begins as an image does: with room for
// the superblock. It is written once, from its beginning to its end, until Seal. Then several goroutines may read it,
// each with a cursor of its own.
//
// To package rootfs it is a stream of contents, as a spool is.
type Layer struct {
	p        *Packer
	f        *os.File
	pos      int64 // where the next block goes in f
	end      int64 // of the stream
	contents []content
	extents  []extent
	frags    []fragment

	tail  *job   // the fragment that is being filled; nil if none is
	jobs  []*job // blocks that are not written yet, in order
	known map[sum]int32
	tags  []byte // scratch
	taken bool   // f has become the image
}

// content is a file's content. A small one is a part of a fragment, a larger one is an extent.
type content struct {
	off, size int64 // its place in the stream
	where
	first int32 // the first content that is equal; it may be this one
	live  bool  // it or one that is equal is in the image; only of those that are the first
}

// where is the place of a content in the layer.
type where struct {
	extent, fragment int32
	at               uint32 // in the unpacked fragment
}

const none = -1

// extent is a row of blocks.
type extent struct {
	piece
	blocks []uint32 // their sizes, as in the inode; 0 is a block of zeros, which is nowhere
	sparse int64    // bytes in such blocks
}

// fragment is a block that several small contents share.
type fragment struct {
	piece
	block     uint32 // its size, as in the table of fragments
	raw, used int64  // bytes that it holds, and how many of these are in the image
	number    uint32 // in the image
}

// piece is a range of a file.
type piece struct {
	start, size int64
	live        bool // it is in the image
}

func newLayer(p *Packer, f *os.File) *Layer {
	return &Layer{p: p, f: f, pos: superSize, known: map[sum]int32{}}
}

// Add appends a file and returns where its content is in the stream. It reads f.Size bytes of the content.
func (l *Layer) Add(f spool.File, r io.Reader) (int64, error) {
	c := content{off: l.end, size: f.Size, first: int32(len(l.contents))}
	var err error
	if f.Size < int64(l.p.opt.BlockSize) {
		err = l.addSmall(&c, r)
	} else {
		err = l.addLarge(&c, r)
	}
	l.contents = append(l.contents, c)
	l.end += f.Size
	return c.off, err
}

// addSmall puts a content into a fragment.
func (l *Layer) addSmall(c *content, r io.Reader) error {
	raw, err := l.room(c.size)
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(r, raw); err != nil {
		return err
	}
	l.tags = l.p.sums.add(l.tags[:0], raw)
	key := l.p.sums.of(l.tags, c.size)
	if i, ok := l.known[key]; ok {
		c.first, c.where = i, l.contents[i].where
		return nil
	}
	l.known[key] = c.first
	c.where = l.use(raw)
	return nil
}

// room returns where a small content can be read to: the next bytes of a fragment.
func (l *Layer) room(size int64) ([]byte, error) {
	if l.tail != nil && int64(cap(l.tail.raw)-len(l.tail.raw)) < size {
		if err := l.endFragment(); err != nil {
			return nil, err
		}
	}
	if l.tail == nil {
		l.tail = l.p.job()
		l.tail.extent, l.tail.fragment = none, int32(len(l.frags))
		l.frags = append(l.frags, fragment{})
	}
	begin := len(l.tail.raw)
	return l.tail.raw[begin : begin+int(size)], nil
}

// use makes what room has returned a part of the fragment.
func (l *Layer) use(raw []byte) where {
	begin := len(l.tail.raw)
	l.tail.raw = l.tail.raw[:begin+len(raw)]
	return where{none, l.tail.fragment, uint32(begin)}
}

// endFragment hands the fragment over that was filled.
func (l *Layer) endFragment() error {
	j := l.tail
	l.tail = nil
	if len(j.raw) == 0 { // all that was read into it are duplicates
		l.frags = l.frags[:j.fragment]
		l.p.recycle(j)
		return nil
	}
	return l.put(j)
}

// addLarge makes an extent of a content.
func (l *Layer) addLarge(c *content, r io.Reader) error {
	number := int32(len(l.extents))
	l.extents = append(l.extents, extent{})
	e := &l.extents[number]
	e.blocks = make([]uint32, 0, min((c.size-1)/int64(l.p.opt.BlockSize)+1, 1<<16)) // the size may be a lie
	l.tags = l.tags[:0]
	for left := c.size; left > 0; {
		j := l.p.job()
		j.raw = j.raw[:min(left, int64(cap(j.raw)))]
		if _, err := io.ReadFull(r, j.raw); err != nil {
			return err
		}
		left -= int64(len(j.raw))
		l.tags = l.p.sums.add(l.tags, j.raw)
		e.blocks = append(e.blocks, 0)
		if zero(j.raw) {
			e.sparse += int64(len(j.raw))
			l.p.recycle(j)
			continue
		}
		j.extent, j.fragment, j.block = number, none, len(e.blocks)-1
		if err := l.put(j); err != nil {
			return err
		}
	}
	key := l.p.sums.of(l.tags, c.size)
	if i, ok := l.known[key]; ok {
		if err := l.write(0); err != nil { // so that it is known where they are
			return err
		}
		if e.size > 0 {
			l.pos = e.start
		}
		l.extents = l.extents[:number]
		c.first, c.where = i, l.contents[i].where
		return nil
	}
	l.known[key] = c.first
	c.where = where{number, none, 0}
	return nil
}

// zero reports whether p holds zeros only: its first byte is zero, and each byte is equal to the next.
func zero(p []byte) bool { return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1]) }

// put starts to compress a block, and writes earlier ones if many are on their way.
func (l *Layer) put(j *job) error {
	if len(l.jobs) >= own {
		select {
		case l.p.extra <- struct{}{}:
			j.extra = true
		default:
			if err := l.write(own - 1); err != nil {
				return err
			}
		}
	}
	l.p.start(j)
	l.jobs = append(l.jobs, j)
	return nil
}

// write writes blocks, in their order, until no more than some are left.
func (l *Layer) write(left int) error {
	done := max(0, len(l.jobs)-left)
	for _, j := range l.jobs[:done] {
		if err := l.writeBlock(j); err != nil {
			return err
		}
		l.p.recycle(j)
	}
	l.jobs = append(l.jobs[:0], l.jobs[done:]...)
	return nil
}

func (l *Layer) writeBlock(j *job) error {
	if <-j.done; j.err != nil {
		return j.err
	}
	block, size := j.packed, uint32(len(j.packed))
	if len(j.packed) >= len(j.raw) {
		block, size = j.raw, uint32(len(j.raw))|plainBlock
	}
	if err := l.p.write(l.f, block, l.pos); err != nil {
		return err
	}
	if j.fragment != none {
		l.frags[j.fragment] = fragment{piece: piece{start: l.pos, size: int64(len(block))}, block: size,
			raw: int64(len(j.raw))}
	} else {
		e := &l.extents[j.extent]
		if e.size == 0 {
			e.start = l.pos
		}
		e.size += int64(len(block))
		e.blocks[j.block] = size
	}
	l.pos += int64(len(block))
	return nil
}

// Seal writes what is left. Nothing can be added after it.
func (l *Layer) Seal() error {
	if l.tail != nil {
		if err := l.endFragment(); err != nil {
			return err
		}
	}
	l.known, l.tags = nil, nil
	return l.write(0)
}

// Close frees the memory.
func (l *Layer) Close() error {
	if l.taken {
		return nil
	}
	return l.f.Close()
}

// find returns the content at a place of the stream.
func (l *Layer) find(off int64) *content {
	lo, hi := 0, len(l.contents)
	for lo < hi {
		if m := (lo + hi) / 2; l.contents[m].off+l.contents[m].size <= off {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return &l.contents[lo]
}

// compressed returns how many bytes a block takes, by its size in a list.
func compressed(size uint32) int64 { return int64(size &^ plainBlock) }
