package inflate

import (
	"encoding/binary"
	"math/bits"
)

// finder finds where blocks may begin.
type finder struct {
	// space is, for four code lengths of three bits each, how much of all strings of seven bits their codes take.
	space [1 << 12]uint16
}

func newFinder() *finder {
	f := new(finder)
	for i := range f.space {
		for l := i; l != 0; l >>= 3 {
			if l&7 != 0 {
				f.space[i] += 1 << (lengthBits - l&7)
			}
		}
	}
	return f
}

const findMargin = 24

// find returns the first bit of data, from from and before to, at which a block may begin that describes its code and
// is not the last one; or to. It looks at the header (RFC 1951, section 3.2.7) up to the code for code lengths, which
// has to be complete. About one of a thousand bits of other data passes. Blocks of other kinds have no header to tell
// them by. It reads up to findMargin bytes behind to.
func (f *finder) find(data []byte, from, to int) int {
	const step = 48 // bits at a time; those behind them are looked at too
	for at := from &^ 7; at < to; at += step {
		w := binary.LittleEndian.Uint64(data[at/8:])
		// Bit by bit: not the last block, of type 2, and neither 30 nor 31 as one of the two numbers of symbols.
		may := ^w & ^(w >> 1) & (w >> 2) &^ (w >> 4 & (w >> 5) & (w >> 6) & (w >> 7)) &^
			(w >> 9 & (w >> 10) & (w >> 11) & (w >> 12)) & (1<<step - 1)
		for ; may != 0; may &= may - 1 {
			bit := at + bits.TrailingZeros64(may)
			if bit >= from && bit < to && f.complete(data, bit) {
				return bit
			}
		}
	}
	return to
}

// complete reports whether the code for code lengths of the block at a bit of data is complete.
func (f *finder) complete(data []byte, bit int) bool {
	const before = 3 + 5 + 5 // bits of the header
	bit += before
	n := binary.LittleEndian.Uint32(data[bit/8:])>>(bit&7)&15 + 4
	bit += 4
	l := binary.LittleEndian.Uint64(data[bit/8:])>>(bit&7) | uint64(data[bit/8+8])<<(64-bit&7)
	l &= 1<<(3*n) - 1
	return f.space[l&0xfff]+f.space[l>>12&0xfff]+f.space[l>>24&0xfff]+f.space[l>>36&0xfff]+f.space[l>>48&0xfff] ==
		1<<lengthBits
}
