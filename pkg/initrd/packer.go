package initrd

import (
	"bytes"
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/uio/uio"

	"gitlab.com/wyrcan/wyrcan/pkg/newc"
)

// packer compresses archives with zstd on all processors and writes them in their order. One frame is made by one
// processor, so each archive is a frame of its own.
type packer struct {
	enc   *zstd.Encoder
	level zstd.EncoderLevel
	todo  chan func(io.Writer) error // in the order of the archives
	done  chan struct{}
	err   error // of the goroutine that writes; to be read after done

	free chan *segment
	open *segment
	room int // of a new segment
}

// segment is an archive that is being made or compressed. It is used again: memory costs more to get than to fill.
type segment struct {
	bytes.Buffer
	packed []byte
}

// newPacker returns a packer for archives that have loose bytes together.
func newPacker(w io.Writer, opt Options, loose int64) (*packer, error) {
	// Each worker takes a segment and its buffers. More workers are not worth the memory.
	workers := min(runtime.GOMAXPROCS(0), 16)
	p := &packer{
		level: zstdLevel(opt.Level),
		todo:  make(chan func(io.Writer) error, workers),
		done:  make(chan struct{}),
		free:  make(chan *segment, 2*workers),
		room:  int(min(loose, segmentSize+segmentSize/16)), // the last part for headers
	}
	var err error
	if p.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(p.level),
		zstd.WithEncoderConcurrency(workers)); err != nil {
		return nil, fmt.Errorf("cannot compress with zstd: %w", err)
	}
	go func() {
		defer close(p.done)
		out := &uio.AlignWriter{W: w}
		for write := range p.todo {
			p.err = write(out)
			if p.err == nil && opt.Compression == Mixed {
				// The next archive may be uncompressed, and then has to begin where a record does.
				p.err = out.Align(newc.Align, 0)
			}
			if p.err != nil {
				break
			}
		}
	}()
	return p, nil
}

// segment returns the archive that is being made.
func (p *packer) segment() *segment {
	if p.open != nil {
		return p.open
	}
	select {
	case p.open = <-p.free:
		p.open.Reset()
	default:
		p.open = new(segment)
		p.open.Grow(p.room)
	}
	return p.open
}

// end hands over the archive that was made.
func (p *packer) end(plain bool) error {
	seg := p.open
	p.open = nil
	ready := seg.Bytes()
	compressed := make(chan struct{})
	if plain {
		close(compressed)
	} else {
		go func() {
			seg.packed = p.enc.EncodeAll(ready, seg.packed[:0])
			ready = seg.packed
			close(compressed)
		}()
	}
	return p.do(func(w io.Writer) error {
		<-compressed
		_, err := w.Write(ready)
		select {
		case p.free <- seg:
		default:
		}
		return err
	})
}

// stream hands over an archive that is compressed while write makes it.
func (p *packer) stream(plain bool, write func(io.Writer) error) error {
	pr, pw := io.Pipe()
	err := p.do(func(w io.Writer) error {
		err := p.copy(w, pr, plain)
		pr.CloseWithError(err)
		return err
	})
	if err != nil {
		return err
	}
	// If the goroutine that writes has failed before, it does not read the pipe.
	go func() { <-p.done; pr.CloseWithError(p.err) }()
	err = write(pw)
	pw.CloseWithError(err)
	return err
}

// copy copies an archive, compressed or not.
func (p *packer) copy(w io.Writer, r io.Reader, plain bool) error {
	if plain {
		_, err := io.Copy(w, r)
		return err
	}
	zw, err := zstd.NewWriter(w, zstd.WithEncoderLevel(p.level))
	if err == nil {
		_, err = io.Copy(zw, r)
	}
	if err == nil {
		err = zw.Close()
	}
	return err
}

// add puts an archive that is compressed already behind those that were handed over.
func (p *packer) add(r io.Reader, done func() error) error {
	return p.do(func(w io.Writer) error {
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
		return done()
	})
}

// do queues work.
func (p *packer) do(write func(io.Writer) error) error {
	select {
	case p.todo <- write:
		return nil
	case <-p.done:
		return p.err
	}
}

// Close returns when everything that was handed over is written.
func (p *packer) Close() error {
	close(p.todo)
	<-p.done
	return p.err
}
