package inflate

import (
	"encoding/binary"
	"fmt"
	"io"
)

// decode decodes the symbols of a block, as many as there is room for.
func (z *Reader) decode() error {
	for {
		// One turn of symbols reads up to two words.
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
			// One turn only. It may read zeros from behind the end; that is checked afterwards.
			limit = z.pos
		}
		before := z.write
		ended, err := z.symbols(limit)
		// Whole bytes that were loaded and not used go back.
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

// symbols decodes until in was read beyond limit or out is full. It reports whether the block has ended.
func (z *Reader) symbols(limit int) (ended bool, err error) {
	literals, distances, in, out := &z.literals, &z.distances, &z.in, &z.out
	pos, write, begin, bits, n := z.pos, z.write, z.begin, z.bits, z.n
	for pos <= limit && write <= full {
		// Load as many bytes as there is room for. Some bits of the next byte may be loaded already; they are the same.
		bits |= binary.LittleEndian.Uint64(in[pos:pos+8]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56

		// Literals of the first table use up to 11 bits. So three leave 23 bits, and a length may use 20.
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
					err = fmt.Errorf("%w: a code has no meaning", ErrCorrupt)
				}
				break
			}
		}
		length := value(e, bits)
		bits >>= bitsOf(e)
		n -= bitsOf(e)

		// At least 14 bits are left, and a distance may use 28.
		bits |= binary.LittleEndian.Uint64(in[pos:pos+8]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56
		e = distances[bits&(1<<distanceBits-1)]
		if e&special != 0 {
			if e&leads != 0 {
				e = distances[int(e>>16)+int(bits>>distanceBits&(1<<codeBits(e)-1))]
			}
			if e&special != 0 {
				err = fmt.Errorf("%w: a code has no meaning", ErrCorrupt)
				break
			}
		}
		distance := value(e, bits)
		bits >>= bitsOf(e)
		n -= bitsOf(e)
		if distance > write-begin {
			err = fmt.Errorf("%w: a copy begins before the content", ErrCorrupt)
			break
		}
		from, to := write-distance, write+length
		switch {
		case distance >= 16:
			// Words may be written beyond the end. What comes next overwrites that.
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
