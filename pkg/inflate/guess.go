package inflate

import (
	"io"
	"sync/atomic"
)

// A piece is some blocks of a stream with their content.
type piece struct {
	begin, end int64 // bits of the source
	last       bool  // a member ends with them
	// The content. What comes first may be copied from before the piece: see unknown.
	wide   [][]uint16
	narrow [][]byte
}

// unknown is the number that stands for the first byte of the window before a piece. Those for the other bytes follow.
const unknown = 1 << 15

// A guesser decodes pieces of a stream from a place where nothing is known of what comes before. It looks for something
// that can be the beginning of a block, and decodes what follows. A byte that is copied from before that place is a
// number which says where it is in the window. Once the last 32 KiB have no such numbers, bytes are written, as fast
// as a Reader does.
//
// It is a guess: what looks like a block can be chance, or the content of a block that is not compressed. But whoever
// comes to the first bit of a piece and finds that a block begins there knows that it is right, for the decoder is the
// same.
type guesser struct {
	stream
	finder *finder
	pages  *pages
	source split
	room   int // how much may still be written, in pages of bytes
	stop   *atomic.Bool

	wide   *content[uint16] // the page that is being written; nil if narrow is
	narrow *content[byte]
	from   int   // what is in no piece yet of the page begins here
	open   piece // the content of the block that is being decoded, as far as it is in other pages
	piece  piece
	pieces []piece
}

// guess decodes pieces of data, and of next, which follows it, from the first place in data that can be the beginning
// of a block up to the first one in next. Where it cannot go on, it looks for another beginning. at is where data begin
// in the source. look is called with the bit up to which no block was found, and whether one was found there.
func (g *guesser) guess(data, next []byte, at int64, look func(bit int64, found bool)) []piece {
	g.pieces, g.room = nil, maxPages
	first, end := at*8, (at+int64(len(data)))*8
	for bit, most := 0, searchMost; g.room > 0 && !g.stop.Load(); bit++ {
		most = min(most, (len(data)-findMargin)*8)
		to := min(bit+searchStep, most)
		if bit >= to {
			break
		}
		if bit = g.finder.find(data, bit, to); bit == to {
			look(first+int64(bit), false)
			bit--
			continue
		}
		g.source = split{data[bit>>3:], next}
		g.src, g.base, g.pos, g.end, g.eof = &g.source, at+int64(bit>>3), 0, 0, false
		g.bits, g.n = 0, 0
		if _, err := g.take(uint64(bit & 7)); err != nil || g.block() != nil {
			continue
		}
		look(first+int64(bit), true)
		g.begin(first + int64(bit))
		if g.blocks(end) {
			break
		}
		// It was no block, or one of another file that is in this one. What follows can be right.
		bit = max(bit, int(g.piece.end-first)-1)
		most = bit + searchMost
		look(first+int64(bit), false)
	}
	return g.pieces
}

const (
	searchStep = 4 << 13   // bits that are searched before look is called
	searchMost = 256 << 13 // bits that are searched at all
	maxPages   = 48        // of bytes that one guess may write, 13 MiB; one of numbers is as large as two
)

// begin begins a piece, with a window of numbers.
func (g *guesser) begin(bit int64) {
	g.piece, g.open = piece{begin: bit, end: bit}, piece{}
	g.wide, g.narrow, g.from = g.newWide(), nil, window
	for i := range window {
		g.wide.out[i] = uint16(unknown + i)
	}
	g.wide.write, g.wide.begin = window, 0
}

// blocks decodes blocks up to the first one behind end that a search would find. It reports whether it came to that or
// to the end of the source. If not, there is something else behind the blocks that were decoded.
func (g *guesser) blocks(end int64) bool {
	for g.body() {
		g.keep()
		if g.piece.last = g.last; g.last {
			g.add()
			if !g.member() {
				return g.eof
			}
		}
		if g.block() != nil {
			break
		}
		if g.piece.end >= end && g.coded && !g.fixed && !g.last {
			g.add()
			return true
		}
	}
	g.add()
	return false
}

