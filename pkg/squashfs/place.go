package squashfs

import (
	"cmp"
	"context"
	"fmt"
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
		first := &l.contents[c.first]
		switch {
		case first.live:
		case c.extent != none:
			l.extents[c.extent].live = true
		default:
			l.frags[c.fragment].live = true
			l.frags[c.fragment].used += c.size
		}
		first.live = true
	}
	return nil
}

// pieces returns what the image has of a layer, in the order of its file.
func (l *Layer) pieces() []*piece {
	var list []*piece
	for i := range l.extents {
		if e := &l.extents[i].piece; e.live && e.size > 0 {
			list = append(list, e)
		}
	}
	for i := range l.frags {
		if f := &l.frags[i].piece; f.live {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b *piece) int { return cmp.Compare(a.start, b.start) })
	return list
}

// releaseGaps gives back the memory of what the image does not have.
func (l *Layer) releaseGaps() error {
	end := int64(superSize)
	for _, p := range l.pieces() {
		if err := l.release(end, p.start); err != nil {
			return err
		}
		end = p.start + p.size
	}
	return l.release(end, l.pos)
}

// gather puts what the image has of all layers into the file of the largest one, without gaps, and returns where it
// ends. To move blocks that are compressed takes much less time than to compress them did. The memory of other layers
// is given back on the way.
func gather(ctx context.Context, layers []*Layer) (base *Layer, end int64, err error) {
	for _, l := range layers {
		if base == nil || l.pos > base.pos {
			base = l
		}
	}
	m := &mover{to: base, end: superSize, buf: make([]byte, 1<<20)}
	if err := m.layer(ctx, base); err != nil {
		return nil, 0, err
	}
	for _, l := range layers {
		if l == base {
			continue
		}
		if err := m.layer(ctx, l); err != nil {
			return nil, 0, err
		}
	}
	return base, m.end, nil
}

// mover moves pieces to the end of what is in place already.
type mover struct {
	to  *Layer
	end int64
	buf []byte
}

// layer moves what the image has of a layer. Pieces that are side by side move together.
func (m *mover) layer(ctx context.Context, l *Layer) error {
	for list := l.pieces(); len(list) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		start, to := list[0].start, m.end
		size := int64(0)
		for len(list) > 0 && list[0].start == start+size {
			list[0].start = to + size
			size += list[0].size
			list = list[1:]
		}
		m.end += size
		if err := m.move(l, start, size, to); err != nil {
			return err
		}
	}
	return nil
}

// move moves bytes. Within one file it moves them towards the beginning, so none is overwritten before it was read.
func (m *mover) move(from *Layer, start, size, to int64) error {
	if from == m.to && start == to {
		return nil
	}
	for size > 0 {
		part := m.buf[:min(size, int64(len(m.buf)))]
		if _, err := from.f.ReadAt(part, start); err != nil {
			return fmt.Errorf("cannot read what was kept: %w", err)
		}
		if err := m.to.p.write(m.to.f, part, to); err != nil {
			return err
		}
		n := int64(len(part))
		begin := start
		if from == m.to {
			begin = max(start, to+n) // what is before that is written already
		}
		if err := from.release(begin, start+n); err != nil {
			return err
		}
		start, to, size = start+n, to+n, size-n
	}
	return nil
}

// release gives memory back that is not needed any more, but only whole pages: others still hold something.
func (l *Layer) release(begin, end int64) error {
	if l.p.opt.File != nil {
		return nil
	}
	return memory.GiveBack(l.f, begin, end&^(memory.Page-1))
}
