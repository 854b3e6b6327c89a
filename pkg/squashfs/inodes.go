package squashfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// inodes makes the tables that describe a tree. Inodes come before the directories that name them.
type inodes struct {
	p      *Packer
	tree   *rootfs.Choice
	inodes *table
	dirs   *table
	xattrs *xattrs
	ids    []uint32 // owners and groups
	idOf   map[uint32]uint16
	count  uint32
	linked map[rootfs.Identity]inode // files with several names
	open   []*directory              // from the root to the one whose entries come
	root   uint64
	buf    []byte // scratch
}

func newInodes(p *Packer, tree *rootfs.Choice) *inodes {
	return &inodes{p: p, tree: tree, inodes: newTable(p.codec), dirs: newTable(p.codec), xattrs: newXattrs(p.codec),
		idOf: map[uint32]uint16{}, linked: map[rootfs.Identity]inode{}}
}

// all writes the whole tree.
func (w *inodes) all(ctx context.Context) error {
	if err := w.tree.Visit(ctx, w.node, w.endDir); err != nil {
		return err
	}
	// Linux does not mount an image whose table of directories is empty, as it is if the root is.
	if block, offset := w.dirs.at(); block == 0 && offset == 0 {
		w.dirs.add([]byte{0})
	}
	return nil
}

// node writes a path of the tree: see rootfs.Choice.Visit.
func (w *inodes) node(n *rootfs.Node, name string) error {
	if n.Dir() {
		w.count++
		w.open = append(w.open, &directory{node: n, number: w.count})
		return nil
	}
	i, ok := w.linked[n.Identity()]
	if !ok {
		var err error
		if i, err = w.file(n); err != nil {
			return fmt.Errorf("cannot store %s: %w", rootfs.Quote(n.Path), err)
		}
		if w.tree.LinksOf(n) > 1 {
			w.linked[n.Identity()] = i
		}
	}
	dir := w.open[len(w.open)-1]
	dir.entries = append(dir.entries, dirEntry{name, i})
	return nil
}

// head begins an inode in w.buf.
func (w *inodes) head(n *rootfs.Node, kind uint16, number uint32) error {
	uid, err := w.id(n.UID)
	if err != nil {
		return err
	}
	gid, err := w.id(n.GID)
	if err != nil {
		return err
	}
	b := w.buf[:0]
	for _, v := range []uint16{kind, uint16(n.Mode & 0o7777), uid, gid} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	w.buf = b
	w.add32(seconds(n.ModTime.Unix()), number)
	return nil
}

// id returns the number of an owner or of a group in the table.
func (w *inodes) id(id uint32) (uint16, error) {
	i, ok := w.idOf[id]
	if !ok {
		if len(w.ids) == maxIDs {
			return 0, fmt.Errorf("its owner or group is one too many: a SquashFS image has at most %d of them; "+
				"unpack into a directory instead", maxIDs)
		}
		i = uint16(len(w.ids))
		w.ids = append(w.ids, id)
		w.idOf[id] = i
	}
	return i, nil
}

func (w *inodes) add32(v ...uint32) {
	for _, v := range v {
		w.buf = binary.LittleEndian.AppendUint32(w.buf, v)
	}
}

func (w *inodes) add64(v ...uint64) {
	for _, v := range v {
		w.buf = binary.LittleEndian.AppendUint64(w.buf, v)
	}
}

// end writes the inode in w.buf.
func (w *inodes) end(kind uint16, number uint32) (inode, error) {
	block, _ := w.inodes.at()
	if block > math.MaxUint32 {
		return inode{}, errors.New("the table of inodes has more than 4 GiB")
	}
	i := inode{w.inodes.ref(), number, kind}
	w.inodes.add(w.buf)
	return i, nil
}

// attributes returns the number of a file's list of extended attributes.
func (w *inodes) attributes(n *rootfs.Node) uint32 {
	if len(n.Xattrs) == 0 {
		return noXattr
	}
	return w.xattrs.id(n.Xattrs, func(name string, why error) {
		if w.p.opt.Lost != nil {
			w.p.opt.Lost(n, "the attribute "+rootfs.Quote(name), why)
		}
	})
}

