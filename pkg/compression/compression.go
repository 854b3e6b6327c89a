// Package compression detects how a stream is compressed, and decompresses it. It goes by the first bytes of the
// stream, not by a name or a media type. It decompresses gzip and zstd, the formats of the OCI image specification for
// layers (layer.md, "Distributable Format"). Callers can add other formats; package foreign has some.
package compression

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/cores"
	"gitlab.com/wyrcan/wyrcan/pkg/inflate"
)

// MaxWindow is the largest window that a stream may use, in bytes: the window of zstd --long=27 and of xz's largest
// presets. Each open reader may take this much memory.
const MaxWindow = 128 << 20

// A Format is a further compression format for NewReader.
type Format struct {
	// Name is the name that Identify returns.
	Name string
	// Reader returns a reader of the decompressed content. It must not use a window larger than MaxWindow.
	Reader func(io.Reader) (io.ReadCloser, error)
}

// Names that Identify returns.
const (
	Gzip = "gzip"
	Zstd = "zstd"
	XZ   = "xz"
	Bzip = "bzip2"
)

// headSize is how many bytes Identify needs.
const headSize = 10

// Identify returns the name of the compression format of a stream that begins with head, or "" if it knows none. Ten
// bytes are enough.
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

// NewReader returns a reader of the decompressed content of r, and the name of the compression format, "" for none. It
// joins several gzip members (RFC 1952, section 2.2) or zstd frames (RFC 8878, section 3). The error continues a
// sentence that begins with the stream's name: "is compressed with lz4, ...".
func NewReader(r io.Reader, more ...Format) (io.ReadCloser, string, error) {
	return Open(r, nil, more...)
}

// Open is NewReader for a stream that several processors may decompress, nil for one.
func Open(r io.Reader, c *cores.Cores, more ...Format) (io.ReadCloser, string, error) {
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
		if c != nil {
			return inflate.NewParallel(br, c), name, nil
		}
		return io.NopCloser(inflate.NewReader(br)), name, nil
	case Zstd:
		if c != nil {
			zr, err := newFrames(br, c)
			return zr, name, err
		}
		zr, err := newZstd(br)
		return zr, name, err
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
