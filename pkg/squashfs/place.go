package squashfs

import (
	"cmp"
	"container/heap"
	"context"
	"io"
	"os"
	"slices"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// plan puts the blocks of all layers into one file: that of the largest layer, whose blocks stay where they are. What
// the tree does not use of them is gaps. Blocks of other layers fill these, largest first, then the blocks at the end
// of the file itself. The other blocks of the other layers come behind.
type plan struct {
	base  *Layer
	gaps  gaps
	kept  []*piece // of the base, in order
	moves []move
	end   int64
	full  int64 // the end of the last gap that something went into
}

// move says where a block, or a row of blocks, goes.
type move struct {
	from  *Layer
	piece *piece
	to    int64
}

// newPlan decides where everything goes. The layers' live pieces are marked.
func newPlan(layers []*Layer) *plan {
	p := &plan{end: superSize}
	for _, l := range layers {
		if p.base == nil || l.bytes() > p.base.bytes() {
			p.base = l
		}
	}
	if p.base == nil {
		return p
	}
	for _, piece := range p.base.pieces() {
		if piece.live {
			p.gaps.add(p.end, piece.start)
			p.kept = append(p.kept, piece)
			p.end = piece.start + piece.size
		}
	}
	var loose []move
	for _, l := range layers {
		if l == p.base {
			continue
		}
		for _, piece := range l.pieces() {
			if piece.live {
				loose = append(loose, move{l, piece, 0})
			}
		}
	}
	p.fill(loose)
	p.shorten()
	for i := range loose {
		if m := &loose[i]; m.to == 0 {
			m.to = p.end
			p.end += m.piece.size
		}
	}
	p.moves = append(p.moves, loose...)
	return p
}

// fill moves pieces of other layers into gaps, as far as they fit.
func (p *plan) fill(loose []move) {
	order := make([]*move, len(loose))
	for i := range loose {
		order[i] = &loose[i]
	}
	slices.SortStableFunc(order, func(a, b *move) int { return cmp.Compare(b.piece.size, a.piece.size) })
	for _, m := range order {
		if to, ok := p.gaps.take(m.piece.size, p.end); ok {
			m.to, p.full = to, max(p.full, to+m.piece.size)
		}
	}
}

// shorten moves pieces from the end of the base into gaps before them.
func (p *plan) shorten() {
	for len(p.kept) > 0 {
		last := p.kept[len(p.kept)-1]
		to, ok := p.gaps.take(last.size, last.start)
		if !ok {
			return
		}
		p.kept = p.kept[:len(p.kept)-1]
		p.moves = append(p.moves, move{p.base, last, to})
		p.full = max(p.full, to+last.size)
		p.end = max(p.full, superSize)
		if n := len(p.kept); n > 0 {
			p.end = max(p.end, p.kept[n-1].start+p.kept[n-1].size)
		}
	}
}

// do moves everything, and gives memory back on the way.
func (p *plan) do(ctx context.Context) error {
	buf := make([]byte, 1<<20)
	for _, m := range p.moves {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.move(m, buf); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) move(m move, buf []byte) error {
	size := m.piece.size
	out := io.NewOffsetWriter(writer{p.base.p, p.base.f}, m.to)
	if _, err := io.CopyBuffer(out, io.NewSectionReader(m.from.f, m.piece.start, size), buf); err != nil {
		return err
	}
	start := m.piece.start
	m.piece.start = m.to
	if m.from == p.base || m.from.p.opt.File != nil {
		return nil
	}
	// Only whole pages: others still hold something.
	return memory.GiveBack(m.from.f, start, (start+size)&^(memory.Page-1))
}

// wipe makes zeros of the gaps that are left, and returns how many bytes they have. The image shall not hold what upper
// layers have removed.
func (p *plan) wipe() (int64, error) {
	unused := int64(0)
	for _, g := range p.gaps {
		g.to = min(g.to, p.end)
		if g.from >= g.to {
			continue
		}
		unused += g.to - g.from
		if err := p.zero(g.from, g.to); err != nil {
			return 0, err
		}
	}
	return unused, nil
}

// zero makes zeros of a range of the image. Whole pages of memory are given back.
func (p *plan) zero(from, to int64) error {
	first, last := (from+memory.Page-1)&^(memory.Page-1), to&^(memory.Page-1)
	if p.base.p.opt.File == nil && first < last {
		if err := memory.GiveBack(p.base.f, first, last); err != nil {
			return err
		}
	} else {
		first, last = to, to
	}
	zeros := make([]byte, 64<<10)
	for _, r := range [][2]int64{{from, first}, {last, to}} {
		for at := r[0]; at < r[1]; {
			n := min(r[1]-at, int64(len(zeros)))
			if _, err := p.base.f.WriteAt(zeros[:n], at); err != nil {
				return err
			}
			at += n
		}
	}
	return nil
}

// writer writes to the image.
type writer struct {
	p *Packer
	f *os.File
}

func (w writer) WriteAt(b []byte, at int64) (int, error) {
	if err := w.p.write(w.f, b, at); err != nil {
		return 0, err
	}
	return len(b), nil
}

// pieces returns all that a layer holds, in the order of its file.
func (l *Layer) pieces() []*piece {
	var all []*piece
	for i := range l.extents {
		if l.extents[i].size > 0 {
			all = append(all, &l.extents[i].piece)
		}
	}
	for i := range l.frags {
		all = append(all, &l.frags[i].piece)
	}
	slices.SortFunc(all, func(a, b *piece) int { return cmp.Compare(a.start, b.start) })
	return all
}

// mark marks what the tree uses.
func mark(ctx context.Context, tree *rootfs.Tree) error {
	for n, err := range tree.All(ctx) {
		if err != nil {
			return err
		}
		if !n.Regular() || n.Size == 0 {
			continue
		}
		l, c, err := layerOf(tree, n)
		if err != nil {
			return err
		}
		if c.extent != none {
			l.extents[c.extent].live = true
		} else {
			l.frags[c.fragment].live = true
		}
	}
	return nil
}

// gap is a range of the base that nothing uses.
type gap struct{ from, to int64 }

// gaps are a heap with the largest gap first.
type gaps []gap

func (g gaps) Len() int { return len(g) }
func (g gaps) Less(i, k int) bool {
	return cmp.Or(cmp.Compare(g[k].to-g[k].from, g[i].to-g[i].from), cmp.Compare(g[i].from, g[k].from)) < 0
}
func (g gaps) Swap(i, k int) { g[i], g[k] = g[k], g[i] }
func (g *gaps) Push(x any)   { *g = append(*g, x.(gap)) }
func (g *gaps) Pop() any {
	last := (*g)[len(*g)-1]
	*g = (*g)[:len(*g)-1]
	return last
}

// add adds a gap, if it is one.
func (g *gaps) add(from, to int64) {
	if from < to {
		heap.Push(g, gap{from, to})
	}
}

// take takes a part of the largest gap before a place, if it is large enough.
func (g *gaps) take(size, before int64) (int64, bool) {
	for len(*g) > 0 && (*g)[0].from >= before {
		heap.Pop(g) // what is behind the end is not in the image
	}
	if len(*g) == 0 || (*g)[0].to-(*g)[0].from < size {
		return 0, false
	}
	at := (*g)[0].from
	if (*g)[0].from += size; (*g)[0].from == (*g)[0].to {
		heap.Pop(g)
	} else {
		heap.Fix(g, 0)
	}
	return at, true
}
