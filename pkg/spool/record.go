package spool

import (
	"math"
)

// File is what a record says of a regular file.
type File struct {
	Path     string // as in the layer's archive, from the root
	Mode     uint32 // st_mode with its type
	UID, GID uint32
	ModTime  int64 // seconds since 1970; what is not in 32 bits becomes the nearest that is
	Size     int64 // of the content, in bytes

	Links, Number uint32 // of a file with several names, which share the number; else 0
}

// MaxSize is the largest content in bytes that the kernel unpacks. A record could have twice as much, by the eight hexadecimal
// digits of its size; but do_name of init/initramfs.c opens files without O_LARGEFILE (seen in Linux 6.1), so that writing ends
// where MAX_NON_LFS of include/linux/fs.h is, and unpacking with it: "write error".
const MaxSize = 1<<31 - 1

// Align is what records begin at multiples of.
const Align = 4

// Padded rounds up to a multiple of Align.
func Padded(n int64) int64 { return (n + Align - 1) &^ (Align - 1) }

// HeaderSize returns how many bytes of a record come before the content of the file that has this path.
func HeaderSize(path string) int64 { return Padded(fixed + int64(len(path)) + 1) }

const (
	fixed  = 110 // bytes of a header, whose name comes next
	fields = 13
	magic  = "070701"
)

// trailer ends an archive.
var trailer = appendHeader(nil, "TRAILER!!!", [fields]uint32{})

// The numbers of a header, by their places: usr/gen_init_cpio.c, init/initramfs.c.
const (
	ino = iota
	mode
	uid
	gid
	nlink
	mtime
	filesize
	namesize = 11
)

// Header appends what comes before the content of a file. Where that has one name its number is 0, for maybe_link of
// init/initramfs.c looks at it only where there are more.
//
// It is what u-root's cpio package would write, which wants the content along with it, however.
func Header(b []byte, f File) []byte {
	return appendHeader(b, f.Path, [fields]uint32{
		ino: f.Number, mode: f.Mode, uid: f.UID, gid: f.GID, nlink: max(1, f.Links),
		mtime: uint32(min(max(f.ModTime, 0), math.MaxUint32)), filesize: uint32(f.Size),
	})
}

// Filler appends the head of a record of size bytes, a multiple of Align and at least MinFiller, which the kernel passes
// over: to do_header a record that has a content and is of no type is nothing to create, so that it skips the name too.
func Filler(b []byte, size int64) []byte {
	return appendHeader(b, "", [fields]uint32{nlink: 1, filesize: uint32(size - HeaderSize(""))})
}

// MinFiller is the least that a filler can take: with a content, without which the kernel would read its name.
var MinFiller = HeaderSize("") + Align

func appendHeader(b []byte, name string, values [fields]uint32) []byte {
	const digits = "0123456789ABCDEF"
	values[namesize] = uint32(len(name)) + 1
	start := len(b)
	b = append(b, magic...)
	for _, v := range values {
		for shift := 28; shift >= 0; shift -= 4 {
			b = append(b, digits[v>>shift&15])
		}
	}
	b = append(b, name...)
	b = append(b, 0)
	for (len(b)-start)%Align != 0 {
		b = append(b, 0)
	}
	return b
}
