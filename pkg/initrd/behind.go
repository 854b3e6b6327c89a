package initrd

import "io"

// behind writes in a goroutine of its own, in large pieces. So contents are read while earlier ones are compressed or
// copied.
type behind struct {
	buf  []byte
	full chan []byte
	free chan []byte
	done chan struct{}
	err  error // of the goroutine; to be read after done
}

const behindSize, behindCount = 512 << 10, 3

func writeBehind(w io.Writer) *behind {
	b := &behind{full: make(chan []byte), free: make(chan []byte, behindCount), done: make(chan struct{})}
	for range behindCount - 1 {
		b.free <- nil
	}
	go func() {
		defer close(b.done)
		for p := range b.full {
			if _, b.err = w.Write(p); b.err != nil {
				return
			}
			b.free <- p[:0]
		}
	}()
	return b
}

// Write takes p. Its error may be that of an earlier Write.
func (b *behind) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if b.buf == nil {
			b.buf = make([]byte, 0, behindSize) // only now: there may be little to write
		}
		k := min(len(p), cap(b.buf)-len(b.buf))
		b.buf = append(b.buf, p[:k]...)
		p = p[k:]
		if len(b.buf) == cap(b.buf) {
			if err := b.pass(); err != nil {
				return n - len(p), err
			}
		}
	}
	return n, nil
}

// pass hands the buffer over to the goroutine and takes another one.
func (b *behind) pass() error {
	select {
	case b.full <- b.buf:
	case <-b.done:
		return b.err
	}
	select {
	case b.buf = <-b.free:
		return nil
	case <-b.done:
		return b.err
	}
}

// Close writes the rest and returns when everything is written.
func (b *behind) Close() error {
	var err error
	if len(b.buf) > 0 {
		err = b.pass()
	}
	close(b.full)
	<-b.done
	if err == nil {
		err = b.err
	}
	return err
}
