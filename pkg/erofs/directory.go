package erofs

import (
	"encoding/binary"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// directory is a directory whose entries are being gathered.
type directory struct {
	node    *rootfs.Node
	number  int      // of its path
	self    uint64   // its inode
	parent  uint64   // and that of the one above
	dots    []string // which of . and .. are still to come
	subdirs uint32

	full    []byte // blocks that are complete
	entries []dirent
	size    int // of entries, in bytes
}

// dirent is a name in a directory.
type dirent struct {
	name  string
	inode uint64
	kind  uint8
}

func newDirectory(n *rootfs.Node, number int, self, parent uint64) *directory {
	return &directory{node: n, number: number, self: self, parent: parent, dots: []string{".", ".."}}
}

// add adds a name. Names come in order, as the kernel wants them: it searches by halves. Those that every directory has
// are among them.
func (d *directory) add(e dirent) {
	d.addDots(e.name)
	d.append(e)
}

// addDots adds . and .. if they come before a name, or in any case if that is "".
func (d *directory) addDots(name string) {
	for len(d.dots) > 0 && (name == "" || d.dots[0] < name) {
		e := dirent{d.dots[0], d.self, 2}
		if e.name == ".." {
			e.inode = d.parent
		}
		d.dots = d.dots[1:]
		d.append(e)
	}
}

func (d *directory) append(e dirent) {
	size := direntSize + len(e.name)
	if d.size+size > block {
		b := d.block()
		d.full = append(append(d.full, b...), make([]byte, block-len(b))...)
	}
	d.entries = append(d.entries, e)
	d.size += size
}

// block returns the entries as they are in a block, and forgets them: first all entries, then all names.
func (d *directory) block() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, block)
	at := direntSize * len(d.entries)
	for _, e := range d.entries {
		b = le.AppendUint64(b, e.inode)
		b = le.AppendUint16(b, uint16(at))
		b = append(b, e.kind, 0)
		at += len(e.name)
	}
	for _, e := range d.entries {
		b = append(b, e.name...)
	}
	d.entries, d.size = d.entries[:0], 0
	return b
}

// end returns the complete blocks of the directory, and what follows them.
func (d *directory) end() (full, tail []byte) {
	d.addDots("")
	return d.full, d.block()
}
