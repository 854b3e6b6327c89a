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
	if err := first.Twice(First{Tree: t, Bytes: first.bytes.Load()}); err != nil {
		return err
	}
	return newBounds(first.Options).again(ctx, layers, t.wanted(func(*inode) bool { return true }), t.layers)
}

// again reads those layers once more that have wanted contents, and makes a store for each of them and for all others
// that are not nil.
func (b *bounds) again(ctx context.Context, layers []Layer, wanted [][]*inode, into []*stored) error {
	for i := range layers {
		if len(wanted[i]) > 0 && b.Again != nil {
			b.Again(i)
		}
	}
	return b.each(ctx, layers, func(ctx context.Context, i int) (err error) {
		s := into[i]
		if s == nil {
			return nil
		}
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

// wanted returns, for each layer, the files of the tree that have a content and are asked for, in the order of the
// layer's archive.
func (t *Tree) wanted(asked func(*inode) bool) [][]*inode {
	list := make([][]*inode, len(t.layers))
	for _, tree := range []*Tree{t, t.under} {
		if tree == nil {
			continue
		}
		for d := range tree.root.all {
			if i := d.ino; i.regular() && i.size > 0 && asked(i) {
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
