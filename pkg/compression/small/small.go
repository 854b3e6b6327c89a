// Package small decompresses small files of images, such as firmware and kernel modules, which distributions compress
// with gzip, zstd or xz.
package small

import (
	"bytes"
	"fmt"
	"io"

	"github.com/therootcompany/xz"

	"gitlab.com/wyrcan/wyrcan/pkg/compression"
	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// maxDict is the largest dictionary of a file that is compressed with xz, in bytes: that of xz -9, so what xz itself makes
// is read. Debian's firmware has 8 MiB and the kernel's build 1 MiB (scripts/Makefile.modinst). A file of some bytes may
// ask for 4 GiB, and of the Go libraries only this one can limit that. No more of a dictionary is used than there is
// content.
const maxDict = 64 << 20

// Unpack returns the content of a file with the bytes b, compressed or not, which may have limit bytes. The error
// continues a sentence that begins with the file's name.
func Unpack(b []byte, limit int64) ([]byte, error) {
	r, _, err := compression.NewReader(bytes.NewReader(b), compression.Format{
		Name: compression.XZ,
		Reader: func(r io.Reader) (io.ReadCloser, error) {
			zr, err := xz.NewReader(r, maxDict)
			return io.NopCloser(zr), err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("it %w", err)
	}
	defer r.Close()
	return smallfile.All(r, limit)
}
