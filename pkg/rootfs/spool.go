package rootfs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/klauspost/compress/s2"
	"golang.org/x/sys/unix"
)

// spool keeps the contents of a layer's files, one behind the other, in a file in memory which has no name and so needs
// no cleaning up. They are cut into chunks. A chunk is kept as it is while the budget lasts, then packed with S2: that
// is about as large as gzip's form, and made and undone ten times faster, so nothing is inflated twice.
type spool struct {
	f      *os.File
	room   *budget
	chunks []chunk
	stored int64  // bytes in f
	end    int64  // bytes appended
	buf    []byte // the last chunk, before it is full
	packed []byte // scratch
}

// chunk is where spoolChunk bytes are, the last of a spool excepted, which may be shorter.
type chunk struct {
	off  int64
	size int32 // in the file; 0 is a chunk of zeros
	form form
}

type form uint8

const (
	plain form = iota
	packed
)

const spoolChunk = 1 << 20

func newSpool(room *budget) (*spool, error) {
	fd, err := unix.MemfdCreate("layer", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a file in memory: %w", err)
	}
	return &spool{f: os.NewFile(uintptr(fd), "layer"), room: room}, nil
}

// ReadFrom appends what r holds.
func (s *spool) ReadFrom(r io.Reader) (int64, error) {
	start := s.end
	if s.buf == nil {
		s.buf = make([]byte, 0, spoolChunk)
	}
	for {
		n, err := r.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
		s.end += int64(n)
		if len(s.buf) == cap(s.buf) {
			if err := s.flush(); err != nil {
				return s.end - start, err
			}
		}
		if err == io.EOF {
			return s.end - start, nil
		}
		if err != nil {
			return s.end - start, err
		}
	}
}

// flush ends a chunk.
func (s *spool) flush() error {
	c := chunk{off: s.stored}
	data := s.buf
	switch {
	case zero(data):
		data = nil
	case !s.room.take(int64(len(data))):
		if s.packed == nil {
			s.packed = make([]byte, s2.MaxEncodedLen(spoolChunk))
		}
		if out := s2.Encode(s.packed, data); len(out) < len(data) {
			c.form, data = packed, out
		}
	}
	c.size = int32(len(data))
	if _, err := s.f.WriteAt(data, s.stored); err != nil {
		return fmt.Errorf("cannot keep it in memory: %w", err)
	}
	s.stored += int64(len(data))
	s.chunks = append(s.chunks, c)
	s.buf = s.buf[:0]
	return nil
}

// zero says whether p is zeros: its first byte is, and each is equal to the next.
func zero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// seal ends appending; the spool can be read from then on.
func (s *spool) seal() error {
	var err error
	if len(s.buf) > 0 {
		err = s.flush()
	}
	s.buf, s.packed = nil, nil
	return err
}

func (s *spool) Close() error { return s.f.Close() }

// cursor reads a spool. It keeps the chunk that it has unpacked last, for small files lie side by side. A cursor that
// releases gives the memory of all chunks before its own back.
type cursor struct {
	s        *spool
	release  bool
	released int

	at   int // the chunk in data
	data []byte
	in   []byte // scratch
}

func newCursor(s *spool) *cursor { return &cursor{s: s, at: -1} }

// ReadAt implements io.ReaderAt.
func (c *cursor) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) && off < c.s.end {
		i := int(off / spoolChunk)
		if err := c.pass(i); err != nil {
			return done, err
		}
		within := off % spoolChunk
		length := min(spoolChunk, c.s.end-int64(i)*spoolChunk)
		part := p[done:min(int64(len(p)), int64(done)+length-within)]
		switch ch := c.s.chunks[i]; {
		case ch.size == 0:
			clear(part)
		case ch.form == plain:
			if _, err := c.s.f.ReadAt(part, ch.off+within); err != nil {
				return done, err
			}
		default:
			if err := c.unpack(i); err != nil {
				return done, err
			}
			copy(part, c.data[within:])
		}
		done += len(part)
		off += int64(len(part))
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

func (c *cursor) unpack(i int) error {
	if c.at == i {
		return nil
	}
	ch := c.s.chunks[i]
	if c.in == nil {
		c.in, c.data = make([]byte, spoolChunk), make([]byte, spoolChunk)
	}
	in := c.in[:ch.size]
	if _, err := c.s.f.ReadAt(in, ch.off); err != nil {
		return err
	}
	data, err := s2.Decode(c.data[:cap(c.data)], in)
	if err != nil {
		return fmt.Errorf("cannot unpack what was kept in memory: %w", err)
	}
	c.at, c.data = i, data
	return nil
}

// pass releases the chunks before number i.
func (c *cursor) pass(i int) error {
	if !c.release || c.released >= i {
		return nil
	}
	// Only whole pages are given back: the page in which the last release ended goes with this one.
	const page = 4 << 10
	from, to := c.s.chunks[c.released].off&^(page-1), (c.s.stored+page-1)&^(page-1)
	if i < len(c.s.chunks) {
		to = c.s.chunks[i].off
	}
	c.released = i
	if from == to {
		return nil
	}
	if err := unix.Fallocate(int(c.s.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from); err != nil {
		return fmt.Errorf("cannot give memory back: %w", err)
	}
	return nil
}

// finish releases all that is left.
func (c *cursor) finish() error {
	if c == nil {
		return nil
	}
	return c.pass(len(c.s.chunks))
}

// budget is memory that several layers share.
type budget struct {
	limit int64 // 0 is none
	used  atomic.Int64
}

// take asks for n bytes and says whether they fit.
func (b *budget) take(n int64) bool {
	if used := b.used.Add(n); b.limit == 0 || used <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}
