package initrd

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// squeezeWindow is how far back a tightly packed archive refers. The kernel needs as much memory to unpack it.
const squeezeWindow = 8 << 20

// Squeeze packs an archive that Make has made with zstd more tightly. It takes some 40 MB of memory and a while, and
// the archive becomes about a sixth smaller. The tightest level would make it a fifth smaller, for twice the memory
// and five times the time. Squeeze gives the memory of f back on the way and closes it. grow is as in Options. All
// archives are in one frame then: flush_buffer in init/initramfs.c takes further archives inside of a frame. The first
// bytes, early of them, are Options.Early and stay as they are.
func Squeeze(ctx context.Context, f *os.File, early int64, grow func() error) (_ *os.File, err error) {
	defer f.Close()
	tight, err := memory.File("initrd")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			tight.Close()
			err = fmt.Errorf("cannot pack the initrd more tightly: %w", err)
		}
	}()
	in := &eater{ctx: ctx, f: f}
	out := memory.NewWriter(tight, 0, eachMiB(grow))
	if _, err := io.CopyN(out, in, early); err != nil {
		return nil, err
	}
	zr, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer zr.Close()
	zw, err := zstd.NewWriter(out,
		zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithWindowSize(squeezeWindow), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(zw, zr); err != nil {
		zw.Close()
		return nil, err
	}
	return tight, zw.Close()
}

// eater reads a file in memory, and gives back the memory of what was read.
type eater struct {
	ctx   context.Context
	f     *os.File
	off   int64
	eaten int64
}

func (e *eater) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	if e.off-e.eaten >= 1<<20 {
		to := e.off &^ (memory.Page - 1) // the rest of the last page was not read yet
		if err := memory.GiveBack(e.f, e.eaten, to); err != nil {
			return 0, err
		}
		e.eaten = to
	}
	n, err := e.f.ReadAt(p, e.off)
	e.off += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}
