package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// place is a directory that is filled and then kept as a whole, or removed. Until it is kept, only this user can reach
// its inside: others may be able to write to the directory around it, and could put links in the way. So it is used by
// its descriptor, and files in it are never opened by a path from outside.
type place struct {
	dir   *os.File // to write to
	final string   // the path that was asked for

	parent *os.File    // the directory that dir is in, by another name so far; nil if final existed: it may be a mount
	temp   string      // that other name
	before unix.Stat_t // of the directory before it was locked
	mine   bool        // its owner stays the same
	kept   bool
}

// newPlace returns the place for a directory that is empty or does not exist. mine says that its owner stays the same.
func newPlace(final string, mine bool) (*place, error) {
	p := &place{final: final, mine: mine}
	dir, err := openDir(final)
	switch {
	case err == nil:
		p.dir = dir
		err = p.take()
	case errors.Is(err, unix.ENOENT):
		err = p.make()
	default:
		err = fmt.Errorf("cannot write into %q: %w", final, err)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// openDir opens a directory. It follows symbolic links to it, but none that a third user has made: such a link could
// lead this program to another directory.
func openDir(path string) (*os.File, error) {
	for range 40 {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(fd), path)
		defer f.Close()
		var is unix.Stat_t
		if err := unix.Fstat(fd, &is); err != nil {
			return nil, err
		}
		if is.Mode&unix.S_IFMT != unix.S_IFLNK {
			dir, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return nil, err
			}
			return os.NewFile(uintptr(dir), path), nil
		}
		if int(is.Uid) != os.Geteuid() && is.Uid != 0 {
			return nil, fmt.Errorf("%q is a symbolic link of user %d", path, is.Uid)
		}
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(fd, "", target)
		if err != nil {
			return nil, err
		}
		if to := string(target[:n]); filepath.IsAbs(to) {
			path = to
		} else {
			path = filepath.Dir(path) + "/" + to
		}
	}
	return nil, unix.ELOOP
}

// make makes a directory with another name beside the final one.
func (p *place) make() error {
	fd, err := unix.Open(filepath.Dir(p.final), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot make %q: %w", p.final, err)
	}
	p.parent = os.NewFile(uintptr(fd), filepath.Dir(p.final))
	base := filepath.Base(p.final)
	for range 100 {
		p.temp = fmt.Sprintf(".%s.%d", base[:min(len(base), 200)], rand.Uint32())
		if err = unix.Mkdirat(fd, p.temp, 0o700); err != unix.EEXIST {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("cannot make %q: %w", p.final, err)
	}
	dir, err := unix.Openat(fd, p.temp, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot make %q: %w", p.final, err)
	}
	p.dir = os.NewFile(uintptr(dir), p.temp)
	if err := unix.Fstat(dir, &p.before); err != nil {
		return err
	}
	if int(p.before.Uid) != os.Geteuid() {
		return fmt.Errorf("cannot make %q: somebody has put another directory in its place", p.final)
	}
	return p.lock()
}

// take uses a directory that exists.
func (p *place) take() error {
	if err := unix.Fstat(int(p.dir.Fd()), &p.before); err != nil {
		return err
	}
	if err := p.vacant(); err != nil {
		return err
	}
	if int(p.before.Uid) != os.Geteuid() && os.Geteuid() != 0 {
		return fmt.Errorf("cannot write into %q: it is not yours, and its owner could change what is written: "+
			"name a directory that is not there yet", p.final)
	}
	err := p.lock()
	if err == nil {
		err = p.vacant() // once more: now nobody else can put something there
	}
	if err != nil {
		p.restore()
	}
	return err
}

// lock makes the directory accessible to this user alone.
func (p *place) lock() error {
	fd := int(p.dir.Fd())
	var is unix.Stat_t
	err := unix.Fstat(fd, &is)
	if err == nil && int(is.Uid) != os.Geteuid() {
		err = unix.Fchown(fd, os.Geteuid(), -1)
	}
	if err == nil {
		err = unix.Fchmod(fd, 0o700)
	}
	if err != nil {
		return fmt.Errorf("cannot keep others out of %q while it is filled: %w; "+
			"name a directory that is not there yet", p.final, err)
	}
	return nil
}

// vacant returns an error if something is in the directory.
func (p *place) vacant() error {
	if _, err := p.dir.Seek(0, io.SeekStart); err != nil {
		return err
	}
	switch _, err := p.dir.Readdirnames(1); {
	case err == nil:
		return fmt.Errorf("cannot write into %q: it is not empty", p.final)
	case err != io.EOF:
		return err
	}
	return nil
}

// restore gives an existing directory its owner, mode and times back.
func (p *place) restore() {
	fd := int(p.dir.Fd())
	unix.Fchown(fd, int(p.before.Uid), int(p.before.Gid))
	unix.Fchmod(fd, p.before.Mode&0o7777)
	setTimes(p.dir, p.before.Atim, p.before.Mtim)
}

// keep gives the directory its final name, or its owner back.
func (p *place) keep() error {
	if p.parent == nil {
		if p.mine {
			if err := unix.Fchown(int(p.dir.Fd()), int(p.before.Uid), int(p.before.Gid)); err != nil {
				return err
			}
		}
		p.kept = true
		return nil
	}
	at, base := int(p.parent.Fd()), filepath.Base(p.final)
	err := unix.Renameat2(at, p.temp, at, base, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS { // not every file system knows that flag
		err = unix.Renameat(at, p.temp, at, base)
	}
	if err != nil {
		return fmt.Errorf("cannot make %q: %w", p.final, err)
	}
	var is, want unix.Stat_t
	if err = unix.Fstat(int(p.dir.Fd()), &want); err == nil {
		err = unix.Fstatat(at, base, &is, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err == nil && (is.Dev != want.Dev || is.Ino != want.Ino) {
		err = errors.New("somebody has put something else in its place")
	}
	if err != nil {
		return fmt.Errorf("cannot make %q: %w", p.final, err)
	}
	p.kept = true
	return nil
}

// clear removes what was written, unless the place was kept.
func (p *place) clear() {
	defer p.close()
	if p.kept {
		return
	}
	p.lock() // it may already have the owner and mode of the image
	clearDir(int(p.dir.Fd()))
	if p.parent == nil {
		p.restore()
		return
	}
	unix.Unlinkat(int(p.parent.Fd()), p.temp, unix.AT_REMOVEDIR)
}

func (p *place) close() {
	for _, f := range []*os.File{p.dir, p.parent} {
		if f != nil {
			f.Close()
		}
	}
}

// clearDir removes what is in a directory, as far as it can. It follows no link, so that it reaches nothing outside.
func clearDir(fd int) {
	self, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	dir := os.NewFile(uintptr(self), ".")
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if unix.Unlinkat(fd, name, 0) == nil {
			continue
		}
		below, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == unix.EACCES { // it already has its own mode
			unix.Fchmodat(fd, name, 0o700, unix.AT_SYMLINK_NOFOLLOW)
			below, err = unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		}
		if err != nil {
			continue
		}
		unix.Fchmod(below, 0o700)
		clearDir(below)
		unix.Close(below)
		unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
	}
}

// disk returns the place as a disk for contents that do not fit into the memory; nil if the place is in memory itself.
func (p *place) disk() disk { return diskOf(p.dir, p.final) }
