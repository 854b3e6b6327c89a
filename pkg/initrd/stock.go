package initrd

import (
	"gitlab.com/wyrcan/wyrcan/pkg/newc"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// stock counts which records of an archive are ready in the spools of a tree.
type stock struct {
	tree   *rootfs.Tree
	bytes  int64                  // of records that are ready
	spools map[*spool.Spool]int64 // the same by spool
	frames map[frameID]int        // how many records of a frame are ready
}

type frameID struct {
	spool *spool.Spool
	begin int64
}

func newStock(t *rootfs.Tree) stock {
	return stock{tree: t, spools: map[*spool.Spool]int64{}, frames: map[frameID]int{}}
}

// at returns where the record of a node is, if the archive can have it as it is there.
func (s *stock) at(r *rules, n *rootfs.Node) (rootfs.Place, bool) {
	p, ok := s.tree.Place(n)
	_, moves := r.Move[n.Path]
	return p, ok && p.Intact && n.Size <= MaxSize && !moves
}

// count counts the record of a node that the archive has.
func (s *stock) count(r *rules, n *rootfs.Node) {
	p, ok := s.at(r, n)
	if !ok {
		return
	}
	size := newc.Size(n.Path, n.Size)
	s.bytes += size
	s.spools[p.Spool] += size
	if f, ok := p.Spool.Frame(p.Off); ok {
		s.frames[frameID{p.Spool, f.Begin}]++
	}
}

// frame returns the frame that the record of a node is in, if the archive wants all records of the frame.
func (s *stock) frame(r *rules, n *rootfs.Node) (packed, bool) {
	p, ok := s.at(r, n)
	if !ok {
		return packed{}, false
	}
	f, ok := p.Spool.Frame(p.Off)
	return packed{p.Spool, f}, ok && s.frames[frameID{p.Spool, f.Begin}] == f.Records
}

// base returns the spool whose file an uncompressed archive can be made in, if there is one. As nothing is moved
// there, it must not hold much more than what is wanted.
func (s *stock) base() *spool.Spool {
	var best *spool.Spool
	for _, p := range s.tree.Spools() {
		if p.Plain() && p.Len()-s.spools[p] <= s.bytes/8 && (best == nil || s.spools[p] > s.spools[best]) {
			best = p
		}
	}
	return best
}
