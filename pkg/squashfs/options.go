package squashfs

import (
	"fmt"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// Compression is how blocks are compressed. The kernel must have been built to read it: CONFIG_SQUASHFS_ZSTD (since
// 4.14), CONFIG_SQUASHFS_ZLIB.
type Compression int

// The compressions that this package writes.
const (
	Zstd Compression = iota
	Gzip
)

// String returns "zstd" or "gzip".
func (c Compression) String() string { return [...]string{"zstd", "gzip"}[c] }

// Options are the form of an image, and what making it may use. The zero value is zstd, fast, in blocks of 128 KiB.
type Options struct {
	Compression Compression
	// Level is one of zstd(1) or gzip(1); 0 is 3 for zstd and 8 for gzip.
	Level int
	// BlockSize is a power of two from 4 KiB to 1 MiB, in bytes; 0 is 128 KiB. A kernel reads whole blocks, and cannot
	// mount an image whose blocks are smaller than its pages.
	BlockSize int

	// File makes the file for a layer's contents, one of which becomes the image; nil makes them in memory. Layers are
	// read in parallel, so it may be called by several goroutines, and so may Grow.
	File func() (*os.File, error)
	// Grow is asked, now and then, whether the files may take more memory; nil is no limit. Its error ends the packing.
	Grow func() error
	// Lost is told what an image has no place for: attributes of a file. nil is not told.
	Lost func(n *rootfs.Node, what string, why error)
}

func (o Options) withDefaults() (Options, error) {
	if o.BlockSize == 0 {
		o.BlockSize = 128 << 10
	}
	if o.BlockSize < minBlock || o.BlockSize > maxBlock || o.BlockSize&(o.BlockSize-1) != 0 {
		return o, fmt.Errorf("a block of a SquashFS image cannot have %d bytes: it has a power of two from %d KiB to %d KiB",
			o.BlockSize, minBlock>>10, maxBlock>>10)
	}
	return o, nil
}