// add adds the piece to the pieces.
func (g *guesser) add() {
	if g.piece.end > g.piece.begin {
		g.pieces = append(g.pieces, g.piece)
	}
	g.piece = piece{begin: g.piece.end, end: g.piece.end}
}

// body decodes a block.
func (g *guesser) body() bool {
	for {
		var ended bool
		var err error
		if g.narrow != nil {
			ended, err = g.narrow.block(&g.stream)
		} else {
			ended, err = g.wide.block(&g.stream)
		}
		if err != nil {
			return false
		}
		if ended {
			return true
		}
		if g.room <= 0 || g.stop.Load() {
			return false
		}
		g.turn()
	}
}

// turn goes on with a new page.
func (g *guesser) turn() {
	g.close()
	if g.narrow != nil {
		page := g.newNarrow()
		carry(page, g.narrow)
		g.narrow = page
	} else if known(g.wide) {
		g.narrow = g.newNarrow()
		for i, v := range g.wide.out[g.wide.write-window : g.wide.write] {
			g.narrow.out[i] = byte(v)
		}
		g.narrow.write, g.narrow.begin = window, 0
		g.wide = nil
	} else {
		page := g.newWide()
		carry(page, g.wide)
		g.wide = page
	}
	g.from = window
}

// carry copies what copies may refer to into a new page.
func carry[T byte | uint16](to, from *content[T]) {
	by := from.write - window
	copy(to.out[:window], from.out[by:from.write])
	to.write, to.begin = window, max(0, from.begin-by)
}

// known reports whether the window at the end of a page has only bytes.
func known(c *content[uint16]) bool {
	for i := c.write - 1; i >= c.write-window; i-- {
		if c.out[i] >= unknown {
			return false
		}
	}
	return true
}

// close adds the rest of the page to the block that is open.
func (g *guesser) close() {
	switch {
	case g.narrow == nil && g.from < g.wide.write:
		g.open.wide = append(g.open.wide, g.wide.out[g.from:g.wide.write])
		g.from = g.wide.write
	case g.narrow != nil && g.from < g.narrow.write:
		g.open.narrow = append(g.open.narrow, g.narrow.out[g.from:g.narrow.write])
		g.from = g.narrow.write
	}
}

// keep adds a block that has ended to the piece.
func (g *guesser) keep() {
	g.close()
	g.piece.wide = append(g.piece.wide, g.open.wide...)
	g.piece.narrow = append(g.piece.narrow, g.open.narrow...)
	g.piece.end, g.open = g.at(), piece{}
}

// member goes on with the next member. No copy leads out of it, so bytes are written from here on.
func (g *guesser) member() bool {
	if _, _, err := g.trailer(); err != nil {
		return false
	}
	if more, err := g.more(); err != nil || !more || g.header() != nil {
		return false
	}
	if g.narrow == nil {
		g.wide, g.narrow = nil, g.newNarrow()
		g.narrow.write, g.from = 0, 0
	}
	g.narrow.begin = g.narrow.write
	g.piece.begin, g.piece.end = g.at(), g.at()
	return true
}

func (g *guesser) newWide() *content[uint16] {
	g.room -= 2
	c := g.pages.wide.Get().(*content[uint16])
	g.pages.wides = append(g.pages.wides, c)
	return c
}

func (g *guesser) newNarrow() *content[byte] {
	g.room--
	c := g.pages.narrow.Get().(*content[byte])
	g.pages.narrows = append(g.pages.narrows, c)
	return c
}

// split is a source in two parts.
type split [2][]byte

// Read implements io.Reader.
func (s *split) Read(p []byte) (int, error) {
	for i, part := range s {
		if len(part) > 0 {
			n := copy(p, part)
			s[i] = part[n:]
			return n, nil
		}
	}
	return 0, io.EOF
}
