package inflate

import (
	"encoding/binary"
	"fmt"
	"io"
)

// content is the end of what was decoded. Its elements are bytes, or, where a copy may come from before what is known,
// numbers that can stand for such a byte.
type content[T byte | uint16] struct {
	write int // where the next one goes
	begin int // where this member begins; 0 if that is gone
	out   [outSize]T
}

const (
	window = 32 << 10 // how far back a copy may reach

	outSize = window + 256<<10
	// full is up to where out has room for one turn of the decoder: literals, a copy, and what words write beyond its
	// end.
	full = outSize - 3 - 258 - 16
)

// block decodes the block that s is in, as far as there is room. It reports whether the block has ended.
func (c *content[T]) block(s *stream) (ended bool, err error) {
	if !s.coded {
		return c.verbatim(s)
	}
	return c.decode(s)
}

// verbatim copies a block that is not compressed. No bits are loaded: the block's length has used all of them.
func (c *content[T]) verbatim(s *stream) (ended bool, err error) {
	for s.stored > 0 && c.write <= full {
		if s.pos == s.end {
			if s.eof {
				return false, io.ErrUnexpectedEOF
			}
			if err := s.fill(); err != nil {
				return false, err
			}
		}
		in := s.in[s.pos:min(s.end, s.pos+s.stored, s.pos+outSize-c.write)]
		for i, b := range in {
			c.out[c.write+i] = T(b)
		}
		s.pos += len(in)
		c.write += len(in)
		s.stored -= len(in)
	}
	return s.stored == 0, nil
}

// decode decodes symbols.
func (c *content[T]) decode(s *stream) (ended bool, err error) {
	for {
		// One turn of symbols reads up to two words.
		const most = 16
		limit := s.end - most
		switch {
		case s.pos <= limit:
		case !s.eof:
			if err := s.fill(); err != nil {
				return false, err
			}
			continue
		default:
			// One turn only. It may read zeros from behind the end; that is checked afterwards.
			limit = s.pos
		}
		before := c.write
		ended, err := c.symbols(s, limit)
		// Whole bytes that were loaded and not used go back.
		s.pos -= int(s.n >> 3)
		s.n &= 7
		s.bits &= 1<<s.n - 1
		switch {
		case s.pos > s.end:
			c.write = before
			return false, io.ErrUnexpectedEOF
		case err != nil || ended || c.write > full:
			return ended, err
		}
	}
}

// symbols decodes until in was read beyond limit or out is full. It reports whether the block has ended.
func (c *content[T]) symbols(s *stream, limit int) (ended bool, err error) {
	literals, distances, in, out := &s.literals, &s.distances, &s.in, &c.out
	pos, write, begin, bits, n := s.pos, c.write, c.begin, s.bits, s.n
	for pos <= limit && write <= full {
		// Load as many bytes as there is room for. Some bits of the next byte may be loaded already; they are the same.
		bits |= binary.LittleEndian.Uint64(in[pos:pos+8]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56

		// Literals of the first table use up to 11 bits. So three leave 23 bits, and a length may use 20.
		e := literals[bits&(1<<literalBits-1)]
		for more := 3; e&literal != 0 && more > 0; more-- {
			out[write] = T(e >> 16 & 0xff)
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
					out[write] = T(e >> 16 & 0xff)
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
				*(*[16]T)(out[write : write+16]) = *(*[16]T)(out[from : from+16])
				if write += 16; write >= to {
					break
				}
				from += 16
			}
		case distance >= 8:
			for {
				*(*[8]T)(out[write : write+8]) = *(*[8]T)(out[from : from+8])
				if write += 8; write >= to {
					break
				}
				from += 8
			}
		default:
			for stop := min(to, write+16); write < stop; write++ {
				out[write] = out[from]
				from++
			}
			if write < to {
				// What was written repeats itself at each multiple of the distance, so at one of 12 and more.
				for from = write - 16/distance*distance; write < to; write += 8 {
					*(*[8]T)(out[write : write+8]) = *(*[8]T)(out[from : from+8])
					from += 8
				}
			}
		}
		write = to
	}
	s.pos, c.write, s.bits, s.n = pos, write, bits, n
	return ended, err
}
