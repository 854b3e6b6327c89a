package rootfs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// spool is a growing file in memory which has no name and so needs no cleaning up.
type spool struct {
	f   *os.File
	end int64  // what was appended
	buf []byte // the last bytes of it, not yet in f
}

// spoolBuffer makes small files cost a copy instead of a system call each.
const spoolBuffer = 256 << 10

func newSpool(name string) (*spool, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a file in memory: %w", err)
	}
	return &spool{f: os.NewFile(uintptr(fd), name)}, nil
}

// Write appends p.
func (s *spool) Write(p []byte) (int, error) {
	if err := s.flush(); err != nil {
		return 0, err
	}
	n, err := s.f.WriteAt(p, s.end)
	s.end += int64(n)
	if err != nil {
		err = fmt.Errorf("cannot keep it in memory: %w", err)
	}
	return n, err
}

// ReadFrom appends what r holds.
func (s *spool) ReadFrom(r io.Reader) (int64, error) { return s.read(r, false) }

// readSparse does the same for a file that is known to have holes, which take no memory.
func (s *spool) readSparse(r io.Reader) (int64, error) { return s.read(r, true) }

func (s *spool) read(r io.Reader, sparse bool) (int64, error) {
	start := s.end
	if s.buf == nil {
		s.buf = make([]byte, 0, spoolBuffer)
	}
	for {
		if len(s.buf) == cap(s.buf) || sparse {
			if err := s.flush(); err != nil {
				return s.end - start, err
			}
		}
		n, err := r.Read(s.buf[len(s.buf):cap(s.buf)])
		p := s.buf[len(s.buf) : len(s.buf)+n]
		s.end += int64(n)
		if !sparse || !zero(p) {
			s.buf = s.buf[:len(s.buf)+n]
		} else if err := s.f.Truncate(s.end); err != nil {
			return s.end - start, fmt.Errorf("cannot keep it in memory: %w", err)
		}
		if err == io.EOF {
			return s.end - start, nil
		}
		if err != nil {
			return s.end - start, err
		}
	}
}

// zero says whether p is zeros: its first byte is, and each is equal to the next.
func zero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

func (s *spool) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	_, err := s.f.WriteAt(s.buf, s.end-int64(len(s.buf)))
	s.buf = s.buf[:0]
	if err != nil {
		return fmt.Errorf("cannot keep it in memory: %w", err)
	}
	return nil
}

// seal ends appending; the spool can be read from then on.
func (s *spool) seal() error {
	err := s.flush()
	s.buf = nil
	return err
}

func (s *spool) section(off, size int64) *io.SectionReader {
	return io.NewSectionReader(s.f, off, size)
}

func (s *spool) Close() error { return s.f.Close() }

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

func (b *budget) give(n int64) { b.used.Add(-n) }
