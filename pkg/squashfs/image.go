package squashfs

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// Image makes the image of a tree whose contents are in this packer's layers. The image says when it was made. skip
// reports whether a path, which is not a directory, is left out; nil leaves nothing out. No content can be read any
// more. The caller closes the file, which was one of the layers', and the tree.
func (p *Packer) Image(
	ctx context.Context, tree *rootfs.Tree, made time.Time, skip func(*rootfs.Node) bool,
) (*os.File, error) {
	layers, err := rootfs.StoresOf(tree, func(l *Layer) bool { return l.p == p })
	var f *os.File
	if err == nil {
		f, err = p.image(ctx, &rootfs.Choice{Tree: tree, Skip: skip}, layers, made)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a SquashFS image: %w", err)
	}
	return f, nil
}

func (p *Packer) image(ctx context.Context, tree *rootfs.Choice, layers []*Layer, made time.Time) (*os.File, error) {
	if len(layers) == 0 { // an image without layers
		s, err := p.Store()
		if err != nil {
			return nil, err
		}
		layers = append(layers, s.(*Layer))
	}
	if err := mark(ctx, tree); err != nil {
		return nil, err
	}
	for _, l := range layers { // before anything grows
		if err := l.releaseGaps(); err != nil {
			return nil, err
		}
	}
	for _, l := range layers {
		if err := l.repack(ctx); err != nil {
			return nil, err
		}
	}
	base, end, err := gather(ctx, layers)
	if err != nil {
		return nil, err
	}
	w := &image{p: p, f: base.f, pos: end}
	w.super.time = seconds(made.Unix())
	if err := w.tables(ctx, tree, layers); err != nil {
		return nil, err
	}
	base.taken = true
	return base.f, nil
}

// image writes what comes behind the blocks of the contents. The order of the tables is not free: the kernel compares
// the end of each with the beginning of the next (super.c).
type image struct {
	p     *Packer
	f     *os.File
	pos   int64
	super superblock
}

func (w *image) tables(ctx context.Context, tree *rootfs.Choice, layers []*Layer) error {
	s := &w.super
	s.blockSize, s.compression = uint32(w.p.opt.BlockSize), w.p.codec.id()
	s.flags = flagDuplicates
	s.xattrTable = noTable

	fragments := newTable(w.p.codec)
	s.fragments = number(layers, fragments)
	nodes := newInodes(w.p, tree)
	if err := nodes.all(ctx); err != nil {
		return err
	}
	s.inodes, s.root, s.ids = nodes.count, nodes.root, uint16(len(nodes.ids))
	ids := newTable(w.p.codec)
	for _, id := range nodes.ids {
		ids.add(binary.LittleEndian.AppendUint32(nil, id))
	}

	var err error
	write := func(t *table) (start int64) {
		start = w.pos
		b, failed := t.end()
		if err == nil {
			err = failed
		}
		w.write(b, &err)
		return start
	}
	indexed := func(t *table) uint64 {
		start := write(t)
		at := w.pos
		w.write(t.index(start), &err)
		return uint64(at)
	}
	s.inodeTable = uint64(write(nodes.inodes))
	s.dirTable = uint64(write(nodes.dirs))
	s.fragmentTable = indexed(fragments)
	s.idTable = indexed(ids)
	if nodes.xattrs.count == 0 {
		s.flags |= flagNoXattrs
	} else {
		lists := write(nodes.xattrs.lists)
		start := write(nodes.xattrs.ids)
		s.xattrTable = uint64(w.pos)
		head := binary.LittleEndian.AppendUint64(nil, uint64(lists))
		head = binary.LittleEndian.AppendUint32(head, nodes.xattrs.count)
		head = binary.LittleEndian.AppendUint32(head, 0)
		w.write(append(head, nodes.xattrs.ids.index(start)...), &err)
	}
	s.size = uint64(w.pos)
	if err != nil {
		return err
	}
	if err := w.p.write(w.f, s.bytes(), 0); err != nil {
		return err
	}
	if err := w.f.Truncate(w.pos); err != nil {
		return err
	}
	// A loop device has whole sectors only.
	const sector = 4 << 10
	return w.f.Truncate((w.pos + sector - 1) &^ (sector - 1))
}

// write appends bytes, unless something has failed before.
func (w *image) write(b []byte, err *error) {
	if *err == nil && len(b) > 0 {
		*err = w.p.write(w.f, b, w.pos)
		w.pos += int64(len(b))
	}
}

// number numbers the fragments that the image has, and adds them to a table.
func number(layers []*Layer, t *table) (count uint32) {
	for _, l := range layers {
		for i := range l.frags {
			f := &l.frags[i]
			if !f.live {
				continue
			}
			f.number = count
			count++
			entry := binary.LittleEndian.AppendUint64(nil, uint64(f.start))
			entry = binary.LittleEndian.AppendUint32(entry, f.block)
			t.add(binary.LittleEndian.AppendUint32(entry, 0))
		}
	}
	return count
}
