package rootfs

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"

	"gitlab.com/wyrcan/wyrcan/pkg/inflate"
)

// maxWindow is the largest zstd window accepted, that of zstd --long=27: each layer being read may take so much memory.
const maxWindow = 128 << 20

// decompress tells by its first bytes how a layer is stored, whatever its media type says, and returns the tar archive.
// Several gzip members (RFC 1952 section 2.2) or zstd frames (RFC 8878 section 3) in a row are one archive.
func decompress(r io.Reader) (io.ReadCloser, error) {
	br := bufio.NewReader(r)
	magic, err := br.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return io.NopCloser(inflate.NewReader(br)), nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}), // a frame
		len(magic) >= 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:4], []byte{0x2a, 0x4d, 0x18}): // a skippable one: pzstd
		zr, err := zstd.NewReader(br, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return zr.IOReadCloser(), nil
	case bytes.HasPrefix(magic, []byte("BZh")):
		return nil, errors.New("is compressed with bzip2, which the OCI image specification does not know")
	case bytes.Equal(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return nil, errors.New("is compressed with xz, which the OCI image specification does not know")
	}
	return io.NopCloser(br), nil
}

// limited counts what passes and fails beyond a limit, where io.LimitedReader would pretend an end.
type limited struct {
	r    io.Reader
	take func(n int64) error // told of each n bytes
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if tooMuch := l.take(int64(n)); tooMuch != nil {
		return 0, tooMuch
	}
	return n, err
}
