// Package report describes each path of a file tree in one line of text. So tests can compare a tree in a directory, in
// a container image and one that a kernel has unpacked, path by path.
package report

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// File describes what is at one path of a tree.
type File struct {
	Mode         uint32 // st_mode
	UID, GID     uint32
	Size         int64  // of a regular file
	Sum          string // CRC-64 of its content
	ModTime      time.Time
	Target       string // of a symbolic link
	Major, Minor uint32 // of a device
	Same         string // the first path, in order, of the same file (hard links); the path itself if there is only one
	Xattrs       map[string]string
}

// Tree has the files by path. The root is ".".
type Tree map[string]File

// FromDir reads the tree below a directory. It does not enter other file systems.
func FromDir(root string) (Tree, error) {
	t := Tree{}
	first := map[[2]uint64]string{}
	var dev uint64
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return fmt.Errorf("cannot look at %q: %w", p, err)
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if rel == "." {
			dev = uint64(st.Dev)
		} else if uint64(st.Dev) != dev {
			return fs.SkipDir
		}
		f := File{Mode: st.Mode, UID: st.Uid, GID: st.Gid, ModTime: time.Unix(st.Mtim.Unix()), Same: rel}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			f.Size = st.Size
			if f.Sum, err = sumFile(p); err != nil {
				return err
			}
		case unix.S_IFLNK:
			if f.Target, err = os.Readlink(p); err != nil {
				return err
			}
		case unix.S_IFCHR, unix.S_IFBLK:
			f.Major, f.Minor = unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			id := [2]uint64{uint64(st.Dev), st.Ino}
			if same, ok := first[id]; ok {
				f.Same = same
			} else {
				first[id] = rel
			}
		}
		if f.Xattrs, err = xattrs(p); err != nil {
			return err
		}
		t[rel] = f
		return nil
	})
	return t, err
}

