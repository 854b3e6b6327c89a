package rootfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// inode is what hard links share.
type inode struct {
	mode         uint32 // st_mode with its type
	uid, gid     uint32
	major, minor uint32
	nsec         uint32
	sec          int64
	size         int64
	target       string // of a symbolic link
	xattrs       map[string]string

	path  string // in its layer's archive: from the root, clean; empty is the root itself
	layer int32  // the layer that it is from; -1 is none
	seq   int32  // the number of its entry in that layer's archive
	links int32  // names in the merged tree
	off   int64  // of a regular file's content, in the layer's spool
}

// file is what a store has to know of a regular file.
func (i *inode) file() spool.File {
	return spool.File{Path: i.path, Mode: i.mode, UID: i.uid, GID: i.gid, ModTime: i.sec, Size: i.size}
}

// entry is one member of a layer's archive.
type entry struct {
	inode        // its path is the path of the entry, for every kind
	link  string // a hard link's target in the same form
	kind  kind
}

type kind uint8

const (
	object kind = iota // a file of any type, or a directory
	hardLink
	whiteout // path is what it hides
	opaque   // path is the directory
)

// index is a layer's table of contents in the order of the archive. The tree points at its entries. So it grows by
// blocks, and entries never move.
type index struct {
	blocks [][]entry
	count  int
}

func (x *index) add(e entry) *entry {
	n := len(x.blocks)
	if n == 0 || len(x.blocks[n-1]) == cap(x.blocks[n-1]) {
		x.blocks = append(x.blocks, make([]entry, 0, 16<<min(n, 5)))
		n++
	}
	last := &x.blocks[n-1]
	*last = append(*last, e)
	x.count++
	return &(*last)[len(*last)-1]
}

// all yields the entries in order.
func (x *index) all(yield func(*entry) bool) {
	for _, block := range x.blocks {
		for i := range block {
			if !yield(&block[i]) {
				return
			}
		}
	}
}

const (
	whPrefix = ".wh."
	// aufsPrefix begins names that AUFS used for itself. layer.md gives a meaning to one of them, the opaque marker.
	aufsPrefix = ".wh..wh."
	whOpaque   = ".wh..wh..opq"
)

// clean turns a name in an archive into a path from the root. ".." stops at the root, as umoci and containerd do it,
// so the path never leads outside. Only the text counts: "a/../b" is "b" even if a is a symbolic link.
func clean(name string) string {
	for strings.HasPrefix(name, "./") {
		name = name[2:]
	}
	if isClean(name) {
		return name
	}
	return path.Clean("/" + name)[1:]
}

// isClean reports whether path.Clean would not change a relative name. That is so for nearly all names.
func isClean(name string) bool {
	if name == "" || name[0] == '/' || name[len(name)-1] == '/' {
		return false
	}
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		switch name[start:i] {
		case "", ".", "..":
			return false
		}
		start = i + 1
	}
	return true
}

// errSkip marks members that describe no file.
var errSkip = errors.New("no file")

// newEntry makes an entry of a member's header.
func newEntry(h *tar.Header) (entry, error) {
	var e entry
	e.path = clean(h.Name)
	aufs := strings.HasPrefix(e.path, aufsPrefix) || strings.Contains(e.path, "/"+aufsPrefix)
	dir, base := path.Split(e.path)
	switch {
	case aufs && base != whOpaque:
		return entry{}, errSkip
	case strings.HasPrefix(base, whPrefix):
		return newWhiteout(dir, base)
	}
	if err := e.setType(h); err != nil || e.kind == hardLink {
		return e, err // everything else in the header of a hard link is that of the target
	}
	if e.path == "" && e.mode&unix.S_IFMT != unix.S_IFDIR {
		return entry{}, errors.New("puts something that is not a directory in the place of the root directory")
	}
	err := e.setAttributes(h)
	return e, err
}

// newWhiteout makes an entry of a whiteout with the name base in the directory dir.
func newWhiteout(dir, base string) (entry, error) {
	var e entry
	e.kind, e.path = whiteout, dir+base[len(whPrefix):]
	switch base {
	case whOpaque:
		e.kind, e.path = opaque, strings.TrimSuffix(dir, "/")
	case whPrefix, whPrefix + ".", whPrefix + "..":
		return entry{}, errors.New("is a whiteout of no name")
	}
	return e, nil
}

// setType sets what kind of file a member is, and what belongs to that kind.
func (e *entry) setType(h *tar.Header) error {
	e.mode = uint32(h.Mode) & 0o7777
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		e.mode |= unix.S_IFREG
		e.size = h.Size
	case tar.TypeDir:
		e.mode |= unix.S_IFDIR
	case tar.TypeSymlink:
		// chmod(2) cannot change a symbolic link. Linux shows 0777, whatever the header says.
		e.mode, e.target = unix.S_IFLNK|0o777, h.Linkname
		if e.target == "" {
			return errors.New("is a symbolic link to nothing")
		}
	case tar.TypeChar:
		e.mode |= unix.S_IFCHR
	case tar.TypeBlock:
		e.mode |= unix.S_IFBLK
	case tar.TypeFifo:
		e.mode |= unix.S_IFIFO
	case tar.TypeLink:
		e.kind, e.link = hardLink, clean(h.Linkname)
	case tar.TypeXGlobalHeader, 'V': // comments of git archive; GNU tar's volume label
		return errSkip
	default:
		return fmt.Errorf("has the unknown tar type %q", h.Typeflag)
	}
	return nil
}

// setAttributes sets owner, device number, time and extended attributes.
func (e *entry) setAttributes(h *tar.Header) error {
	// Linux uses the highest number, -1, for "no owner".
	const maxID = 1<<32 - 2
	if h.Uid < 0 || h.Uid > maxID || h.Gid < 0 || h.Gid > maxID {
		return fmt.Errorf("has owner %d:%d, a number that Linux cannot hold", h.Uid, h.Gid)
	}
	e.uid, e.gid = uint32(h.Uid), uint32(h.Gid)
	if t := e.mode & unix.S_IFMT; t == unix.S_IFCHR || t == unix.S_IFBLK {
		// MAJOR and MINOR have 12 and 20 bits: include/linux/kdev_t.h.
		if h.Devmajor < 0 || h.Devmajor >= 1<<12 || h.Devminor < 0 || h.Devminor >= 1<<20 {
			return fmt.Errorf("has device number %d:%d, which Linux cannot hold", h.Devmajor, h.Devminor)
		}
		e.major, e.minor = uint32(h.Devmajor), uint32(h.Devminor)
	}
	e.sec, e.nsec = h.ModTime.Unix(), uint32(h.ModTime.Nanosecond())
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok && name != "" {
			if e.xattrs == nil {
				e.xattrs = map[string]string{}
			}
			e.xattrs[name] = v
		}
	}
	return nil
}

// Quote quotes a path for a message. It shortens a long one: a path of a megabyte would make the message unreadable.
func Quote(path string) string {
	const most = 160
	if len(path) <= most {
		return strconv.Quote(path)
	}
	return strconv.Quote(path[:most/2]) + "..." + strconv.Quote(path[len(path)-most/4:])
}

// weight is about how many bytes the texts of the entry take.
func (e *entry) weight() int64 {
	n := len(e.path) + len(e.link) + len(e.target)
	for k, v := range e.xattrs {
		n += len(k) + len(v)
	}
	return int64(n)
}

// isSparse reports whether a member has holes, which archive/tar fills with zeros.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}
