package memory

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Page is how much memory is given back at a time, in bytes.
const Page = 4 << 10

// File makes a file in memory that has no place in any file system, and no limit but the memory itself: / and /tmp hold
// half of that at most. The name is for people who look at /proc.
func File(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a file in memory: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// GiveBack gives the memory of all pages back that begin in this part of the file. They read as zeros then, and the
// file keeps its length.
func GiveBack(f *os.File, from, to int64) error {
	from, to = (from+Page-1)&^(Page-1), (to+Page-1)&^(Page-1)
	if from >= to {
		return nil
	}
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from); err != nil {
		return fmt.Errorf("cannot give memory back: %w", err)
	}
	return nil
}
