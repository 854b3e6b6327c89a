package initrd

import (
	"strconv"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/newc"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// entry is one path of the archive: one record, or several if the file is too large for one.
type entry struct {
	node *rootfs.Node
	own  *File // if the tree does not have it

	record cpio.Info // the first one
	rest   int64     // bytes of the content in further records
	parts  string    // the paths of these, without their numbers

	before uint32 // the number of the last file with several names before it

	again bool // another name of the file that the entry before it is; the content came with that
	split bool // a symbolic link that was a hard link of the one before it
}

// records yields all records of the entry.
func (e *entry) records(yield func(cpio.Info) bool) {
	ok := yield(e.record)
	rest := e.rest
	for i := 1; ok && rest > 0; i++ {
		size := min(rest, PartSize)
		ok = yield(cpio.Info{Name: e.parts + strconv.Itoa(i), Mode: unix.S_IFREG | 0o600, NLink: 1,
			FileSize: uint64(size)})
		rest -= size
	}
}

// content returns the size of the content, in bytes.
func (e *entry) content() int64 { return int64(e.record.FileSize) + e.rest }

// numbering gives all names of a file the same number.
type numbering struct {
	last   *rootfs.Node
	number uint32 // of the last file with several names
}

// next describes the next entry. All names of a file have the same record but for their names and sizes, since the
// kernel sets owner, mode and time again with each.
func (c *numbering) next(r *rules, n *rootfs.Node, own *File) entry {
	e := entry{node: n, own: own, again: c.last != nil && n.Same(c.last), before: c.number}
	c.last = n
	links := n.Links
	if n.Symlink() || n.Dir() {
		links = 1 // init/initramfs.c links neither
	}
	if n.Symlink() {
		e.split, e.again = e.again, false
	}
	e.record = cpio.Info{
		Name: n.Path, Mode: uint64(n.Mode), UID: uint64(n.UID), GID: uint64(n.GID), NLink: uint64(max(1, links)),
		MTime: newc.Time(n.ModTime.Unix()), Rmajor: uint64(n.Major), Rminor: uint64(n.Minor),
	}
	if own == nil {
		e.record.Name = r.path(n)
	}
	switch {
	case n.Symlink():
		e.record.FileSize = uint64(len(n.Target))
	case n.Regular() && !e.again && (own == nil || own.Content != nil):
		size := n.Size
		if size > MaxSize {
			size, e.rest, e.parts = MaxFirst, size-MaxFirst, r.Split[n.Path]
		}
		e.record.FileSize = uint64(size)
	}
	if links > 1 {
		if !e.again {
			c.number++
		}
		e.record.Ino = uint64(c.number)
	}
	return e
}
