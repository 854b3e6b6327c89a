package inflate

import (
	"io"

	"gitlab.com/wyrcan/wyrcan/pkg/cores"
)

// NewParallel returns a reader of the gzip file src that uses several processors, at least where cores has some free
// and src is faster than one. It reads what NewReader reads, with the same errors. Each processor takes up to 15 MiB,
// typically 5, and the source is read up to 10 MiB ahead. The caller closes the reader; if src may block for long, it
// must end that first.
//
// A goroutine of its own guesses what a part of the file holds that the Reader has not come to (see guesser). When the
// Reader comes to the beginning of a block, and a guess begins there too, it takes what was guessed. All else it
// decodes itself: what no guess was right about, what the guesses left out, and what is damaged.
func NewParallel(src io.Reader, cores *cores.Cores) *Reader {
	cores.Use() // for this one, which waits for no other
	z := NewReader(nil)
	z.ahead = newAhead(src, cores, firstSize, chunkSize)
	z.src = z.ahead
	return z
}

// Close ends what NewParallel has started.
func (z *Reader) Close() error {
	if z.ahead != nil && !z.ahead.closed {
		z.ahead.close()
		z.ahead.cores.Give()
	}
	return nil
}

// given reports whether a piece begins here, and takes it.
func (z *Reader) given() bool {
	p := z.ahead.piece(z.at())
	// A guess takes for granted that the member has a whole window before it, if the content refers to that at all.
	if p == nil || len(p.wide) > 0 && z.write-z.begin < window {
		return false
	}
	if len(p.wide) > 0 {
		for i := range unknown {
			z.ahead.bytes[i] = byte(i)
		}
		copy(z.ahead.bytes[unknown:], z.out[z.write-window:z.write])
	}
	z.piece, z.step = *p, (*Reader).take
	return true
}

// take writes what a piece holds, as far as there is room, and goes on behind it in the source.
func (z *Reader) take() error {
	p := &z.piece
	for len(p.wide) > 0 && z.write < outSize {
		wide := p.wide[0]
		n := min(len(wide), outSize-z.write)
		out := z.out[z.write : z.write+n]
		for i, v := range wide[:n] {
			out[i] = z.ahead.bytes[v]
		}
		if z.write += n; n == len(wide) {
			p.wide = p.wide[1:]
		} else {
			p.wide[0] = wide[n:]
		}
	}
	for len(p.narrow) > 0 && z.write < outSize {
		n := copy(z.out[z.write:], p.narrow[0])
		if z.write += n; n == len(p.narrow[0]) {
			p.narrow = p.narrow[1:]
		} else {
			p.narrow[0] = p.narrow[0][n:]
		}
	}
	if len(p.wide)+len(p.narrow) > 0 {
		return nil
	}
	if z.last = p.last; z.last {
		z.step = (*Reader).trailer
	} else {
		z.step = (*Reader).block
	}
	return z.seek(p.end)
}

// seek goes on at a bit of the source, which is not before this place.
func (z *Reader) seek(bit int64) error {
	at := bit >> 3
	if at > z.base+int64(z.end) {
		z.ahead.seek(at)
		z.base, z.end = at, 0
	}
	z.pos, z.bits, z.n = int(at-z.base), 0, 0
	_, err := z.stream.take(uint64(bit & 7))
	return err
}
