// Package newc encodes the records of an initramfs: cpio's newc form, as Linux describes it in
// Documentation/driver-api/early-userspace/buffer-format.rst and reads it in init/initramfs.c. It appends headers to
// a buffer; contents go from their source to the archive without it. It also knows what the kernel's unpacker cannot
// take.
//
// From u-root's pkg/cpio it takes the description of a record (cpio.Info) and the name that ends an archive; its
// tests take the reader and the writer from there, and compare every byte. It does not use that writer inside, for
// three reasons:
//
//   - The writer wants a content as an io.ReaderAt and takes a new buffer for each: 38 µs and 33 KiB for a record of
//     1 KiB, against 0.4 µs and nothing here (BenchmarkRecord, two processors). Contents of layers are streams that
//     are read once.
//   - It keeps the name of every record without a content until the archive ends, to drop names that come again.
//   - It cannot leave a content out. So it can write neither a header whose content is in place already, nor a filler.
package newc

import (
	"math"

	"github.com/u-root/u-root/pkg/cpio"
)

// Align is what records begin at multiples of, and contents too.
const Align = 4

const (
	magic      = "070701"
	fields     = 13
	headerSize = 6 + 8*fields // with the magic number, without the name
)

// Padded rounds up to a multiple of Align.
func Padded(n int64) int64 { return (n + Align - 1) &^ (Align - 1) }

// Pad appends the zeros that follow a content of this size. There are at most Align-1.
func Pad(b []byte, size int64) []byte {
	var zeros [Align - 1]byte
	return append(b, zeros[:Padded(size)-size]...)
}

// HeaderSize returns how many bytes of a record come before the content: header, path and padding.
func HeaderSize(path string) int64 { return Padded(headerSize + int64(len(path)) + 1) }

// Size returns how many bytes a record has whose content has size bytes.
func Size(path string, size int64) int64 { return HeaderSize(path) + Padded(size) }

// TrailerSize is how many bytes Trailer appends.
const TrailerSize = (headerSize + 10 + 1 + Align - 1) &^ (Align - 1)

// Trailer appends the record that ends an archive.
func Trailer(b []byte) []byte { return Header(b, cpio.Info{Name: cpio.Trailer}) }

// Time returns what a record says of a time in seconds since 1970: the nearest that 32 bits can hold.
func Time(seconds int64) uint64 { return uint64(min(max(seconds, 0), math.MaxUint32)) }

// Header appends what comes before the content of a record. The number of a file with one name is 0: maybe_link in
// init/initramfs.c looks at it only where NLink is more than 1.
func Header(b []byte, r cpio.Info) []byte {
	return appendHeader(b, r.Name, [fields]uint64{
		r.Ino, r.Mode, r.UID, r.GID, r.NLink, r.MTime, r.FileSize,
		r.Major, r.Minor, r.Rmajor, r.Rminor, uint64(len(r.Name)) + 1, 0,
	})
}

// Filler appends the head of a record of size bytes that the kernel passes over. size is a multiple of Align, and at
// least MinFiller. To do_header in init/initramfs.c a record with a content and without a file type creates nothing;
// it then skips the name and the content.
func Filler(b []byte, size int64) []byte {
	return Header(b, cpio.Info{NLink: 1, FileSize: uint64(size - HeaderSize(""))})
}

// MinFiller is the size of the smallest filler. It has a content: without one the kernel would read its name.
const MinFiller = (headerSize+1+Align-1)&^(Align-1) + Align

// MaxFiller is the size of the largest filler that this package is asked for. The size field could say nearly twice
// as much.
const MaxFiller = 1 << 31

// appendHeader appends a header, as usr/gen_init_cpio.c of Linux prints it, the name and the padding.
func appendHeader(b []byte, name string, values [fields]uint64) []byte {
	const digits = "0123456789ABCDEF"
	start := len(b)
	b = append(b, magic...)
	for _, v := range values {
		for shift := 28; shift >= 0; shift -= 4 {
			b = append(b, digits[v>>shift&15])
		}
	}
	b = append(b, name...)
	b = append(b, 0)
	return Pad(b, int64(len(b)-start))
}
