package compression

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"gitlab.com/wyrcan/wyrcan/pkg/cores"
)

const (
	partSize    = 1 << 20 // what a part can hold, if frames are smaller
	mostWorkers = 8       // what follows in order, such as hashing the content, is not faster
)

// part is some frames of a zstd stream.
type part struct {
	packed  []byte
	content int       // how much they can hold
	rest    io.Reader // if set, this is decompressed instead, as a stream; it is the last part
	taken   bool      // a processor, until the content was read
	done    chan struct{}
	out     []byte
	err     error
}

// frames reads a zstd stream. It decompresses the frames on several processors: pzstd and zstd:chunked write many small
// ones. A frame that is too large to be kept is decompressed as a stream, with what follows it, and so is a part that
// is damaged. So content and error are those of a reader that does it all in one stream.
type frames struct {
	cores *cores.Cores
	all   *zstd.Decoder // for whole frames
	parts chan *part
	spare sync.Pool // of parts that were read, for their memory
	stop  chan struct{}
	work  sync.WaitGroup
	end   func()

	part   *part     // the one that is being read
	out    []byte    // what is left of its content
	stream io.Reader // of its content, instead
	err    error
}

// newFrames returns a reader of src. Each processor takes up to 32 MiB, typically 12.
func newFrames(src io.Reader, c *cores.Cores) (*frames, error) {
	n := max(1, min(mostWorkers, c.Number()-1))
	all, err := zstd.NewReader(nil, zstd.WithDecoderMaxWindow(MaxWindow), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderConcurrency(n), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, err
	}
	f := &frames{cores: c, all: all, parts: make(chan *part, n), stop: make(chan struct{})}
	c.Use() // for this one, which waits for no other
	f.end = sync.OnceFunc(f.finish)
	f.work.Go(func() { f.split(src) })
	return f, nil
}

// Close ends all goroutines. It waits for the source if that is being read.
func (f *frames) Close() error {
	f.end()
	return nil
}

func (f *frames) finish() {
	close(f.stop)
	f.drop()
	for f.part = range f.parts {
		f.drop()
	}
	f.work.Wait()
	f.all.Close()
	f.cores.Give()
}

// drop notes that the content of the part was read.
func (f *frames) drop() {
	if f.part != nil && f.part.taken {
		f.cores.Give()
	}
	f.part, f.out, f.stream = nil, nil, nil
}

// split sends the parts of the stream.
func (f *frames) split(src io.Reader) {
	defer close(f.parts)
	for more := true; more; {
		var p *part
		var rest io.Reader
		p, rest, more = f.next(src)
		if len(p.packed) > 0 {
			if p.taken = f.cores.Take(); p.taken {
				f.work.Go(func() { f.decompress(p) })
			}
			if !f.send(p) {
				return
			}
		}
		if rest != nil {
			f.send(&part{rest: rest})
		}
	}
}

// send sends a part. It reports whether anybody wants more.
func (f *frames) send(p *part) bool {
	select {
	case <-f.stop:
	case f.parts <- p:
		return true
	}
	if p.taken {
		f.cores.Give()
	}
	return false
}

// next reads the next part. It returns what must be decompressed as a stream behind it, and whether more follows.
func (f *frames) next(src io.Reader) (p *part, rest io.Reader, more bool) {
	p = &part{done: make(chan struct{})}
	if old, _ := f.spare.Get().(*part); old != nil {
		p.packed, p.out = old.packed[:0], old.out[:0]
	}
	w := walker{src: src, b: p.packed}
	for p.content < partSize && len(w.b) < partSize {
		before := len(w.b)
		content, err := w.frame()
		if err == nil {
			p.content += content
			continue
		}
		p.packed = w.b[:before]
		begun := bytes.Clone(w.b[before:]) // the rest of p.packed is used again
		switch {
		case errors.Is(err, errWhole):
			rest = io.MultiReader(bytes.NewReader(begun), src)
		case err != io.EOF || len(begun) > 0:
			rest = io.MultiReader(bytes.NewReader(begun), failed{err})
		}
		return p, rest, false
	}
	p.packed = w.b
	return p, nil, true
}

// failed is a source that has failed.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }

func (f *frames) decompress(p *part) {
	if cap(p.out) < p.content {
		p.out = make([]byte, 0, p.content)
	}
	p.out, p.err = f.all.DecodeAll(p.packed, p.out)
	close(p.done)
}

// Read implements io.Reader.
func (f *frames) Read(b []byte) (n int, err error) {
	for n == 0 && f.err == nil {
		switch {
		case f.stream != nil:
			if n, f.err = f.stream.Read(b); f.err == io.EOF {
				f.drop()
				f.err = nil
			}
		case len(f.out) > 0:
			n = copy(b, f.out)
			f.out = f.out[n:]
		default:
			f.err = f.advance()
		}
	}
	if n > 0 {
		return n, nil
	}
	return 0, f.err
}

// advance goes on with the next part.
func (f *frames) advance() error {
	if f.part != nil {
		f.spare.Put(f.part)
	}
	f.drop()
	p, ok := <-f.parts
	if !ok {
		return io.EOF
	}
	f.part = p
	stream := p.rest
	if stream == nil {
		if !p.taken {
			f.decompress(p)
		}
		<-p.done
		if p.err == nil {
			f.out = p.out
			return nil
		}
		stream = bytes.NewReader(p.packed)
	}
	z, err := newZstd(stream)
	if err != nil {
		return err
	}
	f.stream = z
	return nil
}

// newZstd returns a reader of a zstd stream that uses one processor.
func newZstd(r io.Reader) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r,
		zstd.WithDecoderMaxWindow(MaxWindow), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}
