package inflate

import "math/bits"

// An entry of a decoding table says what the next bits of the stream mean.
//
//	literal  bit 7 is set; bits 0-4: how many bits the code has, 16-23: the byte
//	special  bit 5 is set: with bit 6 it leads to a table for longer codes, which begins at the place in bits 16-31
//	         and is indexed by as many bits as bits 8-12 say; else it ends the block, or is no code at all
//	others   bits 0-4: how many bits the code has with its extra bits, 8-12: without them, 16-31: the least length or
//	         distance, to which the extra bits are added
type entry = uint32

const (
	literal  entry = 1 << 7
	special  entry = 1 << 5
	leads    entry = 1 << 6
	invalid        = special
	endBlock       = special | 1<<16
)

// bitsOf returns how many bits the code of an entry has, with the extra bits.
func bitsOf(e entry) uint64 { return uint64(e & 31) }

// codeBits returns how many bits the code of a length or distance has without its extra bits. For an entry that leads
// to a table, it returns how many bits index that table.
func codeBits(e entry) uint64 { return uint64(e >> 8 & 31) }

// value returns the length or distance of an entry. bits are those that led to the entry; they contain the extra bits.
func value(e entry, bits uint64) int {
	return int(uint64(e>>16) + bits&(1<<bitsOf(e)-1)>>codeBits(e))
}

const (
	maxCode = 15 // bits of the longest code

	numLiterals  = 286 // symbols that a stream may use, the end of a block and lengths included
	numDistances = 30
	numLengths   = 19 // symbols of the code that code lengths are written in

	literalBits  = 11 // how many bits index the first table
	distanceBits = 9
	lengthBits   = 7 // the longest code that code lengths are written in

	// The largest sizes of the tables. A table behind the first one has up to 2^k entries for k further bits. As its
	// codes are complete, it has at least k+1 symbols. The fixed code has more symbols, but none is longer than 9
	// bits.
	literalSize  = 1<<literalBits + numLiterals<<(maxCode-literalBits)/(maxCode-literalBits+1)
	distanceSize = 1<<distanceBits + numDistances<<(maxCode-distanceBits)/(maxCode-distanceBits+1)
)

// RFC 1951, section 3.2.5: the least length or distance of each code, and how many extra bits follow.
var (
	lengths = [...]struct{ least, extra uint16 }{
		{3, 0}, {4, 0}, {5, 0}, {6, 0}, {7, 0}, {8, 0}, {9, 0}, {10, 0}, {11, 1}, {13, 1}, {15, 1}, {17, 1}, {19,
			2}, {23, 2}, {27, 2},
		{31, 2}, {35, 3}, {43, 3}, {51, 3}, {59, 3}, {67, 4}, {83, 4}, {99, 4}, {115, 4}, {131, 5}, {163, 5}, {195,
			5}, {227, 5}, {258, 0},
	}
	distances = [...]struct{ least, extra uint16 }{
		{1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 1}, {7, 1}, {9, 2}, {13, 2}, {17, 3}, {25, 3}, {33, 4}, {49, 4}, {65,
			5}, {97, 5}, {129, 6},
		{193, 6}, {257, 7}, {385, 7}, {513, 8}, {769, 8}, {1025, 9}, {1537, 9}, {2049, 10}, {3073, 10}, {4097,
			11}, {6145, 11},
		{8193, 12}, {12289, 12}, {16385, 13}, {24577, 13},
	}
)

func literalEntry(symbol int, length uint) entry {
	switch {
	case symbol < 256:
		return literal | entry(symbol)<<16 | entry(length)
	case symbol == 256:
		return endBlock | entry(length)
	case symbol < numLiterals:
		l := lengths[symbol-257]
		return entry(l.least)<<16 | entry(length)<<8 | entry(length+uint(l.extra))
	}
	return invalid
}

func distanceEntry(symbol int, length uint) entry {
	if symbol >= numDistances {
		return invalid
	}
	d := distances[symbol]
	return entry(d.least)<<16 | entry(length)<<8 | entry(length+uint(d.extra))
}

func lengthEntry(symbol int, length uint) entry {
	return entry(symbol)<<16 | entry(length)<<8 | entry(length)
}

// build fills a table, whose first part is indexed by primary bits, for the code with these lengths. of returns the
// entry of a symbol. build reports whether the lengths are valid: those of a complete code, of a single symbol, or of
// none.
func build(table []entry, primary uint, lengths []uint8, of func(symbol int, length uint) entry) bool {
	var count, first [maxCode + 2]int
	for _, l := range lengths {
		count[l]++
	}
	count[0] = 0
	// first is where the symbols of each length begin in order. space is how many of all bit strings have no code.
	space := 1 << maxCode
	for l := 1; l <= maxCode; l++ {
		first[l+1] = first[l] + count[l]
		space -= count[l] << (maxCode - l)
	}
	used := first[maxCode+1]
	if space != 0 {
		if used > 1 || used == 1 && count[1] == 0 {
			return false
		}
		for i := range 1 << primary {
			table[i] = invalid
		}
		for symbol, l := range lengths {
			if l == 1 {
				for i := 0; i < 1<<primary; i += 2 {
					table[i] = of(symbol, 1)
				}
			}
		}
		return true
	}
	var order [288]uint16
	place := first
	for symbol, l := range lengths {
		if l != 0 {
			order[place[l]] = uint16(symbol)
			place[l]++
		}
	}

	// Codes are packed with their first bit lowest. So all indexes that end in the bits of a code have its entry: the
	// table is made for one bit, and doubled for each further bit.
	code, i := uint(0), 0
	size := 1
	for l := uint(1); l <= primary; l++ {
		copy(table[size:2*size], table[:size])
		size *= 2
		for range count[l] {
			table[code] = of(int(order[i]), l)
			i++
			code = next(code, l)
		}
	}
	// Longer codes go into tables of their own, one for each string of primary bits that codes begin with.
	prefix, start, index := ^uint(0), 0, uint(0)
	for l := primary + 1; l <= maxCode; l++ {
		for left := count[l]; left > 0; left-- {
			if p := code & (1<<primary - 1); p != prefix {
				prefix, start, index = p, size, l-primary
				// The codes that share this prefix fill their table, shorter ones first.
				for fill, n := left, l; fill < 1<<index && n < maxCode; {
					n++
					index++
					fill = fill*2 + count[n]
				}
				size += 1 << index
				table[prefix] = special | leads | entry(start)<<16 | entry(index)<<8 | entry(primary)
			}
			e := of(int(order[i]), l)
			i++
			for at := code >> primary; at < 1<<index; at += 1 << (l - primary) {
				table[start+int(at)] = e
			}
			code = next(code, l)
		}
	}
	return true
}

// next returns the code that follows another one of that length. The first bit is the lowest. After the last code
// comes 0.
func next(code, length uint) uint {
	if code == 1<<length-1 {
		return 0
	}
	high := bits.Len(^code&(1<<length-1)) - 1 // the last bit that is not set; those behind it are
	return code&(1<<high-1) | 1<<high
}
