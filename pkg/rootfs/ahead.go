package rootfs

import "io"

// ahead reads from a source in a goroutine of its own, so that the stages of a pipeline run on different cores.
type ahead struct {
	full chan piece
	free chan []byte
	stop chan struct{}
	done chan struct{}

	buf  []byte // the chunk being read, whole
	rest []byte // the part of it that was not given yet
	err  error  // what comes after rest
}

type piece struct {
	buf []byte
	n   int
	err error
}

// readAhead starts reading r in chunks of up to size bytes, and at most count chunks ahead. look, if not nil, gets
// all chunks in order, in one more goroutine. When Read returns an error, look has got everything before it.
func readAhead(r io.Reader, size, count int, look func([]byte)) *ahead {
	a := &ahead{
		full: make(chan piece, count+1), // a place for each buffer: sending never blocks
		free: make(chan []byte, count+1),
		stop: make(chan struct{}),
		done: make(chan struct{}),
	}
	for range count + 1 {
		a.free <- nil // made when first used: most layers are small
	}
	if look == nil {
		go func() {
			defer close(a.done)
			a.fill(r, size, a.full)
		}()
		return a
	}
	read := make(chan piece, count+1)
	go func() {
		defer close(read)
		a.fill(r, size, read)
	}()
	go func() {
		defer close(a.done)
		for c := range read {
			look(c.buf[:c.n])
			a.full <- c
		}
	}()
	return a
}

// fill reads r and sends the pieces to out, until r ends or Close is called.
func (a *ahead) fill(r io.Reader, size int, out chan<- piece) {
	next := min(size, 32<<10)
	for {
		var c piece
		select {
		case c.buf = <-a.free:
		case <-a.stop:
			return
		}
		if len(c.buf) < next {
			c.buf = make([]byte, next)
		}
		next = min(size, 4*next)
		for idle := 0; c.n < len(c.buf) && c.err == nil; {
			n, err := r.Read(c.buf[c.n:])
			c.n, c.err = c.n+n, err
			if n > 0 {
				idle = 0
			} else if idle++; idle == 100 && err == nil {
				c.err = io.ErrNoProgress
			}
		}
		out <- c
		if c.err != nil {
			return
		}
	}
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		if a.buf != nil {
			a.free <- a.buf
			a.buf = nil
		}
		c := <-a.full
		a.buf, a.rest, a.err = c.buf, c.buf[:c.n], c.err
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close stops reading ahead and returns when the source is no longer being read. If the source may block for long, the
// caller must end that first.
func (a *ahead) Close() {
	close(a.stop)
	<-a.done
}
