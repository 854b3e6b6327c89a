package initrd

import (
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// Compression is how an archive is stored. The kernel must have been built to read it: CONFIG_RD_ZSTD (since 5.9),
// CONFIG_RD_GZIP.
type Compression int

// The forms that are written: parallel compressors for them make a single frame or member. Mixed is for Make alone, and
// never a single archive: it is Zstd but for Options.Plain.
const (
	None Compression = iota
	Gzip
	Zstd
	Mixed
)

// String returns "none", "gzip", "zstd" or "mixed".
func (c Compression) String() string { return [...]string{"none", "gzip", "zstd", "mixed"}[c] }

// writer returns a compressor to w, whose Close does not close w.
func (c Compression) writer(w io.Writer, level int) (io.WriteCloser, error) {
	switch c {
	case None:
		return nopCloser{w}, nil
	case Gzip:
		if level == 0 {
			level = 1
		}
		zw, err := pgzip.NewWriterLevel(w, level)
		if err != nil {
			return nil, fmt.Errorf("cannot compress with gzip: %w", err)
		}
		return zw, zw.SetConcurrency(1<<20, 2*runtime.GOMAXPROCS(0))
	case Zstd:
		zw, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstdLevel(level)), zstd.WithConcurrentBlocks(true))
		if err != nil {
			return nil, fmt.Errorf("cannot compress with zstd: %w", err)
		}
		return zw, nil
	}
	return nil, fmt.Errorf("an archive cannot be written with compression %d", int(c))
}

// zstdLevel turns a level of zstd(1) into one of the package's. The kernel takes windows up to 128 MiB; these have at
// most 32 MiB.
func zstdLevel(level int) zstd.EncoderLevel {
	if level == 0 {
		level = 1
	}
	return zstd.EncoderLevelFromZstd(level)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
