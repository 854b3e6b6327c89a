package rootfs

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"io"
	"slices"

	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// First is what is known when the layers were read for their names.
type First struct {
	Tree  *Tree // without contents: none can be read before Read has returned
	Bytes int64 // that the layers hold uncompressed
	Again []int // the layers that have a content of the tree
}

// nowhere is the store of a layer that is read for its names.
type nowhere struct{}

// Add reads a content as other stores do, and so fails where they would.
func (nowhere) Add(f spool.File, content io.Reader) (int64, error) {
	_, err := io.CopyN(io.Discard, content, f.Size)
	return 0, err
}

func (nowhere) Seal() error      { return nil }
func (nowhere) Open(bool) Reader { return nowhere{} }
func (nowhere) Close() error     { return nil }

// ReadAt fails.
func (nowhere) ReadAt([]byte, int64) (int, error) { return 0, errUnread }

var (
	errUnread  = errors.New("the contents were not read yet")
	errChanged = errors.New("is not what it was when the layer was read first")
)

// readAgain reads the layers a second time, for the contents that the tree has.
func (t *Tree) readAgain(ctx context.Context, layers []Layer, first *bounds) error {
	wanted := t.wanted()
	known := First{Tree: t, Bytes: first.bytes.Load()}
	for i := range layers {
		if len(wanted[i]) > 0 {
			known.Again = append(known.Again, i)
		}
	}
	if err := first.Twice(known); err != nil {
		return err
	}
	b := newBounds(first.Options)
	return b.each(ctx, layers, func(ctx context.Context, i int) (err error) {
		s := t.layers[i]
		if s.content, err = b.store(); err != nil {
			s.content = nowhere{}
			return err
		}
		if len(wanted[i]) == 0 {
			return s.content.Seal()
		}
		a := &second{s, wanted[i]}
		if err := s.read(ctx, layers[i], b, a.member); err != nil {
			return err
		}
		return a.end()
	})
}

// wanted returns, for each layer, the files whose contents the tree has, in the order of the layer's archive.
func (t *Tree) wanted() [][]*inode {
	list := make([][]*inode, len(t.layers))
	for _, tree := range []*Tree{t, t.under} {
		if tree == nil {
			continue
		}
		for d := range tree.root.all {
			if i := d.ino; i.regular() && i.size > 0 {
				list[i.layer] = append(list[i.layer], i)
			}
		}
	}
	for n, l := range list {
		slices.SortFunc(l, func(a, b *inode) int { return cmp.Compare(a.seq, b.seq) })
		list[n] = slices.Compact(l) // a file may have several names
	}
	return list
}

// second is a layer while it is read again.
type second struct {
	s      *stored
	wanted []*inode // what is still to come
}

// member keeps a content that is wanted. The layer may be another one than before: it comes over a network, and its
// digest is checked at its end.
func (a *second) member(r io.Reader, h *tar.Header, seq int32) error {
	if len(a.wanted) == 0 || a.wanted[0].seq != seq {
		return nil
	}
	i := a.wanted[0]
	a.wanted = a.wanted[1:]
	e, err := newEntry(h)
	if err != nil || e.kind != object || !e.regular() || e.path != i.path || e.size != i.size {
		return errChanged
	}
	return a.s.keep(i, r)
}

// end returns an error unless everything has come.
func (a *second) end() error {
	if len(a.wanted) > 0 {
		return errChanged
	}
	return nil
}
