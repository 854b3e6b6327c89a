// Package pattern makes large contents of which every page is different and quickly checked.
package pattern

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

const page = 4 << 10

// stamp is what begins a page of a file.
func stamp(name string, n int64) uint64 {
	h := fnv.New32a()
	io.WriteString(h, name)
	return uint64(h.Sum32())<<32 | uint64(n+1)
}

// Write writes a file's content, size bytes in whole pages.
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

// Check compares the beginning of every page with what Write has written, and returns how many bytes the file has.
func Check(f io.ReaderAt, name string) (int64, error) {
	var b [8]byte
	for n := int64(0); ; n++ {
		switch _, err := f.ReadAt(b[:], n*page); {
		case err == io.EOF:
			return n * page, nil
		case err != nil:
			return 0, err
		}
		if got, want := binary.LittleEndian.Uint64(b[:]), stamp(name, n); got != want {
			return 0, fmt.Errorf("page %d of %s begins with %x, not %x", n, name, got, want)
		}
	}
}
