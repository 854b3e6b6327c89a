package rootfs

import "fmt"

// Under returns the tree of the image that is laid under the other layers (Options.Under) as it is by itself, or nil if
// there is none. It has its files also where upper layers cover them. It shares their contents with t, and is closed
// with t.
func (t *Tree) Under() *Tree { return t.under }

// layUnder makes the tree that Under returns, and tells the merger of the whole tree where its files belong.
//
// An image with a merged /usr has the link /lib to usr/lib, and one without it has the directory /lib. If an image with
// the directory is laid under one with the link, the link takes the place of the directory and of all that is in it:
// the drivers in /lib/modules would be lost. Who has installed them into the upper image would have followed the link.
// So the directories of the lower image are where the upper one, by itself, has them.
func (t *Tree) layUnder(m *merger, under int) error {
	ctx := m.ctx
	alone := newMerger(ctx, m.max)
	if err := alone.applyAll(t.layers[:under], 0); err != nil {
		return err
	}
	t.under = &Tree{layers: t.layers}
	t.under.begin(alone.root)

	above := newMerger(ctx, m.max)
	if err := above.applyAll(t.layers[under:], under); err != nil {
		return err
	}
	above.reset()
	for _, l := range t.layers[:under] {
		above.most += maxStepsEach * int64(l.index.count)
	}
	m.where = func(path string) string {
		path = above.placed(path)
		if m.stop == nil {
			m.stop = above.stop
		}
		return path
	}
	return nil
}

// applyAll puts layers on top, of which the lowest has that number.
func (m *merger) applyAll(layers []*stored, number int) error {
	for i, s := range layers {
		if err := m.apply(&s.index, int32(number+i)); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// placed returns path with the links of the tree followed in its directories. It makes directories that are missing.
func (m *merger) placed(path string) string {
	if path == "" {
		return path
	}
	at, name, err := m.parent(path)
	if err != nil || at == m.root {
		return path // an error comes again when the lower image is applied, or upper layers replace what is there
	}
	_ = m.step(int64(at.length) >> 6) // a short name may stand for a path of a megabyte, in each of a million entries
	return at.path() + "/" + name
}

// asIs is where paths of an image belong that is under no other.
func asIs(path string) string { return path }
