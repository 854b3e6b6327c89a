package initrd

import (
	"context"
	"io"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// Make makes the archive in memory, out of the tree's contents: none of them can be read any more, and the file takes
// their place. What waits as the record that it is to be (package spool) is not made again: uncompressed, the
// largest layer's spool becomes the archive; with zstd and mixed, frames go over as they are. Then, and with those two
// always, it is several archives in a row, which the kernel reads as one; cpio(1) stops at the end of the first.
func Make(ctx context.Context, t *rootfs.Tree, opt Options) (_ *os.File, _ Result, err error) {
	m := &maker{tree: t, opt: opt}
	var base *spool.Spool
	if !opt.Single {
		if err := m.count(ctx); err != nil {
			return nil, Result{}, err
		}
		if opt.Compression == None {
			base = m.base()
		}
	}
	var f *os.File
	if base != nil {
		f = base.Take()
	} else if f, err = memory.File("initrd"); err != nil {
		return nil, Result{}, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	out := &grower{f: f, grow: opt.Grow}
	var r Result
	switch {
	case base != nil:
		r, err = m.inPlace(ctx, base, out)
	case (opt.Compression == Zstd || opt.Compression == Mixed) && !opt.Single:
		r, err = m.frames(ctx, out)
	default:
		r, err = write(ctx, out, t.Consume, opt)
	}
	return f, r, err
}

// maker knows what of the tree is ready.
type maker struct {
	tree *rootfs.Tree
	opt  Options

	head  int64                  // bytes of all directories and of Options.Extra
	bytes int64                  // of records that are ready
	ready map[*spool.Spool]int64 // the same by spool
	whole map[frame]int          // how many records of a frame are ready
}

type frame struct {
	spool *spool.Spool
	begin int64
}

// readyAt returns where the record of a node is if the archive wants it as it is there. What comes to archive.keep is
// wanted under its own name: that asks for the place alone.
func (m *maker) readyAt(n *rootfs.Node) (rootfs.Place, bool) {
	p, ok := m.tree.Place(n)
	if !ok || !p.Intact || m.opt.Skip != nil && m.opt.Skip(n) {
		return p, false
	}
	if _, moves := m.opt.Move[n.Path]; moves {
		return p, false
	}
	for _, f := range m.opt.Extra {
		if f.Node.Path == n.Path {
			return p, false
		}
	}
	return p, true
}

func (m *maker) count(ctx context.Context) error {
	m.ready, m.whole = map[*spool.Spool]int64{}, map[frame]int{}
	for _, f := range m.opt.Extra {
		m.head += spool.HeaderSize(f.Node.Path) + spool.Padded(f.Node.Size)
	}
	for n, err := range m.tree.All(ctx) {
		if err != nil {
			return err
		}
		if n.Dir() {
			m.head += spool.HeaderSize(n.Path)
			continue
		}
		p, ok := m.readyAt(n)
		if !ok {
			continue
		}
		size := spool.HeaderSize(n.Path) + spool.Padded(n.Size)
		m.bytes += size
		m.ready[p.Spool] += size
		if f, ok := p.Spool.Frame(p.Off); ok {
			m.whole[frame{p.Spool, f.Begin}]++
		}
	}
	return nil
}

// Waiting tells of what Make would make an archive with Zstd or Mixed, in bytes: packed is the size of what is packed already
// and goes over as it is, loose that of all other records, unpacked. held is the memory that is given back on the way.
func Waiting(ctx context.Context, t *rootfs.Tree) (packed, loose, held int64, err error) {
	m := &maker{tree: t}
	if err := m.count(ctx); err != nil {
		return 0, 0, 0, err
	}
	loose = m.head
	for _, s := range t.Spools() {
		held += s.Stored()
	}
	taken := map[frame]bool{}
	for n, err := range t.All(ctx) {
		if err != nil {
			return 0, 0, 0, err
		}
		if n.Dir() {
			continue
		}
		f, key, ok := m.frameOf(n)
		switch {
		case !ok:
			loose += spool.HeaderSize(n.Path) + spool.Padded(max(n.Size, int64(len(n.Target))))
		case !taken[key]:
			taken[key] = true
			packed += f.Packed()
		}
	}
	return packed, loose, held, nil
}

// frameOf returns the frame that a node's record is in, if all that is in it is ready: it can go over as it is.
func (m *maker) frameOf(n *rootfs.Node) (spool.Frame, frame, bool) {
	p, ok := m.tree.Place(n)
	if !ok || !p.Intact {
		return spool.Frame{}, frame{}, false
	}
	f, ok := p.Spool.Frame(p.Off)
	key := frame{p.Spool, f.Begin}
	return f, key, ok && m.whole[key] == f.Records
}

// base returns the spool that an uncompressed archive can be made in the place of, if there is one: it has room for the
// head, and holds not much more than what is wanted, for nothing is moved.
func (m *maker) base() *spool.Spool {
	if m.head > spool.Front-spool.MinFiller {
		return nil
	}
	var best *spool.Spool
	for _, s := range m.tree.Spools() {
		if s.Plain() && s.Len()-m.ready[s] <= m.bytes/8 && (best == nil || m.ready[s] > m.ready[best]) {
			best = s
		}
	}
	return best
}

// inPlace makes the archive around what is ready in base: directories before it, where there is room for them, all else
// behind. What has to go becomes records that the kernel passes over.
func (m *maker) inPlace(ctx context.Context, base *spool.Spool, out *grower) (Result, error) {
	head := &grower{f: out.f}
	a := newArchive(head, m.opt)
	out.off = spool.Front + base.Len()
	tail := writeBehind(out)
	a.endHead = func() error {
		a.out.w = tail
		return base.Fill(head.off-spool.Front, 0)
	}
	type span struct{ from, to int64 }
	var gaps []span // filled at the end, for contents may be read from them before
	end := int64(0) // of what is kept of base
	a.keep = func(n *rootfs.Node) (bool, error) {
		p, ok := m.tree.Place(n)
		if !ok || !p.Intact || p.Spool != base {
			return false, nil
		}
		gaps = append(gaps, span{end, p.Off - spool.HeaderSize(n.Path)})
		end = p.Off + spool.Padded(n.Size)
		a.result.Records++
		return true, nil
	}
	err := a.write(ctx, m.tree.Consume)
	if e := tail.Close(); err == nil {
		err = e
	}
	if err != nil {
		return Result{}, err
	}
	for _, g := range append(gaps, span{end, base.Len()}) {
		if err := base.Fill(g.from, g.to); err != nil {
			return Result{}, err
		}
	}
	a.result.Size = out.off
	return a.result, nil
}

// frames compresses with zstd, on all processors, what is not packed yet and has to be.
func (m *maker) frames(ctx context.Context, out io.Writer) (Result, error) {
	segments, err := newSegmented(out, m.opt)
	if err != nil {
		return Result{}, err
	}
	a := newArchive(segments, m.opt)
	a.segments = segments
	a.endHead = a.end
	taken := map[frame]bool{}
	a.keep = func(n *rootfs.Node) (bool, error) {
		f, key, ok := m.frameOf(n)
		if !ok {
			return false, nil
		}
		a.result.Records++
		if taken[key] {
			return true, nil
		}
		taken[key] = true
		a.result.Size += f.Size()
		// An archive that is fed by a pipe must end, or those behind it wait for each other.
		if segments.pipe != nil {
			if err := a.end(); err != nil {
				return false, err
			}
		}
		r, done := key.spool.TakeFrame(f)
		return true, segments.add(r, done)
	}
	err = a.write(ctx, m.tree.Consume)
	if e := segments.Close(); err == nil {
		err = e
	}
	return a.result, err
}

// grower writes at a place of a file in memory, and asks now and then whether that may grow.
type grower struct {
	f     *os.File
	off   int64
	grow  func() error
	asked int64 // bytes since
}

func (g *grower) Write(p []byte) (int, error) {
	if g.asked += int64(len(p)); g.asked > 1<<20 && g.grow != nil {
		g.asked = 0
		if err := g.grow(); err != nil {
			return 0, err
		}
	}
	n, err := g.f.WriteAt(p, g.off)
	g.off += int64(n)
	return n, err
}
