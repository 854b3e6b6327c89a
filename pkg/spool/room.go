package spool

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// Room is the memory that several spools share. Its zero value has no limit.
type Room struct {
	// Limit is how many bytes may be kept as they are; 0 is no limit. Later records are packed.
	Limit int64
	// Overflow makes a file that is not in memory and has no name. If it is set, records beyond the limit go there
	// instead and are not packed. Each spool has a file of its own.
	Overflow func() (*os.File, error)
	// Grow is asked, now and then, whether spools may take more memory; nil is no limit. Add returns its error.
	Grow func() error

	used  atomic.Int64
	grown atomic.Int64 // bytes of memory taken, packed or not
	once  sync.Once
	enc   *zstd.Encoder      // packs frames whose content is in a buffer
	long  chan *zstd.Encoder // pack frames whose content is a stream; as many as may work at a time
	err   error
}

// take reserves n bytes and reports whether they fit.
func (r *Room) take(n int64) bool {
	if used := r.used.Add(n); r.Limit == 0 || used <= r.Limit {
		return true
	}
	r.used.Add(-n)
	return false
}

// grow notes that n bytes of memory are about to be taken.
func (r *Room) grow(n int64) error {
	const often = 4 << 20
	after := r.grown.Add(n)
	if r.Grow == nil || after/often == (after-n)/often {
		return nil
	}
	return r.Grow()
}

// window is how far back the packed form refers. A larger window takes more memory than it saves, here and in the
// kernel that unpacks.
const window = FrameSize

func (r *Room) start() error {
	r.once.Do(func() {
		workers := min(runtime.GOMAXPROCS(0), 16)
		r.enc, r.err = zstd.NewWriter(nil, options(workers)...)
		r.long = make(chan *zstd.Encoder, workers)
		for range workers {
			r.long <- nil
		}
	})
	if r.err != nil {
		return fmt.Errorf("cannot compress with zstd: %w", r.err)
	}
	return nil
}

func options(workers int) []zstd.EOption {
	return []zstd.EOption{
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window),
		zstd.WithEncoderConcurrency(workers), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false),
	}
}

// pack appends the packed form of p.
func (r *Room) pack(dst, p []byte) ([]byte, error) {
	if err := r.start(); err != nil {
		return nil, err
	}
	return r.enc.EncodeAll(p, dst), nil
}

// packLong writes to w, packed, what write writes. At most one call for each processor works at a time.
func (r *Room) packLong(w io.Writer, write func(io.Writer) error) error {
	if err := r.start(); err != nil {
		return err
	}
	enc := <-r.long
	defer func() { r.long <- enc }()
	var err error
	if enc == nil {
		enc, err = zstd.NewWriter(w, options(1)...)
		if err != nil {
			return fmt.Errorf("cannot compress with zstd: %w", err)
		}
	}
	enc.Reset(w)
	if err := write(enc); err != nil {
		return err
	}
	return enc.Close()
}
