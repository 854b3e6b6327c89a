package inflate

import "fmt"

// block reads the beginning of a block: RFC 1951, section 3.2.3.
func (s *stream) block() error {
	b, err := s.take(3)
	if err != nil {
		return err
	}
	s.last = b&1 != 0
	switch b >> 1 {
	case 0:
		s.drop(s.n & 7)
		b, err := s.take(32)
		if err != nil {
			return err
		}
		if uint16(b) != ^uint16(b>>16) {
			return fmt.Errorf("%w: a block's length differs from its check", ErrCorrupt)
		}
		s.coded, s.stored = false, int(uint16(b))
		return nil
	case 1:
		s.coded = true
		s.fixedCode()
		return nil
	case 2:
		s.coded = true
		return s.describedCode()
	}
	return fmt.Errorf("%w: a block has an unknown type", ErrCorrupt)
}

// fixedCode makes the tables of the fixed code: RFC 1951, section 3.2.6. They stay until a block describes another
// code.
func (s *stream) fixedCode() {
	if s.fixed {
		return
	}
	s.fixed = true
	var l [288]uint8
	for i := range l {
		switch {
		case i < 144:
			l[i] = 8
		case i < 256:
			l[i] = 9
		case i < 280:
			l[i] = 7
		default:
			l[i] = 8
		}
	}
	build(s.literals[:], literalBits, l[:], literalEntry)
	for i := range 32 {
		l[i] = 5
	}
	build(s.distances[:], distanceBits, l[:32], distanceEntry)
}

// order is the order in which the lengths of the code for code lengths are stored: RFC 1951, section 3.2.7.
var order = [numLengths]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// describedCode reads the description of a block's code: RFC 1951, section 3.2.7.
func (s *stream) describedCode() error {
	b, err := s.take(14)
	if err != nil {
		return err
	}
	literals, distances, n := int(b&31)+257, int(b>>5&31)+1, int(b>>10)+4
	if literals > numLiterals || distances > numDistances {
		return fmt.Errorf("%w: a block has more symbols than there are", ErrCorrupt)
	}
	var l [numLiterals + numDistances]uint8
	for _, symbol := range order[:n] {
		b, err := s.take(3)
		if err != nil {
			return err
		}
		l[symbol] = uint8(b)
	}
	var table [1 << lengthBits]entry
	if !build(table[:], lengthBits, l[:numLengths], lengthEntry) {
		return fmt.Errorf("%w: a block has no code for its code lengths", ErrCorrupt)
	}
	clear(l[:numLengths])

	for i := 0; i < literals+distances; {
		symbol, err := s.codeLength(&table)
		if err != nil {
			return err
		}
		if symbol < 16 {
			l[i] = uint8(symbol)
			i++
			continue
		}
		var again uint64
		var value uint8
		switch symbol {
		case 16:
			if i == 0 {
				return fmt.Errorf("%w: the first code length repeats one before it", ErrCorrupt)
			}
			value = l[i-1]
			b, err = s.take(2)
			again = 3 + b
		case 17:
			b, err = s.take(3)
			again = 3 + b
		default:
			b, err = s.take(7)
			again = 11 + b
		}
		if err != nil {
			return err
		}
		if i+int(again) > literals+distances {
			return fmt.Errorf("%w: a block has more code lengths than symbols", ErrCorrupt)
		}
		for range again {
			l[i] = value
			i++
		}
	}

	if l[256] == 0 {
		return fmt.Errorf("%w: a block has no end", ErrCorrupt)
	}
	s.fixed = false
	if !build(s.literals[:], literalBits, l[:literals], literalEntry) ||
		!build(s.distances[:], distanceBits, l[literals:literals+distances], distanceEntry) {
		return fmt.Errorf("%w: a block has no code", ErrCorrupt)
	}
	return nil
}

// codeLength reads a symbol of the code for code lengths. It uses no more bits than the symbol has.
func (s *stream) codeLength(table *[1 << lengthBits]entry) (int, error) {
	for n := uint64(1); ; n++ {
		if err := s.need(n); err != nil {
			return 0, err
		}
		e := table[s.bits&(1<<lengthBits-1)]
		if n := bitsOf(e); n != 0 && e&special == 0 && n <= s.n {
			s.drop(n)
			return int(e >> 16), nil
		}
		if n >= lengthBits {
			return 0, fmt.Errorf("%w: a code length has an unknown code", ErrCorrupt)
		}
	}
}
