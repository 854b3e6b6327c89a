package main

import (
	"fmt"
	"math/rand/v2"
	"os"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// A disk is the file system to which an image is written. It also stores contents that do not fit into memory.
type disk interface {
	file() (*os.File, error) // without a name
	free() int64             // bytes
}

// A directory on a disk is one.
type directory struct {
	dir  *os.File
	name string // for people
}

// diskOf returns an open directory as a disk, nil if it is in memory itself.
func diskOf(dir *os.File, name string) disk {
	var st unix.Statfs_t
	err := unix.Fstatfs(int(dir.Fd()), &st)
	if err != nil || st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC {
		return nil
	}
	return directory{dir, name}
}

// file makes a file without a name.
func (d directory) file() (*os.File, error) {
	fd, err := unix.Openat(int(d.dir.Fd()), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil { // not every file system knows that flag
		name := fmt.Sprintf(".spool-%d", rand.Uint64())
		const flags = unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_RDWR | unix.O_CLOEXEC
		fd, err = unix.Openat(int(d.dir.Fd()), name, flags, 0o600)
		if err == nil {
			err = unix.Unlinkat(int(d.dir.Fd()), name, 0)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write into %q: %w", d.name, err)
	}
	return os.NewFile(uintptr(fd), "spool"), nil
}

// free returns how many bytes the file system has free.
func (d directory) free() int64 {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(d.dir.Fd()), &st); err != nil {
		return 0
	}
	return int64(min(st.Bavail, 1<<50/memory.Page)) * st.Bsize
}
