package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// unpacker writes a tree to a directory. It sets a file's properties by its descriptor, never by its name: somebody may
// give the name to another file.
type unpacker struct {
	mine    bool // leave out what needs root
	strict  bool // fail instead of losing something
	without losses
	lost    losses
	meter   *meter
	grow    func() error // asked while files take memory; nil if they do not

	root   *os.File
	parent *os.File // the directory that was opened last, called name
	name   string
	single bool // the kernel has no openat2: directories are opened one by one

	last *rootfs.Node // the file that was made last
	file *os.File     // the same file, open; nil if it could not be made
}

// errRoot is why -no-owner leaves something out.
var errRoot = errors.New("they need root")

// unpack writes tree to the root, which is empty.
func (u *unpacker) unpack(ctx context.Context, tree *rootfs.Tree) error {
	defer func() {
		for _, f := range []*os.File{u.parent, u.file} {
			if f != nil {
				f.Close()
			}
		}
	}()
	var dirs []*rootfs.Node
	err := tree.Walk(ctx, func(n *rootfs.Node, content io.Reader) error {
		if n.Dir() {
			dirs = append(dirs, n)
		}
		if err := u.write(n, content); err != nil {
			return fmt.Errorf("cannot write %s: %w", rootfs.Quote(n.Path), reason(n, err))
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Directories get their times and modes when nothing is written into them any more, the innermost first.
	for _, n := range slices.Backward(dirs) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := u.finish(n); err != nil {
			return fmt.Errorf("cannot finish %s: %w", rootfs.Quote(n.Path), err)
		}
	}
	return nil
}

// reason explains what some errors mean here.
func reason(n *rootfs.Node, err error) error {
	base := path.Base(n.Path)
	switch {
	case errors.Is(err, unix.EEXIST):
		return errors.New("the file system takes this name for that of another file there: " +
			"perhaps it does not tell upper case from lower; unpack to another one")
	case errors.Is(err, unix.ENAMETOOLONG) && n.Symlink():
		return fmt.Errorf("the file system takes neither such a name, of %d bytes, nor such a target, of %d bytes",
			len(base), len(n.Target))
	case errors.Is(err, unix.ENAMETOOLONG):
		return fmt.Errorf("the file system takes no name of %d bytes", len(base))
	}
	return err
}

// at returns the directory that n is in, and n's name there.
func (u *unpacker) at(n *rootfs.Node) (fd int, base string, err error) {
	dir, base := path.Dir(n.Path), path.Base(n.Path)
	if dir == "." {
		return int(u.root.Fd()), base, nil
	}
	if u.parent == nil || u.name != dir {
		fd, err := u.open(dir)
		if err != nil {
			return -1, "", err
		}
		if u.parent != nil {
			u.parent.Close()
		}
		u.parent, u.name = os.NewFile(uintptr(fd), dir), dir
	}
	return int(u.parent.Fd()), base, nil
}

// open opens a directory of the tree, in pieces of its path that are short enough for the kernel. It follows no
// symbolic link: nobody may have put one in a directory's place.
func (u *unpacker) open(dir string) (int, error) {
	const most = unix.PathMax - 1
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	at := int(u.root.Fd())
	for rest := dir; rest != ""; {
		piece := rest
		if i := strings.LastIndexByte(rest[:min(len(rest), most)], '/'); len(rest) > most && i > 0 {
			piece = rest[:i]
		}
		if u.single {
			piece, _, _ = strings.Cut(rest, "/")
		}
		var fd int
		var err error
		if u.single {
			fd, err = unix.Openat(at, piece, flags, 0)
		} else {
			const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS
			fd, err = unix.Openat2(at, piece, &unix.OpenHow{Flags: flags, Resolve: resolve})
			if err == unix.ENOSYS || err == unix.EPERM { // before Linux 5.6, or where a seccomp filter does not know it
				u.single = true
				continue
			}
		}
		if at != int(u.root.Fd()) {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at, rest = fd, strings.TrimPrefix(rest[len(piece):], "/")
	}
	return at, nil
}

// write writes n, and finishes it unless it is a directory.
func (u *unpacker) write(n *rootfs.Node, content io.Reader) error {
	if n.Path == "." {
		return nil
	}
	fd, base, err := u.at(n)
	if err != nil {
		return err
	}
	if n.Dir() {
		return unix.Mkdirat(fd, base, 0o700)
	}
	if u.last != nil && n.Same(u.last) {
		err := u.link(fd, base)
		if err == nil || u.file != nil && !lossy(err) && !errors.Is(err, unix.EMLINK) && !errors.Is(err, unix.EXDEV) {
			return err
		}
		// It becomes a separate file with the same content.
		if u.file != nil {
			if err := u.lose("the second names", n.Path, err); err != nil {
				return err
			}
			content = io.NewSectionReader(u.file, 0, n.Size)
		}
	}
	before := u.file
	u.last = n
	u.file, err = u.create(fd, base, n, content)
	if before != nil {
		before.Close()
	}
	if err != nil || u.file == nil {
		return err
	}
	return u.describe(u.file, n)
}

// link gives the file that was made last another name.
func (u *unpacker) link(fd int, base string) error {
	if u.file == nil {
		return unix.ENOENT
	}
	err := unix.Linkat(unix.AT_FDCWD, proc(u.file), fd, base, unix.AT_SYMLINK_FOLLOW)
	if err == unix.ENOENT { // there is no /proc; without it this needs a capability
		err = unix.Linkat(int(u.file.Fd()), "", fd, base, unix.AT_EMPTY_PATH)
	}
	return err
}

// proc returns a path to an open file that is right even if the file's name has changed.
func proc(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// create makes n, which is no directory, and returns it open, or nil if it was left out.
func (u *unpacker) create(fd int, base string, n *rootfs.Node, content io.Reader) (*os.File, error) {
	if n.Regular() {
		file, err := unix.Openat(fd, base, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(file), base)
		if content != nil {
			_, err = io.Copy(&growing{f, u.grow, 0}, content)
			u.meter.add(int(n.Size))
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
	var err error
	what := "the special files"
	switch {
	case n.Symlink():
		what = "the symbolic links"
		err = unix.Symlinkat(n.Target, fd, base)
	case u.mine && n.Mode&unix.S_IFMT != unix.S_IFIFO && n.Mode&unix.S_IFMT != unix.S_IFSOCK:
		u.without.add("devices", n.Path, errRoot)
		return nil, nil
	default:
		err = unix.Mknodat(fd, base, n.Mode&unix.S_IFMT|0o600, int(unix.Mkdev(n.Major, n.Minor)))
	}
	if lossy(err) && !errors.Is(err, unix.ENOSPC) {
		return nil, u.lose(what, n.Path, err)
	}
	if err != nil {
		return nil, err
	}
	file, err := unix.Openat(fd, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(file), base), nil
}

// growing writes to a file that may be in memory, and asks now and then whether it may go on.
type growing struct {
	f     *os.File
	grow  func() error
	asked int // bytes written since it asked
}

func (g *growing) Write(p []byte) (int, error) {
	if g.asked += len(p); g.asked > 4<<20 && g.grow != nil {
		g.asked = 0
		if err := g.grow(); err != nil {
			return 0, err
		}
	}
	return g.f.Write(p)
}

// finish sets the properties of a directory.
func (u *unpacker) finish(n *rootfs.Node) error {
	if n.Path == "." {
		return u.describe(u.root, n)
	}
	fd, base, err := u.at(n)
	if err != nil {
		return err
	}
	dir, err := unix.Openat(fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(dir), base)
	defer f.Close()
	return u.describe(f, n)
}

// describe sets all properties of a file; its content is there already.
func (u *unpacker) describe(f *os.File, n *rootfs.Node) error {
	fd, mode := int(f.Fd()), n.Mode&0o7777
	if !u.mine {
		const itself = unix.AT_EMPTY_PATH | unix.AT_SYMLINK_NOFOLLOW
		if err := unix.Fchownat(fd, "", int(n.UID), int(n.GID), itself); err != nil {
			if err := u.lose("the owners", n.Path, err); err != nil {
				return err
			}
			mode &^= unix.S_ISUID | unix.S_ISGID // the file would run as another user than the image says
		}
	}
	// After the owner, because a change of the owner removes capabilities; before the mode, which may forbid writing.
	for _, key := range slices.Sorted(maps.Keys(n.Xattrs)) {
		if err := setXattr(f, n, key); err != nil {
			if u.mine && !strings.HasPrefix(key, "user.") && errors.Is(err, unix.EPERM) {
				u.without.add(fmt.Sprintf("%q", cut(key)), n.Path, errRoot)
				continue
			}
			if err := u.lose(fmt.Sprintf("the attribute %q", cut(key)), n.Path, err); err != nil {
				return err
			}
		}
	}
	if !n.Symlink() { // symbolic links have no mode in Linux
		if err := setMode(f, n, mode); err != nil {
			if err := u.lose("the modes", n.Path, err); err != nil {
				return err
			}
		}
	}
	t, err := unix.TimeToTimespec(n.ModTime)
	if err == nil {
		err = setTimes(f, t, t)
	}
	if err != nil {
		return u.lose("the times", n.Path, err)
	}
	return nil
}

// cut shortens a name for a message: an image may have one of a megabyte.
func cut(name string) string { return name[:min(len(name), 80)] }

// lose notes that something is lost, or returns an error if unpacking must not go on.
func (u *unpacker) lose(what, path string, err error) error {
	if u.strict || !lossy(err) && !errors.Is(err, unix.EMLINK) && !errors.Is(err, unix.EXDEV) {
		return fmt.Errorf("%s: %w", what, err)
	}
	u.lost.add(what, path, err)
	return nil
}

// opened reports whether a node's file is open for reading or writing. Others are only reached by a path below /proc.
func opened(n *rootfs.Node) bool { return n.Regular() || n.Dir() }

func setXattr(f *os.File, n *rootfs.Node, key string) error {
	if opened(n) {
		return unix.Fsetxattr(int(f.Fd()), key, []byte(n.Xattrs[key]), 0)
	}
	return unix.Setxattr(proc(f), key, []byte(n.Xattrs[key]), 0)
}

func setMode(f *os.File, n *rootfs.Node, mode uint32) error {
	if opened(n) {
		return unix.Fchmod(int(f.Fd()), mode)
	}
	return unix.Chmod(proc(f), mode)
}

// setTimes sets the times when a file was last read and last changed.
func setTimes(f *os.File, read, changed unix.Timespec) error {
	t := []unix.Timespec{read, changed}
	err := unix.UtimesNanoAt(int(f.Fd()), "", t, unix.AT_EMPTY_PATH)
	if err == unix.EINVAL || err == unix.ENOENT { // before Linux 5.8
		err = unix.UtimesNanoAt(unix.AT_FDCWD, proc(f), t, 0)
	}
	return err
}
