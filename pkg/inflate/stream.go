package inflate

import "io"

const (
	inSize = 64 << 10
	// slack is how many zeros follow the end of the source in the buffer: the decoder reads words.
	slack = 32
)

// stream is a DEFLATE stream, or a file with several, as it is read bit by bit.
type stream struct {
	src  io.Reader
	eof  bool  // src has ended
	base int64 // where in begins in src
	pos  int   // up to end: the part of in that was not loaded yet
	end  int
	bits uint64 // loaded and not used yet, the next one lowest; n of them
	n    uint64

	// The block that is being read.
	last      bool // it is the member's last one
	coded     bool
	stored    int                // bytes left of it if it is not coded
	literals  [literalSize]entry // tables of its code
	distances [distanceSize]entry
	fixed     bool // they are those of the fixed code

	in [inSize + slack]byte
}

// at returns how many bits of the source were used.
func (s *stream) at() int64 { return (s.base+int64(s.pos))*8 - int64(s.n) }

// fill reads more of the source into in, behind what is left there. At the end of the source it writes zeros.
func (s *stream) fill() error {
	s.base += int64(s.pos)
	s.end = copy(s.in[:], s.in[s.pos:s.end])
	s.pos = 0
	for range 100 {
		n, err := s.src.Read(s.in[s.end:inSize])
		s.end += n
		if err == io.EOF {
			s.eof = true
			clear(s.in[s.end : s.end+slack])
			return nil
		}
		if n > 0 || err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// need loads bits until there are at least n, up to 57.
func (s *stream) need(n uint64) error {
	for s.n < n {
		for s.pos == s.end {
			if s.eof {
				return io.ErrUnexpectedEOF
			}
			if err := s.fill(); err != nil {
				return err
			}
		}
		s.bits |= uint64(s.in[s.pos]) << s.n
		s.pos++
		s.n += 8
	}
	return nil
}

// drop uses n of the loaded bits.
func (s *stream) drop(n uint64) uint64 {
	b := s.bits & (1<<n - 1)
	s.bits >>= n
	s.n -= n
	return b
}

// take loads and uses n bits, up to 57, the first one lowest.
func (s *stream) take(n uint64) (uint64, error) {
	if err := s.need(n); err != nil {
		return 0, err
	}
	return s.drop(n), nil
}
