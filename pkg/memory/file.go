package memory

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Page is the size of a page of memory in bytes: always on amd64, and with Debian's usual kernel on arm64.
const Page = 4 << 10

// File makes a file in memory. It is in no file system, so that its only limit is the memory itself: / and /tmp hold at
// most half of that. The name only shows in /proc.
func File(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a file in memory: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// GiveBack frees all pages that begin in this part of the file. They read as zeros then; the file keeps its length.
func GiveBack(f *os.File, from, to int64) error {
	from, to = (from+Page-1)&^(Page-1), (to+Page-1)&^(Page-1)
	if from >= to {
		return nil
	}
	const punch = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	if err := unix.Fallocate(int(f.Fd()), punch, from, to-from); err != nil {
		return fmt.Errorf("cannot give memory back: %w", err)
	}
	return nil
}
