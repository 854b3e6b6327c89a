package initrd

import (
	"bytes"
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"

	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// segmented compresses with zstd on all processors. A single frame is made by one processor, and the kernel ends an
// archive where a frame ends; so this is several archives in a row, each in a frame of its own, which the kernel reads
// as one. A file larger than a segment has an archive for itself, which is compressed while it is written. With Mixed
// the first ones stay as they are.
type segmented struct {
	enc   *zstd.Encoder
	plain int64 // bytes of archives that may stay as they are
	level zstd.EncoderLevel
	todo  chan func(io.Writer) error // in the order of the archives
	done  chan struct{}
	err   error // of the writer, to be read after done

	free chan *segment
	buf  *segment
	pipe *io.PipeWriter
}

// segment is an archive that is being made or compressed; used again, as memory costs more to get than to fill.
type segment struct {
	bytes.Buffer
	packed []byte
}

const segmentSize = 4 << 20

func newSegmented(w io.Writer, opt Options) (*segmented, error) {
	// Each takes a segment and its buffers: more than so many are not worth the memory.
	workers := min(runtime.GOMAXPROCS(0), 16)
	s := &segmented{level: zstdLevel(opt.Level), todo: make(chan func(io.Writer) error, workers), done: make(chan struct{}), free: make(chan *segment, 2*workers)}
	mixed := opt.Compression == Mixed
	if mixed {
		s.plain = opt.Plain
	}
	var err error
	if s.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(s.level), zstd.WithEncoderConcurrency(workers)); err != nil {
		return nil, fmt.Errorf("cannot compress with zstd: %w", err)
	}
	go func() {
		defer close(s.done)
		var n int64
		out := &counter{w: w, n: &n}
		for write := range s.todo {
			if s.err = write(out); s.err == nil && mixed {
				// The next one may be as it is, and so has to begin where records do.
				_, s.err = out.Write(make([]byte, spool.Padded(n)-n))
			}
			if s.err != nil {
				break
			}
		}
	}()
	return s, nil
}

// open says whether a segment was begun.
func (s *segmented) open() bool { return s.pipe != nil || s.buf != nil }

// fits says whether a file of this size belongs into the segment that is open.
func (s *segmented) fits(size int64) bool {
	return s.buf != nil && int64(s.buf.Len())+size <= segmentSize
}

// begin starts a segment whose first file has this size.
func (s *segmented) begin(size int64) error {
	if size <= segmentSize {
		select {
		case s.buf = <-s.free:
			s.buf.Reset()
		default:
			s.buf = new(segment)
			s.buf.Grow(segmentSize + segmentSize/16) // with room for headers
		}
		return nil
	}
	pr, pw := io.Pipe()
	s.pipe = pw
	stays := s.stays(size)
	return s.do(func(w io.Writer) error {
		if stays {
			_, err := io.Copy(w, pr)
			return err
		}
		zw, err := zstd.NewWriter(w, zstd.WithEncoderLevel(s.level))
		if err == nil {
			_, err = io.Copy(zw, pr)
		}
		if err == nil {
			err = zw.Close()
		}
		return err
	}, pr)
}

// stays says whether an archive of this size stays as it is.
func (s *segmented) stays(size int64) bool {
	if size > s.plain {
		return false
	}
	s.plain -= size
	return true
}

// do queues work, and has the pipe that it would read fail if the writer has failed.
func (s *segmented) do(write func(io.Writer) error, pr *io.PipeReader) error {
	work := write
	if pr != nil {
		work = func(w io.Writer) error {
			err := write(w)
			pr.CloseWithError(err)
			return err
		}
	}
	select {
	case s.todo <- work:
		if pr != nil {
			go func() { <-s.done; pr.CloseWithError(s.err) }()
		}
		return nil
	case <-s.done:
		return s.err
	}
}

// end ends the segment.
func (s *segmented) end() error {
	if s.pipe != nil {
		err := s.pipe.Close()
		s.pipe = nil
		return err
	}
	if s.buf == nil {
		return nil
	}
	packed := make(chan struct{})
	seg := s.buf
	s.buf = nil
	ready := seg.Bytes()
	if s.stays(int64(len(ready))) {
		close(packed)
	} else {
		go func() {
			seg.packed = s.enc.EncodeAll(ready, seg.packed[:0])
			ready = seg.packed
			close(packed)
		}()
	}
	return s.do(func(w io.Writer) error {
		<-packed
		_, err := w.Write(ready)
		select {
		case s.free <- seg:
		default:
		}
		return err
	}, nil)
}

// add puts an archive that is packed already behind those that were ended.
func (s *segmented) add(r io.Reader, done func() error) error {
	return s.do(func(w io.Writer) error {
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
		return done()
	}, nil)
}

// Write takes a part of the segment.
func (s *segmented) Write(p []byte) (int, error) {
	if s.pipe != nil {
		return s.pipe.Write(p)
	}
	return s.buf.Write(p)
}

// Close ends the last segment and returns when all is written.
func (s *segmented) Close() error {
	err := s.end()
	close(s.todo)
	<-s.done
	if s.err != nil {
		return s.err
	}
	return err
}
