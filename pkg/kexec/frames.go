//go:build amd64 || arm64

package kexec

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// frames returns the numbers of the page frames in which a mapping is. It leaves the mapping without pages, so that
// each use of one is a page fault.
func frames(b []byte) ([]uint64, error) {
	if err := unix.Madvise(b, unix.MADV_POPULATE_READ); err != nil { // since Linux 5.14, as the faults of a spender
		return nil, fmt.Errorf("madvise: %w", err)
	}
	all, err := readFrames("/proc/self/pagemap", uintptr(unsafe.Pointer(unsafe.SliceData(b))), len(b))
	if err != nil {
		return nil, err
	}
	if err := unix.Madvise(b, unix.MADV_DONTNEED); err != nil {
		return nil, fmt.Errorf("madvise: %w", err)
	}
	return all, nil
}

// readFrames reads the frames of a mapping: Documentation/admin-guide/mm/pagemap.rst.
func readFrames(pagemap string, at uintptr, size int) ([]uint64, error) {
	f, err := os.Open(pagemap)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const present, number = 1 << 63, 1<<55 - 1
	page := uint64(os.Getpagesize())
	var all []uint64
	buf := make([]byte, 1<<16)
	first, end := uint64(at)/page*8, (uint64(at)+uint64(size)+page-1)/page*8
	for from := first; from < end; {
		part := buf[:min(uint64(len(buf)), end-from)]
		if _, err := f.ReadAt(part, int64(from)); err != nil {
			return nil, err
		}
		for i := 0; i < len(part); i += 8 {
			if entry := le.Uint64(part[i:]); entry&present != 0 && entry&number != 0 {
				all = append(all, entry&number)
			}
		}
		from += uint64(len(part))
	}
	return all, nil
}
