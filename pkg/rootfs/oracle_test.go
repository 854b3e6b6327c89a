package rootfs_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"golang.org/x/sys/unix"
)

// unpacker unpacks layers in order into a real directory with system calls, one member after the other, as layer.md
// says. The kernel decides what links, links to directories and replacements mean.
type unpacker struct {
	root  string
	times map[string]time.Time // of directories; set last, because making something in a directory changes its time

	upper map[string]bool // paths that the present layer has made or described
	buf   []byte          // scratch
	late  []late          // its hard links whose targets did not come yet
	marks int
}

// late is a hard link that has to wait. Until then, a file whose content is the mark has its name. An inode number
// would not tell that the file is still there: numbers are used again.
type late struct {
	header *tar.Header
	path   string
	mark   string
}

const held = "\x00held "

func content(path string) string {
	if fi, err := os.Lstat(path); err != nil || !fi.Mode().IsRegular() || fi.Size() > 64 {
		return ""
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

func newUnpacker(t *testing.T) *unpacker {
	t.Helper()
	if testing.Short() {
		t.Skip("unpacks layers as root")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files their owners and to make devices")
	}
	root := filepath.Join(imagetest.TempDir(t), "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return &unpacker{root: root, times: map[string]time.Time{root: time.Unix(0, 0)}}
}

func (u *unpacker) layer(l imagetest.Layer) error {
	archive, err := l.Archive()
	if err != nil {
		return err
	}
	u.upper, u.late = map[string]bool{}, nil
	tr := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := u.member(h, tr); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	for len(u.late) > 0 {
		todo := u.late
		u.late = nil
		for _, l := range todo {
			if content(l.path) != l.mark {
				continue // something else took the name in the meantime
			}
			if err := u.link(l.header); err != nil {
				return err
			}
		}
		if len(u.late) == len(todo) {
			return errors.New("hard link to nothing")
		}
	}
	return nil
}

// finish gives directories their times.
func (u *unpacker) finish() error {
	for dir, t := range u.times {
		ts := []unix.Timespec{unix.NsecToTimespec(t.UnixNano()), unix.NsecToTimespec(t.UnixNano())}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, dir, ts, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	return nil
}

// real follows the symbolic links in the path of a directory, within the root. Where nothing is, only the text counts.
func (u *unpacker) real(path string) (string, error) {
	at, links := u.root, 0
	todo := strings.Split(path, "/")
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if at != u.root {
				at = filepath.Dir(at)
			}
			continue
		}
		next := at + "/" + name
		target, err := os.Readlink(next)
		if err != nil {
			at = next
			continue
		}
		if links++; links > 40 {
			return "", unix.ELOOP
		}
		if strings.HasPrefix(target, "/") {
			at = u.root
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return at, nil
}

func (u *unpacker) mkdirAll(dir string) error {
	if fi, err := os.Lstat(dir); err == nil {
		if !fi.IsDir() {
			return unix.ENOTDIR
		}
		return nil
	}
	if err := u.mkdirAll(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	u.upper[dir] = true
	u.times[dir] = time.Unix(0, 0)
	return errors.Join(os.Chown(dir, 0, 0), os.Chmod(dir, 0o755)) // not the group of a setgid parent
}

// forget removes a path and everything below it from the tables.
func (u *unpacker) forget(path string) {
	for p := range u.times {
		if p == path || strings.HasPrefix(p, path+"/") {
			delete(u.times, p)
		}
	}
	for p := range u.upper {
		if p == path || strings.HasPrefix(p, path+"/") {
			delete(u.upper, p)
		}
	}
}

func (u *unpacker) remove(path string) error {
	if _, err := os.Lstat(path); err != nil {
		return nil
	}
	u.forget(path)
	return os.RemoveAll(path)
}

// hide removes what lower layers have below path, and path itself if self is set.
func (u *unpacker) hide(path string, self bool) error {
	fi, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	if fi.IsDir() {
		names, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := u.hide(path+"/"+n.Name(), true); err != nil {
				return err
			}
		}
	}
	if !self || u.upper[path] {
		return nil
	}
	if fi.IsDir() {
		if left, err := os.ReadDir(path); err != nil || len(left) > 0 {
			// Only new files need it: it becomes an implied directory.
			u.times[path] = time.Unix(0, 0)
			u.upper[path] = true
			return errors.Join(err, clearXattrs(path), os.Chown(path, 0, 0), os.Chmod(path, 0o755))
		}
	}
	return u.remove(path)
}

func clearXattrs(path string) error {
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(path, buf)
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if name != "" {
			if err := unix.Lremovexattr(path, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *unpacker) member(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader || h.Typeflag == 'V' {
		return nil
	}
	name := filepath.Clean("/" + h.Name)
	if strings.Contains(name, "/.wh..wh.") && filepath.Base(name) != ".wh..wh..opq" {
		return nil
	}
	dir, base := filepath.Split(name)
	at, err := u.real(dir)
	hidden, isWhiteout := strings.CutPrefix(base, ".wh.")
	if isWhiteout {
		switch {
		case err != nil:
			return nil
		case base == ".wh..wh..opq":
			return u.hide(at, false)
		case hidden == "" || hidden == "." || hidden == "..":
			return errors.New("no name")
		}
		return u.hide(at+"/"+hidden, true)
	}
	if err != nil {
		return err
	}
	if err := u.mkdirAll(at); err != nil {
		return err
	}
	path := at + "/" + base
	if name == "/" {
		path = u.root
		if h.Typeflag != tar.TypeDir {
			return errors.New("not a directory in place of the root")
		}
	}
	if h.Typeflag == tar.TypeLink {
		return u.link(h)
	}

	fi, err := os.Lstat(path)
	merge := err == nil && fi.IsDir() && h.Typeflag == tar.TypeDir
	if !merge {
		if err := u.remove(path); err != nil {
			return err
		}
	}
	dev := int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if u.buf == nil {
			u.buf = make([]byte, 32<<10)
		}
		// Without its other methods, the file would bring a buffer of its own.
		if _, err := io.CopyBuffer(struct{ io.Writer }{f}, r, u.buf); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	case tar.TypeDir:
		if !merge {
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
		}
		if err := clearXattrs(path); err != nil {
			return err
		}
		u.times[path] = h.ModTime
	case tar.TypeSymlink:
		if err := os.Symlink(h.Linkname, path); err != nil {
			return err
		}
	case tar.TypeChar:
		if err := unix.Mknod(path, unix.S_IFCHR|0o600, dev); err != nil {
			return err
		}
	case tar.TypeBlock:
		if err := unix.Mknod(path, unix.S_IFBLK|0o600, dev); err != nil {
			return err
		}
	case tar.TypeFifo:
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return err
		}
	default:
		return fmt.Errorf("type %q", h.Typeflag)
	}
	u.upper[path] = true
	return u.describe(path, h)
}

func (u *unpacker) describe(path string, h *tar.Header) error {
	if err := os.Lchown(path, h.Uid, h.Gid); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeSymlink {
		if err := unix.Chmod(path, uint32(h.Mode&0o7777)); err != nil {
			return err
		}
	}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
			if err := unix.Lsetxattr(path, name, []byte(v), 0); err != nil {
				return fmt.Errorf("setxattr %s: %w", name, err)
			}
		}
	}
	ts := []unix.Timespec{unix.NsecToTimespec(h.ModTime.UnixNano()), unix.NsecToTimespec(h.ModTime.UnixNano())}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW)
}

// link makes a hard link, or puts it off until the target has come.
func (u *unpacker) link(h *tar.Header) error {
	split := func(name string) (string, error) {
		dir, base := filepath.Split(filepath.Clean("/" + name))
		at, err := u.real(dir)
		return at + "/" + base, err
	}
	path, err := split(h.Name)
	if err != nil {
		return err
	}
	target, err := split(h.Linkname)
	if err != nil {
		return err
	}
	fi, err := os.Lstat(target)
	if err != nil || strings.HasPrefix(content(target), held) {
		if err := u.remove(path); err != nil {
			return err
		}
		u.upper[path] = true
		u.marks++
		l := late{h, path, fmt.Sprint(held, u.marks)}
		u.late = append(u.late, l)
		return os.WriteFile(path, []byte(l.mark), 0o600)
	}
	if fi.IsDir() {
		return errors.New("hard link to a directory")
	}
	if path == target {
		u.upper[path] = true
		return nil
	}
	// With a second name in between: the target may be below what the link replaces.
	tmp := u.root + "/.link"
	if err := os.Link(target, tmp); err != nil {
		return err
	}
	if err := u.remove(path); err != nil {
		return err
	}
	u.upper[path] = true
	return os.Rename(tmp, path)
}
