package erofs

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// inodes writes inodes and directories. A directory says which inodes are in it and above it, so all is done twice: the
// places of the first pass are those of the second one, because the size of nothing depends on them.
type inodes struct {
	tree   *rootfs.Choice
	xattrs *xattrs
	places []uint64 // the inodes of all paths, in order; complete after the first pass
	linked map[rootfs.Identity]uint64
	root   listing // where its entries are, known after the first pass
	count  uint64

	// Of a pass.
	slots slots
	write func(b []byte, at int64) error // whole blocks, at a place in the image
	data  int64                          // where the next blocks go that are not contents
	path  int                            // the number of the path
	open  []*directory                   // from the root to the one whose entries come
	sized bool                           // this is the second pass
	chunk bool                           // there is a file in chunks
	buf   []byte                         // scratch
}

// listing is where the entries of a directory are.
type listing struct {
	start   int64
	size    int64
	subdirs uint32
}

// all does a pass, in which blocks that are not contents begin at a place.
func (w *inodes) all(ctx context.Context, data int64) error {
	w.data, w.path, w.count = data, 0, 0
	w.linked = map[rootfs.Identity]uint64{}
	if err := w.tree.Visit(ctx, w.node, w.endDir); err != nil {
		return err
	}
	w.sized = true
	return w.slots.finish()
}

// node writes a path of the tree: see rootfs.Choice.Visit.
func (w *inodes) node(n *rootfs.Node, name string) error {
	kind := fileType(n.Mode)
	if kind == 0 {
		return fmt.Errorf("%s has the unknown type %o", rootfs.Quote(n.Path), n.Mode)
	}
	number := w.path
	w.path++
	if !w.sized {
		w.places = append(w.places, 0)
	}
	var err error
	switch {
	case n.Path == ".": // its number has 16 bits, so it comes first
		err = w.rootInode(n)
	case !n.Dir():
		err = w.file(n, number)
	}
	if err != nil {
		return fmt.Errorf("cannot store %s: %w", rootfs.Quote(n.Path), err)
	}
	self := w.places[number]
	above := self
	if n.Path != "." {
		up := w.open[len(w.open)-1]
		up.add(dirent{name, self, kind})
		above = up.self
		if n.Dir() {
			up.subdirs++
		}
	}
	if n.Dir() {
		w.open = append(w.open, newDirectory(n, number, self, above))
	}
	return nil
}

// put writes an inode, and notes the place for a path.
func (w *inodes) put(number int, inode []byte) error {
	at, err := w.slots.put(inode)
	w.places[number] = uint64(at+block) / slot // number 0 is none to programs, so they begin a block before the first one
	w.count++
	return err
}

// rootInode writes the inode of the root. Its entries are not beside it.
func (w *inodes) rootInode(n *rootfs.Node) error {
	return w.put(0, w.inode(n, layoutPlain, w.root.size, uint32(w.root.start/block), 2+w.root.subdirs))
}

// inode returns an inode: struct erofs_inode_extended. place is its field i_u.
func (w *inodes) inode(n *rootfs.Node, layout uint16, size int64, place, links uint32) []byte {
	le := binary.LittleEndian
	attributes := w.xattrs.of(n)
	icount := 0
	if len(attributes) > 0 {
		icount = 1 + (len(attributes)-xattrHead)/4
	}
	b := le.AppendUint16(w.buf[:0], layout<<layoutShift|extended)
	b = le.AppendUint16(b, uint16(icount))
	b = le.AppendUint16(b, uint16(n.Mode))
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, uint64(size))
	b = le.AppendUint32(b, place)
	b = le.AppendUint32(b, uint32(w.count+1))
	b = le.AppendUint32(b, n.UID)
	b = le.AppendUint32(b, n.GID)
	b = le.AppendUint64(b, uint64(n.ModTime.Unix()))
	b = le.AppendUint32(b, uint32(n.ModTime.Nanosecond()))
	b = le.AppendUint32(b, links)
	b = append(b, make([]byte, inodeSize-len(b))...)
	w.buf = append(b, attributes...)
	return w.buf
}