// file writes the inode of anything but a directory.
func (w *inodes) file(n *rootfs.Node) (inode, error) {
	kind, xattr := inodeType(n.Mode), w.attributes(n)
	number := w.count + 1
	form := kind
	if xattr != noXattr {
		form += extended
	}
	var err error
	switch kind {
	case 0:
		return inode{}, fmt.Errorf("it has the unknown type %o", n.Mode)
	case typeFile:
		err = w.regular(n, number, xattr)
	default:
		if err = w.head(n, form, number); err != nil {
			break
		}
		w.add32(w.tree.LinksOf(n))
		switch kind {
		case typeSymlink:
			w.add32(uint32(len(n.Target)))
			w.buf = append(w.buf, n.Target...)
		case typeBlock, typeChar:
			w.add32(deviceNumber(n.Major, n.Minor))
		}
		if xattr != noXattr {
			w.add32(xattr)
		}
	}
	if err != nil {
		return inode{}, err
	}
	w.count++
	return w.end(kind, number)
}

// regular makes the inode of a regular file.
func (w *inodes) regular(n *rootfs.Node, number, xattr uint32) error {
	if n.Size == 0 {
		return w.regularOf(n, nil, nil, number, xattr)
	}
	l, c, err := layerOf(w.tree.Tree, n)
	if err != nil {
		return err
	}
	return w.regularOf(n, l, c, number, xattr)
}

// regularOf makes the inode of a regular file whose content is c, nil if it is empty.
func (w *inodes) regularOf(n *rootfs.Node, l *Layer, c *content, number, xattr uint32) error {
	var e extent
	fragment, at := uint32(noFragment), uint32(0)
	if c != nil && c.extent != none {
		e = l.extents[c.extent]
	} else if c != nil {
		fragment, at = l.frags[c.fragment].number, c.at
	}
	var err error
	if n.Size > math.MaxUint32 || e.start > math.MaxUint32 || e.sparse > 0 || w.tree.LinksOf(n) > 1 || xattr != noXattr {
		if err = w.head(n, typeFile+extended, number); err != nil {
			return err
		}
		w.add64(uint64(e.start), uint64(n.Size), uint64(e.sparse))
		w.add32(w.tree.LinksOf(n), fragment, at, xattr)
	} else {
		if err = w.head(n, typeFile, number); err != nil {
			return err
		}
		w.add32(uint32(e.start), fragment, at, uint32(n.Size))
	}
	w.add32(e.blocks...)
	return nil
}

// layerOf returns where the content of a regular file is that is not empty.
func layerOf(tree *rootfs.Tree, n *rootfs.Node) (*Layer, *content, error) {
	l, off, err := rootfs.StoredIn[*Layer](tree, n)
	if err != nil {
		return nil, nil, err
	}
	return l, l.find(off), nil
}

// endDir writes the directory whose entries are complete, and makes it an entry of its parent.
func (w *inodes) endDir() error {
	d := w.open[len(w.open)-1]
	w.open = w.open[:len(w.open)-1]
	n := d.node
	parent := w.count + 1 // of the root: a number that no inode has, as mksquashfs does it
	if len(w.open) > 0 {
		parent = w.open[len(w.open)-1].number
	}
	l := d.list(w.dirs)
	if l.block > math.MaxUint32 || l.size > math.MaxUint32-dirExtra {
		return fmt.Errorf("cannot store %s: the directories have more than 4 GiB", rootfs.Quote(n.Path))
	}
	xattr := w.attributes(n)
	size, links := uint32(l.size)+dirExtra, 2+d.subdirs
	var err error
	if size > math.MaxUint16 || l.count > 0 || xattr != noXattr {
		if err = w.head(n, typeDir+extended, d.number); err == nil {
			w.add32(links, size, uint32(l.block), parent)
			w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(l.count))
			w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(l.offset))
			w.add32(xattr)
			w.buf = append(w.buf, l.index...)
		}
	} else if err = w.head(n, typeDir, d.number); err == nil {
		w.add32(uint32(l.block), links)
		w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(size))
		w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(l.offset))
		w.add32(parent)
	}
	if err != nil {
		return fmt.Errorf("cannot store %s: %w", rootfs.Quote(n.Path), err)
	}
	i, err := w.end(typeDir, d.number)
	if err != nil {
		return fmt.Errorf("cannot store %s: %w", rootfs.Quote(n.Path), err)
	}
	if len(w.open) == 0 {
		w.root = i.ref
		return nil
	}
	up := w.open[len(w.open)-1]
	up.subdirs++
	name := n.Path[strings.LastIndexByte(n.Path, '/')+1:]
	up.entries = append(up.entries, dirEntry{name, i})
	return nil
}
