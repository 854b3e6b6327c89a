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

// The forms of an archive. The compressors for them work in parallel and still make a single frame or member. Mixed
// is for Make only, and never for a single archive: it is Zstd, except for what Options.Plain leaves uncompressed.
const (
	None Compression = iota
	Gzip
	Zstd
	Mixed
)

// String returns "none", "gzip", "zstd" or "mixed".
func (c Compression) String() string { return [...]string{"none", "gzip", "zstd", "mixed"}[c] }

// writer returns a compressor that writes to w. Its Close does not close w.
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

// zstdLevel returns the level of package zstd for one of zstd(1). The kernel takes windows of up to 128 MiB; these
// levels have at most 32 MiB.
func zstdLevel(level int) zstd.EncoderLevel {
	if level == 0 {
		level = 1
	}
	return zstd.EncoderLevelFromZstd(level)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
