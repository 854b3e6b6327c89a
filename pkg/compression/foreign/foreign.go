// Package foreign decompresses xz and bzip2, for layers and archives on a person's disk. Registries should not have
// such layers, so only the host tool uses this package, and not the boot environment.
package foreign

import (
	"compress/bzip2"
	"io"

	"github.com/therootcompany/xz"

	"gitlab.com/wyrcan/wyrcan/pkg/compression"
)

// Formats returns the formats that this package decompresses.
func Formats() []compression.Format {
	return []compression.Format{
		{Name: compression.XZ, Reader: func(r io.Reader) (io.ReadCloser, error) {
			// A file may ask for a dictionary of 4 GiB. Of the Go libraries, only this one can limit the dictionary.
			zr, err := xz.NewReader(r, compression.MaxWindow)
			return io.NopCloser(zr), err
		}},
		{Name: compression.Bzip, Reader: func(r io.Reader) (io.ReadCloser, error) {
			return io.NopCloser(bzip2.NewReader(r)), nil
		}},
	}
}
