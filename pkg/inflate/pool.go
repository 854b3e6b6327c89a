package inflate

import "sync"

// pool keeps what can be used again.
type pool struct{ buffers, guessers, wide, narrow sync.Pool }

func newPool(chunk int) *pool {
	p := new(pool)
	p.buffers.New = func() any {
		b := make([]byte, chunk)
		return &b
	}
	p.guessers.New = func() any { return &guesser{finder: newFinder()} }
	p.wide.New = func() any { return new(content[uint16]) }
	p.narrow.New = func() any { return new(content[byte]) }
	return p
}

// pages are those that were taken from a pool for one guess.
type pages struct {
	*pool
	wides   []*content[uint16]
	narrows []*content[byte]
}

// free gives them back.
func (p *pages) free() {
	for _, c := range p.wides {
		p.wide.Put(c)
	}
	for _, c := range p.narrows {
		p.narrow.Put(c)
	}
	p.wides, p.narrows = nil, nil
}
