package squashfs

import (
	"encoding/binary"
	"math"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// directory is a directory whose entries are being gathered.
type directory struct {
	node    *rootfs.Node
	number  uint32 // of its inode
	entries []dirEntry
	subdirs uint32
}

// dirEntry is a name in a directory, and the inode that it stands for.
type dirEntry struct {
	name string
	inode
}

// inode says where an inode is.
type inode struct {
	ref    uint64 // in the table of inodes
	number uint32
	kind   uint16 // without extended
}

func (i inode) block() uint32 { return uint32(i.ref >> 16) }

// listing is where the entries of a directory are.
type listing struct {
	block  int64
	offset int
	size   int64
	index  []byte // entries of the index, which says where in a long listing a name is
	count  int    // of entries of the index
}

// list writes the entries of a directory. Entries share a header if their inodes are in the same block, their numbers
// are close, and they begin in the same block as the header: the index points at headers.
func (d *directory) list(t *table) listing {
	le := binary.LittleEndian
	var l listing
	l.block, l.offset = t.at()
	last := l.block
	for rest := d.entries; len(rest) > 0; {
		block, offset := t.at()
		n, size := run(rest, offset)
		if block != last && l.count < maxIndex {
			name := rest[0].name
			l.index = le.AppendUint32(l.index, uint32(l.size))
			l.index = le.AppendUint32(l.index, uint32(block))
			l.index = append(le.AppendUint32(l.index, uint32(len(name)-1)), name...)
			l.count++
		}
		last = block
		first := rest[0]
		b := make([]byte, 0, size)
		b = le.AppendUint32(b, uint32(n-1))
		b = le.AppendUint32(b, first.block())
		b = le.AppendUint32(b, first.number)
		for _, e := range rest[:n] {
			b = le.AppendUint16(b, uint16(e.ref))
			b = le.AppendUint16(b, uint16(e.number-first.number))
			b = le.AppendUint16(b, e.kind)
			b = append(le.AppendUint16(b, uint16(len(e.name)-1)), e.name...)
		}
		t.add(b)
		l.size += int64(len(b))
		rest = rest[n:]
	}
	return l
}

// run returns how many entries can share a header at a place in a metadata block, and how many bytes they all take.
func run(entries []dirEntry, offset int) (n, size int) {
	const headerSize, entrySize = 12, 8
	size = headerSize
	for _, e := range entries {
		apart := int64(e.number) - int64(entries[0].number)
		if n == dirCount || n > 0 && offset+size >= metadataSize || e.block() != entries[0].block() ||
			apart < math.MinInt16 || apart > math.MaxInt16 {
			break
		}
		n++
		size += entrySize + len(e.name)
	}
	return n, size
}
