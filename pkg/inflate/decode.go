package inflate

import (
	"encoding/binary"
	"fmt"
	"io"
)

// decode decodes of a block's symbols as many as there is room for.
func (z *Reader) decode() error {
	for {
		// A turn takes up to two words.
		const most = 16
		limit := z.end - most
		switch {
		case z.pos <= limit:
		case !z.eof:
			if err := z.fill(); err != nil {
				return err
			}
			continue
		default:
			// One turn, which may take zeros from behind the end; whether it did shows afterwards.
			limit = z.pos
		}
		before := z.write
		ended, err := z.symbols(limit)
		// What was not taken of the bits goes back.
		z.pos -= int(z.n >> 3)
		z.n &= 7
		z.bits &= 1<<z.n - 1
		switch {
		case z.pos > z.end:
			z.write = before
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		case ended:
			z.finish()
			return nil
		case z.write > full:
			return nil
		}
	}
}

// symbols decodes while in is not read beyond limit and out is not full. It reports whether the block has ended.
func (z *Reader) symbols(limit int) (ended bool, err error) {
	literals, distances, in, out := &z.literals, &z.distances, &z.in, &z.out
	pos, write, begin, bits, n := z.pos, z.write, z.begin, z.bits, z.n
	for pos <= limit && write <= full {
		// As many bytes as there is room for; of the next one bits may be there already, and are the same.
		bits |= binary.LittleEndian.Uint64(in[pos:pos+8]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56

		// Literals of the first table take up to 11 bits, so three leave 23, and a length may take 20.
		e := literals[bits&(1<<literalBits-1)]
		for more := 3; e&literal != 0 && more > 0; more-- {
			out[write] = byte(e >> 16)
			write++
			bits >>= bitsOf(e)
			n -= bitsOf(e)
			e = literals[bits&(1<<literalBits-1)]
		}
		if e&literal != 0 {
			continue
		}
		if e&special != 0 {
			if e&leads != 0 {
				e = literals[int(e>>16)+int(bits>>literalBits&(1<<codeBits(e)-1))]
				if e&literal != 0 {
					out[write] = byte(e >> 16)
					write++
					bits >>= bitsOf(e)
					n -= bitsOf(e)
					continue
				}
			}
			if e&special != 0 {
				bits >>= bitsOf(e)
				n -= bitsOf(e)
				if ended = e>>16 != 0; !ended {
					err = fmt.Errorf("%w: a code means nothing", ErrCorrupt)
				}
				break
			}
		}
		length := value(e, bits)
		bits >>= bitsOf(e)
		n -= bitsOf(e)

		// 14 bits are left at the least, and a distance may take 28.
		bits |= binary.LittleEndian.Uint64(in[pos:pos+8]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56
		e = distances[bits&(1<<distanceBits-1)]
		if e&special != 0 {
			if e&leads != 0 {
				e = distances[int(e>>16)+int(bits>>distanceBits&(1<<codeBits(e)-1))]
			}
			if e&special != 0 {
				err = fmt.Errorf("%w: a code means nothing", ErrCorrupt)
				break
			}
		}
		distance := value(e, bits)
		bits >>= bitsOf(e)
		n -= bitsOf(e)
		if distance > write-begin {
			err = fmt.Errorf("%w: a copy is of what comes before the beginning", ErrCorrupt)
			break
		}
		from, to := write-distance, write+length
		switch {
		case distance >= 16:
			// Words may go beyond the end, where what comes next will be.
			for {
				*(*[16]byte)(out[write : write+16]) = *(*[16]byte)(out[from : from+16])
				if write += 16; write >= to {
					break
				}
				from += 16
			}
		case distance >= 8:
			for {
				*(*[8]byte)(out[write : write+8]) = *(*[8]byte)(out[from : from+8])
				if write += 8; write >= to {
					break
				}
				from += 8
			}
		case distance == 1:
			word := uint64(out[from]) * 0x0101010101010101
			for ; write < to; write += 8 {
				binary.LittleEndian.PutUint64(out[write:], word)
			}
		default:
			for ; write < to; write++ {
				out[write] = out[from]
				from++
			}
		}
		write = to
	}
	z.pos, z.write, z.bits, z.n = pos, write, bits, n
	return ended, err
}