func sumFile(p string) (string, error) {
	f, err := os.Open(p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return sum(f)
}

// buffers are for sum: a buffer of its own for each of many small files takes longer than the files.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// NewSum returns what makes a File's Sum, in hexadecimal digits, of the content that is written to it. It is to find what
// a program has done wrong, not what somebody has hidden: machines read whole systems, and an emulated processor takes
// many times as long for SHA-256.
func NewSum() hash.Hash { return crc64.New(crc64.MakeTable(crc64.ECMA)) }

// Sum returns the sum of a file with this content.
func Sum(content []byte) string {
	h := NewSum()
	h.Write(content) // never fails: hash.Hash
	return hex.EncodeToString(h.Sum(nil))
}

func sum(r io.Reader) (string, error) {
	h := NewSum()
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	// Without its other methods, a file would bring a buffer of its own.
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{r}, buf[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func xattrs(p string) (map[string]string, error) {
	n, err := unix.Llistxattr(p, nil)
	if err == unix.ENOTSUP || err == nil && n == 0 {
		return nil, nil
	}
	buf := make([]byte, 64<<10)
	if err == nil {
		n, err = unix.Llistxattr(p, buf)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the extended attributes of %q: %w", p, err)
	}
	var m map[string]string
	for name := range strings.SplitSeq(string(buf[:n]), "\x00") {
		if name == "" {
			continue
		}
		n, err := unix.Lgetxattr(p, name, buf)
		if err != nil {
			return nil, fmt.Errorf("cannot read the extended attribute %q of %q: %w", name, p, err)
		}
		if m == nil {
			m = map[string]string{}
		}
		m[name] = string(buf[:n])
	}
	return m, nil
}

// FromTree reads the tree of an image.
func FromTree(ctx context.Context, tree *rootfs.Tree) (Tree, error) {
	t := Tree{}
	var first *rootfs.Node
	var content string
	err := tree.Walk(ctx, func(n *rootfs.Node, r io.Reader) error {
		f := File{Mode: n.Mode, UID: n.UID, GID: n.GID, ModTime: n.ModTime, Target: n.Target, Major: n.Major,
			Minor: n.Minor, Same: n.Path, Xattrs: n.Xattrs}
		if first == nil || !n.Same(first) {
			first = n
			if n.Regular() {
				var err error
				if content, err = sum(r); err != nil {
					return err
				}
			}
		}
		f.Same = first.Path
		if n.Regular() {
			f.Size, f.Sum = n.Size, content
		}
		t[n.Path] = f
		return nil
	})
	return t, err
}

// Write writes one line for each path, sorted.
func (t Tree) Write(w io.Writer) error {
	bw := bufio.NewWriter(w)
	for _, p := range slices.Sorted(maps.Keys(t)) {
		f := t[p]
		fmt.Fprintf(bw, "%q %o %d %d %d %q %d %d %q %d %d %q %d", p, f.Mode, f.UID, f.GID, f.Size, f.Sum,
			f.ModTime.Unix(), f.ModTime.Nanosecond(), f.Target, f.Major, f.Minor, f.Same, len(f.Xattrs))
		for _, k := range slices.Sorted(maps.Keys(f.Xattrs)) {
			fmt.Fprintf(bw, " %q %q", k, f.Xattrs[k])
		}
		fmt.Fprintln(bw)
	}
	return bw.Flush()
}

// Parse reads the output of Write.
func Parse(r io.Reader) (Tree, error) {
	t := Tree{}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		l := line{rest: s.Text()}
		p := l.text()
		f := File{Mode: uint32(l.number(8)), UID: uint32(l.number(10)), GID: uint32(l.number(10)), Size: l.number(10),
			Sum: l.text()}
		sec, nsec := l.number(10), l.number(10)
		f.ModTime = time.Unix(sec, nsec)
		f.Target, f.Major, f.Minor, f.Same = l.text(), uint32(l.number(10)), uint32(l.number(10)), l.text()
		for n := l.number(10); n > 0 && l.err == nil; n-- {
			if f.Xattrs == nil {
				f.Xattrs = map[string]string{}
			}
			k := l.text()
			f.Xattrs[k] = l.text()
		}
		if l.err == nil && l.rest != "" {
			l.err = fmt.Errorf("unexpected %q at the end", l.rest)
		}
		if l.err != nil {
			return nil, fmt.Errorf("line %q: %w", s.Text(), l.err)
		}
		t[p] = f
	}
	return t, s.Err()
}

// line parses a line field by field. The fmt package would take minutes for a large tree in an emulated machine.
type line struct {
	rest string
	err  error
}

func (l *line) text() string {
	if l.err != nil {
		return ""
	}
	var quoted, s string
	if quoted, l.err = strconv.QuotedPrefix(l.rest); l.err != nil {
		return ""
	}
	l.rest = strings.TrimPrefix(l.rest[len(quoted):], " ")
	s, l.err = strconv.Unquote(quoted)
	return s
}

func (l *line) number(base int) int64 {
	if l.err != nil {
		return 0
	}
	var n int64
	field, rest, _ := strings.Cut(l.rest, " ")
	l.rest = rest
	n, l.err = strconv.ParseInt(field, base, 64)
	return n
}

// Map returns a copy of the tree in which change has edited each file, to hide differences that do not matter.
func (t Tree) Map(change func(path string, f *File)) Tree {
	c := make(Tree, len(t))
	for p, f := range t {
		change(p, &f)
		c[p] = f
	}
	return c
}

// Diff returns the differences of two trees, one line for each, at most max lines. No lines mean no differences.
func Diff(want, got Tree, max int) []string {
	var out []string
	paths := maps.Clone(want)
	maps.Copy(paths, got)
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		w, inWant := want[p]
		g, inGot := got[p]
		switch {
		case !inGot:
			out = append(out, fmt.Sprintf("%q is missing", p))
		case !inWant:
			out = append(out, fmt.Sprintf("%q is there, mode %o, and should not be", p, g.Mode))
		default:
			out = append(out, diff(p, w, g)...)
		}
		if len(out) > max {
			return append(out[:max], "...")
		}
	}
	return out
}

func diff(p string, want, got File) []string {
	var out []string
	differ := func(what string, w, g any) {
		if w != g {
			out = append(out, fmt.Sprintf("%q: %s is %v, want %v", p, what, g, w))
		}
	}
	differ("mode", fmt.Sprintf("%o", want.Mode), fmt.Sprintf("%o", got.Mode))
	differ("uid", want.UID, got.UID)
	differ("gid", want.GID, got.GID)
	differ("size", want.Size, got.Size)
	differ("content", want.Sum, got.Sum)
	differ("mtime", want.ModTime.UTC().String(), got.ModTime.UTC().String())
	differ("target", want.Target, got.Target)
	differ("device", fmt.Sprint(want.Major, ":", want.Minor), fmt.Sprint(got.Major, ":", got.Minor))
	differ("first hard link", want.Same, got.Same)
	differ("xattrs", fmt.Sprintf("%q", want.Xattrs), fmt.Sprintf("%q", got.Xattrs))
	return out
}
