package spool

import (
	"fmt"
	"io"
	"sort"

	"github.com/klauspost/compress/zstd"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/newc"
)

// Cursor reads a spool. It is quick where reading goes forward. It keeps the frame that it has unpacked last, as
// small files share a frame with their neighbours.
type Cursor struct {
	s        *Spool
	release  bool
	released int64 // how much of what is kept as it is was given back; a place in the stream
	next     int   // the first frame that was not given back

	at     int // the frame in data
	data   []byte
	packed []byte // scratch
	all    *zstd.Decoder

	long   int // the frame that is read as a stream
	pos    int64
	stream *zstd.Decoder
}

// NewCursor returns a cursor at the beginning. With release it gives the memory of everything before the place that it
// reads back: nobody can read that again.
func (s *Spool) NewCursor(release bool) *Cursor {
	return &Cursor{s: s, release: release, at: -1, long: -1}
}

// frameAt returns the number of the frame that holds the place off of the stream.
func (s *Spool) frameAt(off int64) int {
	return sort.Search(len(s.frames), func(i int) bool { return s.frames[i].End > off })
}

// ReadAt implements io.ReaderAt. Places are those of the stream.
func (c *Cursor) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) && off < c.s.end {
		if err := c.pass(off); err != nil {
			return done, err
		}
		var n int
		var err error
		if off < c.s.plain {
			end := c.s.plain
			if off < c.s.inMemory() {
				end = c.s.inMemory()
			}
			f, at := c.s.at(off)
			n, err = f.ReadAt(p[done:min(int64(len(p)), int64(done)+end-off)], at)
		} else {
			n, err = c.unpack(p[done:], off)
		}
		done += n
		off += int64(n)
		if err != nil {
			return done, err
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// unpack reads from the frame that holds the place off, at most to the end of the frame.
func (c *Cursor) unpack(p []byte, off int64) (int, error) {
	i := c.s.frameAt(off)
	f := c.s.frames[i]
	var n int
	var err error
	if f.Size() <= FrameSize+newc.TrailerSize {
		if err = c.load(i); err == nil {
			n = copy(p, c.data[off-f.Begin:f.End-f.Begin])
		}
	} else if err = c.seek(i, off); err == nil {
		n, err = io.ReadFull(c.stream, p[:min(int64(len(p)), f.End-off)])
		c.pos += int64(n)
	}
	if err != nil {
		return n, fmt.Errorf("cannot unpack what was kept in memory: %w", err)
	}
	return n, nil
}

// load unpacks a whole frame.
func (c *Cursor) load(i int) (err error) {
	if c.at == i {
		return nil
	}
	if c.all == nil {
		if c.all, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)); err != nil {
			return err
		}
	}
	f := c.s.frames[i]
	if int64(cap(c.packed)) < f.size {
		c.packed = make([]byte, f.size)
	}
	c.at = -1
	if _, err := c.s.f.ReadAt(c.packed[:f.size], f.off); err != nil {
		return err
	}
	if c.data, err = c.all.DecodeAll(c.packed[:f.size], c.data[:0]); err != nil {
		return err
	}
	if int64(len(c.data)) != f.Size() {
		return io.ErrUnexpectedEOF
	}
	c.at = i
	return nil
}

// seek moves the decompressed stream of a large frame to a place in it.
func (c *Cursor) seek(i int, off int64) (err error) {
	f := c.s.frames[i]
	if c.long != i || c.pos > off {
		in := io.NewSectionReader(c.s.f, f.off, f.size)
		if c.stream == nil {
			c.stream, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		} else {
			err = c.stream.Reset(in)
		}
		if err != nil {
			return err
		}
		c.long, c.pos = i, f.Begin
	}
	n, err := io.CopyN(io.Discard, c.stream, off-c.pos)
	c.pos += n
	return err
}

// pass gives back the memory of what lies before off.
func (c *Cursor) pass(off int64) error {
	if !c.release || c.s.taken {
		return nil
	}
	const step = 1 << 20
	all := c.s.inMemory()
	plain := min(off, all)
	if plain-c.released >= step || plain == all && c.released < plain {
		// The page of this place may hold more than what was read.
		to := (Front + plain) &^ (memory.Page - 1)
		if plain == all {
			to = Front + plain
		}
		if err := memory.GiveBack(c.s.f, (Front+c.released)&^(memory.Page-1), to); err != nil {
			return err
		}
		c.released = plain
	}
	for ; c.next < len(c.s.frames) && c.s.frames[c.next].End <= off; c.next++ {
		f := c.s.frames[c.next]
		if err := memory.GiveBack(c.s.f, f.off, f.off+f.size); err != nil {
			return err
		}
	}
	return nil
}

// Close frees the decompressors. With release it gives back the memory of the whole stream.
func (c *Cursor) Close() error {
	if c.all != nil {
		c.all.Close()
	}
	if c.stream != nil {
		c.stream.Close()
	}
	return c.pass(c.s.end)
}
