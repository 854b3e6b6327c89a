package rootfs

import (
	"context"
	"strings"
	"sync"
)

// hidden is what the early layers (Options.Early) hide of the layers below them.
//
// It goes by names alone, which nearly always tells the truth. But a content that is hidden under one name may have
// another one: a hard link, or a path through a symbolic link. That is known when the tree is, and such a content is
// read then (Tree.readMissed).
type hidden struct {
	under int32 // Options.Under
	early []bool
	ready chan struct{} // closed when all early layers were read

	mu    sync.Mutex
	left  int // early layers that were not read yet
	names map[string]above
}

// above is what layers do at a path: the number of the highest one that has anything there, so that a file of lower
// layers is gone, and of the highest one that leaves nothing below it.
type above struct{ at, below int32 }

// newHidden returns what the early ones of so many layers hide, nil if there are none.
func newHidden(opt Options, layers int) *hidden {
	if len(opt.Early) == 0 {
		return nil
	}
	h := &hidden{under: int32(opt.Under), early: make([]bool, layers), ready: make(chan struct{}),
		left: len(opt.Early), names: map[string]above{}}
	for _, i := range opt.Early {
		h.early[i] = true
	}
	return h
}

// add takes the names of a layer that was read. grow is asked for each whether there is memory for it.
func (h *hidden) add(layer int32, x *index, grow func() error) error {
	if h == nil || !h.early[layer] {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for e := range x.all {
		if err := grow(); err != nil {
			return err
		}
		n := h.names[e.path]
		if e.kind != opaque {
			n.at = max(n.at, layer)
		}
		if e.kind != object || !e.dir() {
			n.below = max(n.below, layer)
		}
		h.names[e.path] = n
	}
	if h.left--; h.left == 0 {
		close(h.ready)
	}
	return nil
}

// has reports whether a file of a layer is hidden. It waits until all early layers were read, or the context is done.
func (h *hidden) has(ctx context.Context, path string, layer int32) (bool, error) {
	if h == nil || h.early[layer] {
		return false, nil
	}
	select {
	case <-h.ready:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if h.hides(h.names[path].at, layer) {
		return true, nil
	}
	for path != "" {
		path = path[:max(0, strings.LastIndexByte(path, '/'))]
		if h.hides(h.names[path].below, layer) {
			return true, nil
		}
	}
	return false, nil
}

// hides reports whether what one layer does counts for another one. That of an image does not count for the layers of
// one that is under it: see Tree.Under.
func (h *hidden) hides(upper, layer int32) bool {
	return upper > layer && (layer >= h.under || upper < h.under)
}

// unkept is the place of a content that was taken for hidden.
const unkept = -1

// readMissed reads the contents of the tree that were taken for hidden.
func (t *Tree) readMissed(ctx context.Context, layers []Layer, b *bounds) error {
	missed := t.wanted(func(i *inode) bool { return i.off == unkept })
	into := make([]*stored, len(layers))
	for i, files := range missed {
		if len(files) == 0 {
			continue
		}
		s := &stored{name: t.layers[i].name, content: nowhere{}}
		into[i] = s
		for _, f := range files {
			f.layer = int32(len(t.layers))
		}
		t.layers = append(t.layers, s)
		t.missed++
	}
	if t.missed == 0 {
		return nil
	}
	if t.under != nil {
		t.under.layers = t.layers
	}
	b.bytes.Store(0)
	return b.again(ctx, layers, missed, into)
}
