package rootfs

import "fmt"

// Under returns the tree of the image that is laid under the other layers (Options.Under) as it is by itself, or nil if
// there is none. It has its files also where upper layers cover them. It shares their contents with t, and is closed
// with t.
func (t *Tree) Under() *Tree { return t.under }

// layUnder makes the tree that Under returns, and puts its files into that of the merger, which is empty.
//
// An image with a merged /usr has the link /lib to usr/lib, and one without it has the directory /lib. If an image with
// the directory is laid under one with the link, the link takes the place of the directory and of all that is in it:
// the drivers in /lib/modules would be lost. Who has installed them into the upper image would have followed the link.
// So the directories of the lower image are where the upper one, by itself, has them.
func (t *Tree) layUnder(m *merger, under int) error {
	alone, above := newMerger(m.ctx, m.max), newMerger(m.ctx, m.max)
	alone.grow, above.grow = m.grow, m.grow
	if err := alone.applyAll(t.layers[:under], 0); err != nil {
		return err
	}
	t.under = &Tree{layers: t.layers}
	t.under.begin(alone.root)
	if err := above.applyAll(t.layers[under:], under); err != nil {
		return err
	}
	above.reset()
	m.reset()
	m.layer = int32(under - 1)
	for _, w := range []*merger{m, above} {
		w.most += maxStepsEach * int64(alone.names)
	}
	for d := range alone.root.all {
		if d == alone.root {
			m.root.ino, m.root.layer = d.ino, m.layer
			continue
		}
		path := above.placed(d.path())
		err := above.stop
		if err == nil {
			err = m.graft(path, d.ino)
		}
		if err != nil {
			return fmt.Errorf("%s %w", Quote(d.path()), err)
		}
	}
	return nil
}

// graft puts a file of another tree at a path.
func (m *merger) graft(path string, ino *inode) error {
	at, name, err := m.parent(path)
	if err != nil {
		return err
	}
	if old := at.kids[name]; old != nil && old.ino.dir() && ino.dir() {
		old.ino, old.layer = ino, m.layer
		return nil
	}
	_, err = m.add(at, name, ino)
	return err
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
	at, name, err := m.parent(path)
	if err != nil || at == m.root {
		return path // upper layers have a file or a circle of links there, and replace the directory
	}
	_ = m.step(int64(at.length) >> 6) // a short name may stand for a path of a megabyte, in each of a million entries
	return at.path() + "/" + name
}