// file writes the inode of anything but a directory, once for all its names.
func (w *inodes) file(n *rootfs.Node, number int) error {
	if place, ok := w.linked[n.Identity()]; ok {
		w.places[number] = place
		return nil
	}
	inode, err := w.fileInode(n)
	if err != nil {
		return err
	}
	if err := w.put(number, inode); err != nil {
		return err
	}
	if n.Links > 1 {
		w.linked[n.Identity()] = w.places[number]
	}
	return nil
}

func (w *inodes) fileInode(n *rootfs.Node) ([]byte, error) {
	links := w.tree.LinksOf(n)
	switch n.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return w.regular(n, links)
	case unix.S_IFLNK:
		size := int64(len(n.Target))
		if inode := w.inode(n, layoutInline, size, 0, links); len(inode)+len(n.Target) <= block {
			return append(inode, n.Target...), nil
		}
		start, err := w.blocks([]byte(n.Target))
		return w.inode(n, layoutPlain, size, start, links), err
	}
	return w.inode(n, layoutPlain, 0, deviceNumber(n.Major, n.Minor), links), nil
}

// regular returns the inode of a regular file.
func (w *inodes) regular(n *rootfs.Node, links uint32) ([]byte, error) {
	if n.Size == 0 {
		return w.inode(n, layoutPlain, 0, 0, links), nil
	}
	l, c, err := layerOf(w.tree.Tree, n)
	if err != nil {
		return nil, err
	}
	switch {
	case c.inline():
		inode := w.inode(n, layoutInline, n.Size, 0, links)
		inode = append(inode, make([]byte, n.Size)...)
		return inode, l.readAt(l.small, inode[int64(len(inode))-n.Size:], c.start)
	case !c.sparse:
		return w.inode(n, layoutPlain, n.Size, uint32(l.pieces[c.pieces.from].start/block), links), nil
	}
	w.chunk = true
	grid := chunkSize(n.Size)
	format := uint32(0)
	for size := int64(block); size < grid; size *= 2 {
		format++
	}
	inode := w.inode(n, layoutChunks, n.Size, format, links)
	pieces := l.pieces[c.pieces.from:c.pieces.to]
	for at := int64(0); at < n.Size; at += grid {
		place := uint32(nowhere)
		for len(pieces) > 0 && pieces[0].at+pieces[0].size <= at {
			pieces = pieces[1:]
		}
		if len(pieces) > 0 && pieces[0].at <= at {
			place = uint32((pieces[0].start + at - pieces[0].at) / block)
		}
		inode = binary.LittleEndian.AppendUint32(inode, place)
	}
	return inode, nil
}

// blocks writes bytes that are no content in blocks of their own, and returns the number of the first.
func (w *inodes) blocks(b []byte) (uint32, error) {
	at := w.data
	w.data += pages(int64(len(b)))
	return uint32(at / block), w.write(padded(b), at)
}

// endDir writes the directory whose entries are complete.
func (w *inodes) endDir() error {
	d := w.open[len(w.open)-1]
	w.open = w.open[:len(w.open)-1]
	n := d.node
	full, tail := d.end()
	size := int64(len(full) + len(tail))
	var inode []byte
	var err error
	if n.Path == "." {
		var start uint32
		start, err = w.blocks(append(full, tail...))
		w.root = listing{int64(start) * block, size, d.subdirs}
	} else {
		inode, err = w.dirInode(d, full, tail, size)
		if err == nil {
			err = w.put(d.number, inode)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot store %s: %w", rootfs.Quote(n.Path), err)
	}
	return nil
}

// dirInode returns the inode of a directory. What of its entries does not fill a block is beside it, if that fits.
func (w *inodes) dirInode(d *directory, full, tail []byte, size int64) ([]byte, error) {
	inode := w.inode(d.node, layoutInline, size, 0, 2+d.subdirs)
	inline := len(inode)+len(tail) <= block
	if !inline {
		full = append(full, tail...)
	}
	var start uint32
	if len(full) > 0 {
		var err error
		if start, err = w.blocks(full); err != nil {
			return nil, err
		}
	}
	if !inline {
		return w.inode(d.node, layoutPlain, size, start, 2+d.subdirs), nil
	}
	return append(w.inode(d.node, layoutInline, size, start, 2+d.subdirs), tail...), nil
}
