package inflate

import (
	"hash/crc32"
	"io"
)

// Bits of a member's header: RFC 1952, section 2.3.1.
const (
	hasSum = 1 << (iota + 1)
	hasExtra
	hasName
	hasComment
	reserved = 0xe0
)

// member reads the header of a member.
func (z *Reader) member() error {
	z.sum = 0
	var h [10]byte
	for i := range h {
		b, err := z.headerByte()
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
		low, err := z.headerByte()
		if err != nil {
			return err
		}
		high, err := z.headerByte()
		if err != nil {
			return err
		}
		for range int(high)<<8 | int(low) {
			if _, err := z.headerByte(); err != nil {
				return err
			}
		}
	}
	for _, text := range []byte{hasName, hasComment} {
		for more := flags&text != 0; more; {
			b, err := z.headerByte()
			if err != nil {
				return err
			}
			more = b != 0
		}
	}
	if flags&hasSum != 0 {
		want := uint16(z.sum)
		got, err := z.take(16)
		if err != nil {
			return err
		}
		if uint16(got) != want {
			return ErrHeader
		}
	}
	z.sum, z.size, z.begin, z.step = 0, 0, z.write, (*Reader).block
	return nil
}

// headerByte reads a byte of a header and adds it to the header's checksum.
func (z *Reader) headerByte() (byte, error) {
	b, err := z.take(8)
	z.sum = crc32.Update(z.sum, crc32.IEEETable, []byte{byte(b)})
	return byte(b), err
}

// trailer reads the end of a member.
func (z *Reader) trailer() error {
	z.check()
	z.drop(z.n & 7)
	sum, err := z.take(32)
	if err != nil {
		return err
	}
	size, err := z.take(32)
	if err != nil {
		return err
	}
	if uint32(sum) != z.sum || uint32(size) != z.size {
		return ErrChecksum
	}
	z.step = (*Reader).another
	return nil
}

// another finds out whether the file has another member. z.n is 0, as it is at the end of each member.
func (z *Reader) another() error {
	for z.pos == z.end {
		if z.eof {
			return io.EOF
		}
		if err := z.fill(); err != nil {
			return err
		}
	}
	z.step = (*Reader).member
	return nil
}
