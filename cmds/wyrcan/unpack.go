package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// unpack is "wyrcan unpack".
func (c *cmd) unpack(ctx context.Context, args []string) error {
	f := c.flags("unpack", "[OPTION...] IMAGE DIR", `Unpack IMAGE into the new or empty directory DIR: the tree of files that its
layers describe, with owners, modes, times, links, devices and extended
attributes. Nothing outside DIR is written, and after a failure DIR is as it was.
`)
	machine := here
	f.registry()
	f.Var(&machine, "arch", "unpack the image for this `ARCHITECTURE`, with a variant perhaps: arm/v7")
	mine := f.Bool("no-owner", os.Geteuid() != 0, "all files are yours: without owners, devices and security attributes, which need root")
	rest, err := f.parse(args, 2, false)
	if err != nil {
		return err
	}
	if !*mine && os.Geteuid() != 0 {
		return usage("unpack: owners need root: use -no-owner")
	}
	dir := filepath.Clean(rest[1])
	place, err := newPlace(dir)
	if err != nil {
		return err
	}
	defer place.clear()
	_, tree, err := c.tree(ctx, rest[0], machine, nil)
	if err != nil {
		return err
	}
	defer tree.Close()
	m := c.meter("writing "+dir, tree.Stat().Bytes)
	defer m.end()
	u := &unpacker{mine: *mine, meter: m}
	if err := u.unpack(ctx, tree, place.dir); err != nil {
		return fmt.Errorf("cannot unpack %s: %w", rest[0], err)
	}
	if err := place.keep(); err != nil {
		return err
	}
	m.end()
	if len(u.lost) > 0 {
		fmt.Fprintf(c.stderr, "wyrcan: left out, as they need root: %s\n", summary(u.lost))
	}
	return nil
}

// A place is where files are written for a directory that is to be whole or not there.
type place struct {
	dir   string // to write to
	final string // what dir becomes; dir itself where that was there before: it may be a mount
	kept  bool
}

// newPlace returns the place for a directory that is empty or not there.
func newPlace(final string) (*place, error) {
	list, err := os.ReadDir(final)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir, err := os.MkdirTemp(filepath.Dir(final), "."+filepath.Base(final)+".")
		if err != nil {
			return nil, fmt.Errorf("cannot make %q: %w", final, err)
		}
		return &place{dir: dir, final: final}, nil
	case err != nil:
		return nil, err
	case len(list) > 0:
		return nil, fmt.Errorf("cannot write into %q: it is not empty", final)
	}
	return &place{dir: final, final: final}, nil
}

// keep makes the directory what was asked for.
func (p *place) keep() error {
	if p.dir != p.final {
		if err := os.Rename(p.dir, p.final); err != nil {
			return err
		}
	}
	p.kept = true
	return nil
}

// clear removes what was written, unless it was kept.
func (p *place) clear() {
	if p.kept {
		return
	}
	if p.dir != p.final {
		os.RemoveAll(p.dir)
		return
	}
	list, err := os.ReadDir(p.dir)
	if err != nil {
		return
	}
	for _, e := range list {
		os.RemoveAll(filepath.Join(p.dir, e.Name()))
	}
}

// summary lists the first of many things.
func summary(names []string) string {
	if n := len(names); n > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), n-5)
	}
	return strings.Join(names, ", ")
}

// An unpacker writes a tree to a directory.
type unpacker struct {
	mine  bool     // leave out what only root may do
	lost  []string // what was left out
	meter *meter

	root   *os.Root
	parent *os.File // the directory called name
	name   string
}

// unpack writes tree to dir, which is empty.
func (u *unpacker) unpack(ctx context.Context, tree *rootfs.Tree, dir string) (err error) {
	if u.root, err = os.OpenRoot(dir); err != nil {
		return err
	}
	defer u.root.Close()
	defer func() {
		if u.parent != nil {
			u.parent.Close()
		}
	}()
	var dirs []*rootfs.Node
	var last *rootfs.Node
	err = tree.Walk(ctx, func(n *rootfs.Node, content io.Reader) error {
		if n.Dir() {
			dirs = append(dirs, n)
		}
		err := u.write(n, last, content)
		last = n
		if err != nil {
			return fmt.Errorf("cannot write %q: %w", n.Path, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Directories get their times and modes when nothing is written into them any more, the innermost first.
	for _, n := range slices.Backward(dirs) {
		if err := u.finish(n); err != nil {
			return fmt.Errorf("cannot finish %q: %w", n.Path, err)
		}
	}
	return nil
}

// at returns the directory that n is in, and n's name there. The directory is reached through os.Root: it is below the
// one that is written to, whatever links there may be.
func (u *unpacker) at(n *rootfs.Node) (fd int, base string, err error) {
	dir, base := path.Dir(n.Path), path.Base(n.Path)
	if u.parent == nil || u.name != dir {
		f, err := u.root.Open(dir)
		if err != nil {
			return -1, "", err
		}
		if u.parent != nil {
			u.parent.Close()
		}
		u.parent, u.name = f, dir
	}
	return int(u.parent.Fd()), base, nil
}

// write writes n, the node after last, and finishes it unless it is a directory.
func (u *unpacker) write(n, last *rootfs.Node, content io.Reader) error {
	if n.Path == "." {
		return nil
	}
	if last != nil && n.Same(last) {
		if slices.Contains(u.lost, last.Path) {
			u.lost = append(u.lost, n.Path)
			return nil
		}
		return u.root.Link(last.Path, n.Path)
	}
	fd, base, err := u.at(n)
	if err != nil {
		return err
	}
	switch {
	case n.Dir():
		return unix.Mkdirat(fd, base, 0o700)
	case n.Regular():
		file, err := unix.Openat(fd, base, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(file), base)
		if content != nil {
			_, err = io.Copy(f, content)
			u.meter.add(int(n.Size))
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	case n.Symlink():
		if err := unix.Symlinkat(n.Target, fd, base); err != nil {
			return err
		}
	case u.mine && n.Mode&unix.S_IFMT != unix.S_IFIFO && n.Mode&unix.S_IFMT != unix.S_IFSOCK:
		u.lost = append(u.lost, n.Path)
		return nil
	default:
		if err := unix.Mknodat(fd, base, n.Mode&unix.S_IFMT|0o600, int(unix.Mkdev(n.Major, n.Minor))); err != nil {
			return err
		}
	}
	return u.finish(n)
}

// finish gives n all but its content.
func (u *unpacker) finish(n *rootfs.Node) error {
	fd, base := unix.AT_FDCWD, u.root.Name()
	if n.Path != "." {
		var err error
		if fd, base, err = u.at(n); err != nil {
			return err
		}
	}
	if !u.mine {
		if err := unix.Fchownat(fd, base, int(n.UID), int(n.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	// After the owner, whose change takes capabilities away, and before the mode, which may forbid it.
	name := base
	if fd != unix.AT_FDCWD {
		name = fmt.Sprintf("/proc/self/fd/%d/%s", fd, base) // there is no setxattrat in the kernels of today
	}
	for key, value := range n.Xattrs {
		if err := unix.Lsetxattr(name, key, []byte(value), 0); err != nil {
			if u.mine && !strings.HasPrefix(key, "user.") {
				u.lost = append(u.lost, n.Path+" ("+key+")")
				continue
			}
			return fmt.Errorf("attribute %s: %w", key, err)
		}
	}
	if !n.Symlink() { // Linux gives those no mode
		if err := unix.Fchmodat(fd, base, n.Mode&0o7777, 0); err != nil {
			return err
		}
	}
	t, err := unix.TimeToTimespec(n.ModTime)
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(fd, base, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
}
