package erofs

import (
	"context"
	"errors"
	"fmt"
	"math"
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
		return nil, fmt.Errorf("cannot make an EROFS image: %w", err)
	}
	return f, nil
}

func (p *Packer) image(ctx context.Context, tree *rootfs.Choice, layers []*Layer, made time.Time) (*os.File, error) {
	if len(layers) == 0 { // an image without layers
		s, err := p.Store()
		if err != nil {
			return nil, err
		}
		l := s.(*Layer)
		defer l.Close()
		layers = append(layers, l)
	}
	if err := mark(ctx, tree); err != nil {
		return nil, err
	}
	base, end, err := gather(ctx, layers)
	if err != nil {
		return nil, err
	}
	s, err := p.tables(ctx, tree, base.pages, end)
	if err != nil {
		return nil, err
	}
	s.made = made.Unix()
	if err := p.write(base.pages, s.bytes(), 0); err != nil {
		return nil, err
	}
	for _, l := range layers {
		if err := l.small.Truncate(0); err != nil {
			return nil, err
		}
	}
	base.taken = true
	return base.pages, nil
}

// tables writes what comes behind the contents: directories and long links, then attributes, then inodes.
func (p *Packer) tables(ctx context.Context, tree *rootfs.Choice, f *os.File, end int64) (*superblock, error) {
	w := &inodes{tree: tree, xattrs: &xattrs{known: map[[2]string]uint32{}}}
	nothing := func([]byte, int64) error { return nil }
	w.write, w.slots = nothing, slots{write: nothing}
	if err := w.all(ctx, end); err != nil {
		return nil, err
	}
	attributes := w.data
	first := attributes + pages(int64(len(w.xattrs.table)))
	last := first + w.slots.end
	if last/block > math.MaxUint32 || len(w.xattrs.table)/4 > math.MaxUint32 {
		return nil, errors.New("it would have more than 16 TiB")
	}
	w.write = func(b []byte, at int64) error { return p.write(f, b, at) }
	w.slots = slots{write: func(b []byte, at int64) error { return p.write(f, b, first+at) }}
	if err := w.all(ctx, end); err != nil {
		return nil, err
	}
	if w.data != attributes || first+w.slots.end != last {
		return nil, errors.New("its tables have two sizes") // a mistake in this package
	}
	if err := p.write(f, padded(w.xattrs.table), attributes); err != nil {
		return nil, err
	}
	return &superblock{root: uint16(w.places[0]), inodes: w.count, blocks: uint32(last / block),
		meta: uint32(first/block - 1), xattrs: uint32(attributes / block), chunked: w.chunk}, nil
}
