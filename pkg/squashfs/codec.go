package squashfs

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// codec compresses blocks. Several goroutines may use it.
type codec interface {
	id() uint16 // in the superblock
	// pack appends the compressed form of src to dst.
	pack(dst, src []byte) ([]byte, error)
	// unpack appends what src is the compressed form of to dst, which has room for it.
	unpack(dst, src []byte) ([]byte, error)
}

func newCodec(opt Options, workers int) (codec, error) {
	var c codec
	var err error
	switch opt.Compression {
	case Zstd:
		c, err = newZstd(opt.Level, opt.BlockSize, workers)
	case Gzip:
		c, err = newGzip(opt.Level, workers)
	default:
		err = fmt.Errorf("there is no compression %d", int(opt.Compression))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot compress a SquashFS image: %w", err)
	}
	return c, nil
}

type zstdCodec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newZstd(level, blockSize, workers int) (codec, error) {
	if level == 0 {
		level = 3
	}
	// The kernel has a window of one block: zstd_wrapper.c.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
		zstd.WithWindowSize(max(blockSize, metadataSize)), zstd.WithEncoderConcurrency(workers),
		zstd.WithEncoderCRC(false), zstd.WithAllLitEntropyCompression(true)) // the latter saves 1 % and no time
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxBlock))
	return &zstdCodec{enc, dec}, err
}

func (*zstdCodec) id() uint16 { return 6 }

func (c *zstdCodec) pack(dst, src []byte) ([]byte, error) { return c.enc.EncodeAll(src, dst), nil }

func (c *zstdCodec) unpack(dst, src []byte) ([]byte, error) { return c.dec.DecodeAll(src, dst) }

// gzipCodec makes zlib streams, which the kernel calls gzip.
type gzipCodec struct{ free chan *zlib.Writer }

func newGzip(level, workers int) (codec, error) {
	if level == 0 {
		level = 8 // 3 % larger than zlib's 6, and a fifth faster
	}
	c := &gzipCodec{make(chan *zlib.Writer, workers)}
	for range workers {
		w, err := zlib.NewWriterLevel(nil, level)
		if err != nil {
			return nil, err
		}
		c.free <- w
	}
	return c, nil
}

func (*gzipCodec) id() uint16 { return 1 }

func (c *gzipCodec) pack(dst, src []byte) ([]byte, error) {
	w := <-c.free
	defer func() { c.free <- w }()
	out := bytes.NewBuffer(dst)
	w.Reset(out)
	if _, err := w.Write(src); err != nil {
		return nil, err
	}
	err := w.Close()
	return out.Bytes(), err
}

func (c *gzipCodec) unpack(dst, src []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(src))
	if err != nil {
		return nil, err
	}
	n, err := io.ReadFull(r, dst[len(dst):cap(dst)])
	if err == io.ErrUnexpectedEOF {
		err = nil
	}
	return dst[:len(dst)+n], err
}
