package inflate

import (
	"io"
	"math"
	"sync"
	"sync/atomic"

	"gitlab.com/wyrcan/wyrcan/pkg/cores"
)

const (
	chunkSize = 1 << 20 // of the source; less means that more bytes are unknown, and more blocks to search for
	firstSize = 64 << 10
	// mostGuesses is how many chunks of one file are decoded at a time. More are of no use: what is done with the
	// content in order, such as hashing it, is slower then.
	mostGuesses = 8
	// spare chunks are read besides those that are being guessed: one that the Reader is in, and one behind the others,
	// as blocks do not end with chunks.
	spare = 2
)

// A chunk is a part of the source.
type chunk struct {
	at     int64
	data   []byte
	buffer *[]byte
	users  int // how many still read data: guesses, and the list of chunks

	// A guess begins before the Reader comes here, or not at all.
	taken    bool  // it is too late to begin
	guessed  bool  // it was begun
	searched int64 // the bit before which no block begins that the guess will decode
	found    bool  // one begins there
	done     bool
	stop     atomic.Bool
	pieces   []piece
	pages    pages
}

// ahead reads the source of a Reader ahead, and guesses what the chunks hold that the Reader has not come to yet.
type ahead struct {
	src         io.Reader
	cores       *cores.Cores
	first, size int // of chunks: the first one, and up to how much they grow
	most        int // chunks
	mu          sync.Mutex
	change      sync.Cond
	at          int64    // where Read goes on
	chunks      []*chunk // that were read and are not behind the Reader, in order
	err         error    // what comes after them
	closed      bool
	busy        int // goroutines
	guess       int // those that guess
	pool        *pool
	bytes       [1 << 16]byte // those that the numbers of a piece stand for
}

func newAhead(src io.Reader, cores *cores.Cores, first, size int) *ahead {
	a := &ahead{src: src, cores: cores, most: max(1, min(mostGuesses, cores.Number()-1)) + spare, busy: 1, pool: newPool(size),
		first: first, size: size}
	a.change.L = &a.mu
	go a.fill()
	return a
}

// fill reads the source.
func (a *ahead) fill() {
	a.mu.Lock()
	defer a.mu.Unlock()
	end := int64(0)
	size := a.first
	for !a.closed && a.err == nil {
		if len(a.chunks) == a.most {
			a.change.Wait()
			continue
		}
		a.mu.Unlock()
		c := &chunk{at: end, users: 1, taken: end == 0, pages: pages{pool: a.pool}}
		c.buffer = a.pool.buffers.Get().(*[]byte)
		n, err := readFull(a.src, (*c.buffer)[:size])
		a.mu.Lock()
		c.data = (*c.buffer)[:n]
		end += int64(n)
		size = min(2*size, a.size)
		if a.err = err; n > 0 {
			a.chunks = append(a.chunks, c)
		}
		a.start()
		a.change.Broadcast()
	}
	a.busy--
	a.change.Broadcast()
}

// readFull reads until p is full.
func readFull(r io.Reader, p []byte) (n int, err error) {
	for idle := 0; n < len(p) && err == nil; {
		var m int
		m, err = r.Read(p[n:])
		n += m
		if idle++; m > 0 {
			idle = 0
		} else if idle == 100 && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

// start starts to guess as many chunks as there are processors for.
func (a *ahead) start() {
	for i, c := range a.chunks {
		var next *chunk
		if i+1 < len(a.chunks) {
			next = a.chunks[i+1]
		} else if a.err == nil {
			return // blocks go on in a chunk that was not read yet
		}
		if c.taken {
			continue
		}
		if a.closed || a.guess == a.most-spare || !a.cores.Take() {
			return
		}
		c.taken, c.guessed, c.searched = true, true, c.at*8
		a.busy++
		a.guess++
		c.users++
		if next != nil {
			next.users++
		}
		go a.decode(c, next)
	}
}

// decode guesses a chunk.
func (a *ahead) decode(c, next *chunk) {
	g := a.pool.guessers.Get().(*guesser)
	var behind []byte
	if next != nil {
		behind = next.data
	}
	g.pages, g.stop = &c.pages, &c.stop
	pieces := g.guess(c.data, behind, c.at, func(bit int64, found bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		c.searched, c.found = bit, found
		a.change.Broadcast()
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	c.pieces, c.done = pieces, true
	a.pool.guessers.Put(g)
	a.busy--
	a.guess--
	a.leave(c)
	if next != nil {
		a.leave(next)
	}
	a.start()
	a.change.Broadcast()
}

// leave notes that a chunk has a user less.
func (a *ahead) leave(c *chunk) {
	if c.users--; c.users == 0 {
		a.pool.buffers.Put(c.buffer)
		c.pages.free()
		if c.guessed {
			a.cores.Give()
		}
	}
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pass(a.at - slack) // the Reader asks for more when it has less than that
	for {
		for _, c := range a.chunks {
			if off := a.at - c.at; off < int64(len(c.data)) {
				c.taken = true
				n := copy(p, c.data[off:])
				a.at += int64(n)
				return n, nil
			}
		}
		if a.err != nil {
			return 0, a.err
		}
		a.change.Wait()
	}
}

// seek has Read go on at a byte of the source.
func (a *ahead) seek(at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = at
}

// pass notes that the Reader has come to a byte of the source.
func (a *ahead) pass(at int64) {
	for len(a.chunks) > 0 && a.chunks[0].at+int64(len(a.chunks[0].data)) <= at {
		a.chunks[0].stop.Store(true)
		a.leave(a.chunks[0])
		a.chunks = a.chunks[1:]
		a.start()
		a.change.Broadcast()
	}
}

// piece returns the piece that begins at a bit of the source, nil if there is none. It waits for a guess that may have
// it.
func (a *ahead) piece(bit int64) *piece {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pass(bit >> 3)
	if len(a.chunks) == 0 || a.chunks[0].at > bit>>3 {
		return nil
	}
	c := a.chunks[0]
	for c.guessed && !c.done {
		if c.searched > bit || c.found && c.searched < bit {
			return nil
		}
		a.change.Wait()
	}
	for i := range c.pieces {
		if c.pieces[i].begin == bit {
			return &c.pieces[i]
		}
	}
	return nil
}

// close ends all goroutines. It waits for the source if that is being read.
func (a *ahead) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.pass(math.MaxInt64)
	a.change.Broadcast()
	for a.busy > 0 {
		a.change.Wait()
	}
	a.pass(math.MaxInt64) // what was read meanwhile
}
