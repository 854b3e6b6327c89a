// Package compression tells by its first bytes how a stream is compressed, whatever its name or its media type says,
// and decompresses it. It knows gzip and zstd, which the OCI image specification has for layers (layer.md,
// "Distributable Format"). Others are a caller's to add: package foreign has some.
package compression

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"

	"gitlab.com/wyrcan/wyrcan/pkg/inflate"
)

// MaxWindow is the most that a stream may need of what came before, in bytes: that of zstd --long=27 and of xz's
// largest presets. Each stream that is being read may take so much memory.
const MaxWindow = 128 << 20

// A Format is a way to compress that NewReader is to know besides its own.
type Format struct {
	// Name is what Identify calls it.
	Name string
	// Reader decompresses. It must not need more than MaxWindow.
	Reader func(io.Reader) (io.ReadCloser, error)
}

// Names that Identify gives.
const (
	Gzip = "gzip"
	Zstd = "zstd"
	XZ   = "xz"
	Bzip = "bzip2"
)

// headSize is how many bytes tell how a stream is compressed.
const headSize = 10

// Identify names the compression of a stream that begins with head, of which ten bytes are enough; "" is none that is
// known.
func Identify(head []byte) string {
	s := string(head)
	switch {
	case strings.HasPrefix(s, "\x1f\x8b"): // RFC 1952, section 2.3.1
		return Gzip
	case strings.HasPrefix(s, "\x28\xb5\x2f\xfd"), // RFC 8878, section 3.1.1: a frame
		len(s) >= 4 && s[0]&0xf0 == 0x50 && s[1:4] == "\x2a\x4d\x18": // section 3.1.2: a skippable one, as pzstd writes
		return Zstd
	case strings.HasPrefix(s, "\xfd7zXZ\x00"): // xz-file-format.txt, section 2.1.1.1
		return XZ
	case len(s) >= 10 && s[:3] == "BZh" && (s[4:10] == "1AY&SY" || s[4:10] == "\x17rE8P\x90"): // a block, or the end
		return Bzip
	case strings.HasPrefix(s, "LZIP\x01"):
		return "lzip"
	case strings.HasPrefix(s, "\x04\x22\x4d\x18"):
		return "lz4"
	case strings.HasPrefix(s, "\x1f\x9d"):
		return "compress"
	}
	return ""
}

// NewReader returns the content of r, and the name of the compression that was undone: "" where there was none. Several
// gzip members (RFC 1952, section 2.2) or zstd frames (RFC 8878, section 3) in a row are one content. An error is about
// the stream: "is compressed with lz4, ...".
func NewReader(r io.Reader, more ...Format) (io.ReadCloser, string, error) {
	br := bufio.NewReader(r)
	head, err := br.Peek(headSize)
	if err != nil && err != io.EOF {
		return nil, "", err
	}
	name := Identify(head)
	switch name {
	case "":
		return io.NopCloser(br), "", nil
	case Gzip:
		return io.NopCloser(inflate.NewReader(br)), name, nil
	case Zstd:
		zr, err := zstd.NewReader(br,
			zstd.WithDecoderMaxWindow(MaxWindow), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, "", err
		}
		return zr.IOReadCloser(), name, nil
	}
	for _, f := range more {
		if f.Name == name {
			rc, err := f.Reader(br)
			return rc, name, err
		}
	}
	return nil, "", fmt.Errorf("is compressed with %s, which the OCI image specification does not know: "+
		"compress it with gzip or zstd instead", name)
}
