package inflate

import (
	"hash/crc32"
)

// Bits of a member's header: RFC 1952, section 2.3.1.
const (
	hasSum = 1 << (iota + 1)
	hasExtra
	hasName
	hasComment
	reserved = 0xe0
)

// header reads the header of a member.
func (s *stream) header() error {
	var sum uint32
	next := func() (byte, error) {
		b, err := s.take(8)
		sum = crc32.Update(sum, crc32.IEEETable, []byte{byte(b)})
		return byte(b), err
	}
	var h [10]byte
	for i := range h {
		b, err := next()
		if err != nil {
			return err
		}
		h[i] = b
	}
	flags := h[3]
	if h[0] != 0x1f || h[1] != 0x8b || h[2] != 8 || flags&reserved != 0 {
		return ErrHeader
	}
	if flags&hasExtra != 0 {
		low, err := next()
		if err != nil {
			return err
		}
		high, err := next()
		if err != nil {
			return err
		}
		for range int(high)<<8 | int(low) {
			if _, err := next(); err != nil {
				return err
			}
		}
	}
	for _, text := range []byte{hasName, hasComment} {
		for more := flags&text != 0; more; {
			b, err := next()
			if err != nil {
				return err
			}
			more = b != 0
		}
	}
	if flags&hasSum == 0 {
		return nil
	}
	want := uint16(sum)
	got, err := s.take(16)
	if err == nil && uint16(got) != want {
		err = ErrHeader
	}
	return err
}

// trailer reads the end of a member: the checksum and the size of its content.
func (s *stream) trailer() (sum, size uint32, err error) {
	s.drop(s.n & 7)
	a, err := s.take(32)
	if err != nil {
		return 0, 0, err
	}
	b, err := s.take(32)
	return uint32(a), uint32(b), err
}

// more reports whether anything follows. n is 0, as it is at the end of each member.
func (s *stream) more() (bool, error) {
	for s.pos == s.end {
		if s.eof {
			return false, nil
		}
		if err := s.fill(); err != nil {
			return false, err
		}
	}
	return true, nil
}
