// Package foreign decompresses what no registry should have, but archives on people's disks do: layers and archives
// compressed with xz or bzip2. It is for the host tool. The boot environment does without.
package foreign

import (
	"compress/bzip2"
	"io"

	"github.com/therootcompany/xz"

	"gitlab.com/wyrcan/wyrcan/pkg/compression"
)

// Formats returns what this package knows.
func Formats() []compression.Format {
	return []compression.Format{
		{Name: compression.XZ, Reader: func(r io.Reader) (io.ReadCloser, error) {
			// Of the libraries in Go this is the one that refuses a dictionary over a limit. A file may want one of 4
			// GiB.
			zr, err := xz.NewReader(r, compression.MaxWindow)
			return io.NopCloser(zr), err
		}},
		{Name: compression.Bzip, Reader: func(r io.Reader) (io.ReadCloser, error) {
			return io.NopCloser(bzip2.NewReader(r)), nil
		}},
	}
}
