package erofs

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"os"
	"slices"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// mark marks what the tree uses.
func mark(ctx context.Context, tree *rootfs.Choice) error {
	for n, err := range tree.Contents(ctx) {
		if err != nil {
			return err
		}
		l, c, err := layerOf(tree.Tree, n)
		if err != nil {
			return err
		}
		for i := c.pieces.from; i < c.pieces.to; i++ {
			l.pieces[i].live = true
		}
	}
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

// live returns what the image has of a layer, in the order of its file.
func (l *Layer) live() []*piece {
	var list []*piece
	for i := range l.pieces {
		if p := &l.pieces[i]; p.live {
			list = append(list, p)
		}
	}
	return list
}

// gather puts what the image has of all layers into the file of the largest one, and returns where it ends. Contents
// move only into gaps, unless too much of these is left. The memory of what is not in the image is given back.
func gather(ctx context.Context, layers []*Layer) (base *Layer, end int64, err error) {
	for _, l := range layers {
		if base == nil || l.pos > base.pos {
			base = l
		}
	}
	m := &mover{to: base, buf: make([]byte, 1<<20)}
	list := base.live()
	if err := m.begin(list); err != nil {
		return nil, 0, err
	}
	for _, l := range layers {
		if l == base {
			continue
		}
		for _, p := range l.live() {
			to := m.room(p.size, m.end)
			if to < 0 {
				to = m.end
				m.end += p.size
			}
			if err := m.move(ctx, l.pages, p, to); err != nil {
				return nil, 0, err
			}
			list = append(list, p)
		}
	}
	sortPieces(list)
	if err := m.fill(ctx, list); err != nil {
		return nil, 0, err
	}
	// What is behind is only a copy. The tables that come there rely on zeros.
	return base, m.end, base.pages.Truncate(m.end)
}

// mover moves pieces of layers into one file.
type mover struct {
	to   *Layer
	end  int64
	gaps [64][]gap // by the logarithm of their size
	buf  []byte
}

// gap is a part of the file that holds nothing.
type gap struct{ start, size int64 }

// begin finds the gaps between pieces, and gives their memory back.
func (m *mover) begin(list []*piece) error {
	m.end = block
	for _, p := range list {
		if p.start > m.end {
			m.free(gap{m.end, p.start - m.end})
			if err := memory.GiveBack(m.to.pages, m.end, p.start); err != nil {
				return err
			}
		}
		m.end = p.start + p.size
	}
	return m.to.pages.Truncate(m.end)
}

func (m *mover) free(g gap) {
	if g.size > 0 {
		class := bits.Len64(uint64(g.size)) - 1
		m.gaps[class] = append(m.gaps[class], g)
	}
}

// room takes so many bytes of a gap that ends before a place, and returns where they are; -1 if there is none. In the
// class of the size itself only a few gaps are tried.
func (m *mover) room(size, before int64) int64 {
	const tries = 8
	for class := bits.Len64(uint64(size)) - 1; class < len(m.gaps); class++ {
		list := m.gaps[class]
		for i := len(list) - 1; i >= max(0, len(list)-tries); i-- {
			g := list[i]
			if g.size < size || g.start+size > before {
				continue
			}
			m.gaps[class] = slices.Delete(list, i, i+1)
			m.free(gap{g.start + size, g.size - size})
			return g.start
		}
	}
	return -1
}

// fill moves pieces from the end of the file into gaps. If much is left of these then, it moves all pieces together.
func (m *mover) fill(ctx context.Context, list []*piece) error {
	all, size, top := list, int64(0), int64(block) // top is where what was moved ends
	for _, p := range all {
		size += p.size
	}
	for len(list) > 0 {
		last := list[len(list)-1]
		if last.start < top {
			break
		}
		before := int64(block) // the end of the piece before it
		if len(list) > 1 {
			before = list[len(list)-2].start + list[len(list)-2].size
		}
		to := m.room(last.size, before)
		if to < 0 {
			break
		}
		if err := m.move(ctx, m.to.pages, last, to); err != nil {
			return err
		}
		list, top = list[:len(list)-1], max(top, to+last.size)
		m.end = max(before, top)
	}
	if m.end-block-size <= size/64 {
		return nil
	}
	sortPieces(all)
	m.end = block
	for _, p := range all {
		if p.start != m.end {
			if err := m.move(ctx, m.to.pages, p, m.end); err != nil {
				return err
			}
		}
		m.end += p.size
	}
	return nil
}

func sortPieces(list []*piece) {
	slices.SortFunc(list, func(a, b *piece) int { return cmp.Compare(a.start, b.start) })
}

// move moves a piece. Within one file it moves towards the beginning, so that nothing is overwritten before it was
// read.
func (m *mover) move(ctx context.Context, from *os.File, p *piece, to int64) error {
	for at := int64(0); at < p.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := m.buf[:min(p.size-at, int64(len(m.buf)))]
		if err := m.to.readAt(from, part, p.start+at); err != nil {
			return fmt.Errorf("cannot read what was kept: %w", err)
		}
		if err := m.to.p.write(m.to.pages, part, to+at); err != nil {
			return err
		}
		at += int64(len(part))
		if from != m.to.pages {
			if err := memory.GiveBack(from, p.start+at-int64(len(part)), p.start+at); err != nil {
				return err
			}
		}
	}
	p.start = to
	return nil
}
