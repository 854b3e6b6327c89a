// Package pattern writes large file contents in which every page differs and can be checked quickly.
package pattern

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

const page = 4 << 10

// stamp returns the value at the beginning of a page of a file.
func stamp(name string, n int64) uint64 {
	h := fnv.New32a()
	io.WriteString(h, name)
	return uint64(h.Sum32())<<32 | uint64(n+1)
}

// Write writes the content of a file: size bytes, in whole pages.
func Write(w io.Writer, name string, size int64) error {
	var b [page]byte
	for n := range size / page {
		binary.LittleEndian.PutUint64(b[:], stamp(name, n))
		if _, err := w.Write(b[:]); err != nil {
			return err
		}
	}
	return nil
}

// Check compares the beginning of every page with what Write wrote, and returns the number of bytes. It reads many pages
// at a time: an emulated processor takes long for a system call.
func Check(f io.ReaderAt, name string) (int64, error) {
	b := make([]byte, 256*page)
	for at := int64(0); ; {
		n, err := f.ReadAt(b, at)
		for ; n >= page; n -= page {
			if got, want := binary.LittleEndian.Uint64(b[int(at%int64(len(b))):]), stamp(name, at/page); got != want {
				return 0, fmt.Errorf("page %d of %s begins with %x, want %x", at/page, name, got, want)
			}
			at += page
		}
		switch {
		case err == io.EOF:
			return at + int64(n), nil
		case err != nil:
			return 0, err
		}
	}
}
