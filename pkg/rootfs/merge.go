package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	typeMask    = unix.S_IFMT
	typeRegular = unix.S_IFREG
	typeDir     = unix.S_IFDIR
	typeSymlink = unix.S_IFLNK
)

// dentry is one name in the tree. Its parent is itself at the root.
type dentry struct {
	name   string
	parent *dentry
	kids   map[string]*dentry
	ino    *inode
	depth  int32
	length int32 // of its path
	layer  int32 // the layer that put it here, or that described it last if it is a directory
	pruned int32 // the layer that has removed everything that lower layers had below it
	gone   int32 // how many names were removed from kids
	way    bool  // what the resolver remembers may lead through it
}

func (n *inode) dir() bool     { return n.mode&typeMask == typeDir }
func (n *inode) symlink() bool { return n.mode&typeMask == typeSymlink }

// implied makes a directory that no layer describes, as umoci and docker do for a name whose parent is missing.
func implied() *inode { return &inode{mode: typeDir | 0o755, layer: -1} }

const (
	noLayer  = -1
	maxDepth = 4 << 10 // PATH_MAX, more than any path has components
	// maxPaths bounds the lengths of all paths of the tree together, in bytes. Below links, a short name in an
	// archive can stand for a path with thousands of directories, and each walk through the tree makes all of these
	// paths.
	maxPaths = 1 << 30
	// Bounds on the names that are looked up: for the image, and in addition for each entry. An image of a million
	// entries, ten directories deep, needs less than the first, even if no directory is remembered.
	maxSteps, maxStepsEach = 1 << 26, 64
)

// merger applies layers to a tree.
type merger struct {
	resolver
	names int // in the tree
	max   int
	paths int64        // the lengths of all paths of the tree together
	grow  func() error // is called for each new name, and says whether there is memory for it; nil always says yes

	layer   int32
	pending []*dentry         // hard links of this layer that came before their targets
	waiting map[*inode]*entry // the same by their placeholders
}

func newMerger(ctx context.Context, maxEntries int) *merger {
	m := &merger{max: maxEntries, names: 1}
	m.ctx, m.most = ctx, maxSteps
	m.root = &dentry{ino: implied(), layer: noLayer, pruned: noLayer}
	m.root.parent = m.root
	return m
}

// apply puts one layer on top. Entries are applied in the order of the archive. But a whiteout never removes what its
// own layer brings, before or after it: "Whiteout files MUST only apply to resources in lower/parent layers."
func (m *merger) apply(x *index, layer int32) error {
	m.layer, m.pending, m.waiting = layer, nil, map[*inode]*entry{}
	m.reset()
	m.most += maxStepsEach * int64(x.count)
	if err := m.ctx.Err(); err != nil {
		return err
	}
	for e := range x.all {
		err := m.step(1)
		switch {
		case err != nil:
		case e.kind == object:
			err = m.put(e)
		case e.kind == hardLink:
			err = m.link(e)
		case e.kind == whiteout:
			m.remove(e.path)
		case e.kind == opaque:
			m.empty(e.path)
		}
		if m.stop != nil { // remove and empty do not return errors
			err = m.stop
		}
		if err != nil {
			return fmt.Errorf("%s %w", Quote(e.path), err)
		}
	}
	return m.settle()
}

// split splits a path into its directory and its last component.
func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// lookup finds a clean path. It does not follow a link as the last component.
func (m *merger) lookup(path string) (*dentry, error) {
	dir, name := split(path)
	if name == "" {
		return m.root, nil
	}
	d, err := m.dir(dir, nil)
	switch {
	case err != nil:
		return nil, err
	case d.kids[name] == nil:
		return nil, fs.ErrNotExist
	}
	return d.kids[name], nil
}

// parent returns the directory of a path, and the last component. It makes directories that are missing.
func (m *merger) parent(path string) (*dentry, string, error) {
	dir, name := split(path)
	d, err := m.dir(dir, func(at *dentry, name string) (*dentry, error) {
		return m.add(at, name, implied())
	})
	switch {
	case errors.Is(err, errLoop):
		return nil, "", errors.New("lies below symbolic links that lead in a circle")
	case errors.Is(err, errNotDir):
		return nil, "", errors.New("lies below something that is not a directory")
	case err != nil:
		return nil, "", err
	case !d.ino.dir():
		return nil, "", errors.New("lies below something that is not a directory")
	}
	return d, name, nil
}

// add makes a new name. It replaces what has that name.
func (m *merger) add(at *dentry, name string, ino *inode) (*dentry, error) {
	if old := at.kids[name]; old != nil {
		m.forget(old)
	}
	if m.names++; m.names > m.max {
		return nil, fmt.Errorf("is %w: the image has more than %d entries", errTooMuch, m.max)
	}
	if m.grow != nil {
		if err := m.grow(); err != nil {
			return nil, err
		}
	}
	if at.depth == maxDepth {
		return nil, fmt.Errorf("lies deeper than %d directories", maxDepth)
	}
	d := &dentry{name: name, parent: at, ino: ino, depth: at.depth + 1, layer: m.layer, pruned: noLayer}
	if d.length = at.length + int32(len(name)); at != m.root {
		d.length++ // the slash
	}
	if m.paths += int64(d.length); m.paths > maxPaths {
		return nil, fmt.Errorf("is %w: the paths of the image's files have more than %d MiB", errTooMuch, maxPaths>>20)
	}
	if at.kids == nil {
		at.kids = map[string]*dentry{}
	}
	at.kids[name] = d
	m.changed()
	return d, nil
}

// forget removes a name and everything below it from the tree and from the count.
func (m *merger) forget(d *dentry) {
	at := d.parent
	delete(at.kids, d.name)
	// A map does not shrink, and iterating over it takes as long as when it was largest. So a new one is made.
	if at.gone++; at.gone > 64 && int(at.gone) > len(at.kids) {
		at.kids, at.gone = maps.Collect(maps.All(at.kids)), 0
	}
	m.drop(d)
}

func (m *merger) drop(d *dentry) {
	for _, kid := range d.kids {
		m.drop(kid)
	}
	m.names--
	m.paths -= int64(d.length)
	m.gone(d)
	d.parent = nil // tells settle that a pending link is gone
}

// put applies an entry that describes a file. A directory over a directory changes its mode, owner and so on.
// Anything else replaces what was there. If that is a symbolic link, it is not followed.
func (m *merger) put(e *entry) error {
	if e.path == "" {
		m.root.ino, m.root.layer = &e.inode, m.layer
		return nil
	}
	at, name, err := m.parent(e.path)
	if err != nil {
		return err
	}
	if old := at.kids[name]; old != nil && old.ino.dir() && e.inode.dir() {
		old.ino, old.layer = &e.inode, m.layer
		return nil
	}
	_, err = m.add(at, name, &e.inode)
	return err
}

// link applies a hard link. If the target is a symbolic link, it links to that and does not follow it, like link(2).
func (m *merger) link(e *entry) error {
	if e.path == "" {
		return errors.New("is a hard link in the place of the root directory")
	}
	at, name, err := m.parent(e.path)
	if err != nil {
		return err
	}
	target, err := m.lookup(e.link)
	if m.stop != nil {
		return m.stop
	}
	if err != nil || m.waiting[target.ino] != nil {
		// The target may come later in this layer. Until then a placeholder has the name.
		placeholder := &inode{mode: typeRegular, layer: noLayer}
		d, err := m.add(at, name, placeholder)
		if err != nil {
			return err
		}
		m.pending = append(m.pending, d)
		m.waiting[placeholder] = e
		return nil
	}
	if target.ino.dir() {
		return fmt.Errorf("is a hard link to %s, a directory", Quote(e.link))
	}
	if target == at.kids[name] {
		target.layer = m.layer
		return nil
	}
	_, err = m.add(at, name, target.ino)
	return err
}

// settle links the hard links that came before their targets.
func (m *merger) settle() error {
	final := map[*inode]*inode{} // the target of each placeholder
	for _, d := range m.pending {
		if d.parent == nil {
			continue // something else took its name
		}
		var chain []*inode
		ino := d.ino
		for {
			if f := final[ino]; f != nil {
				ino = f
				break
			}
			e := m.waiting[ino]
			if e == nil {
				break
			}
			chain = append(chain, ino)
			target, err := m.lookup(e.link)
			if m.stop == nil {
				m.step(1)
			}
			switch {
			case m.stop != nil:
				return m.stop
			case err != nil:
				return fmt.Errorf("%s is a hard link to %s, which does not exist", Quote(e.path), Quote(e.link))
			case target.ino.dir():
				return fmt.Errorf("%s is a hard link to %s, a directory", Quote(e.path), Quote(e.link))
			case len(chain) > len(m.waiting):
				return fmt.Errorf("%s is a hard link to itself by way of others", Quote(e.path))
			}
			ino = target.ino
		}
		for _, c := range chain {
			final[c] = ino
		}
		d.ino = ino
		m.gone(d) // what is remembered of it may be wrong: it may be a symbolic link now
	}
	return nil
}

// remove removes a path of lower layers.
func (m *merger) remove(path string) {
	dir, name := split(path)
	at, err := m.dir(dir, nil)
	if err != nil {
		return // lower layers have no such path
	}
	if d := at.kids[name]; d != nil {
		m.prune(d)
	}
}

// empty removes everything that lower layers have in a directory.
func (m *merger) empty(path string) {
	d, err := m.dir(path, nil)
	if err != nil || !d.ino.dir() || d.pruned == m.layer {
		return
	}
	d.pruned = m.layer
	for _, kid := range d.kids {
		m.prune(kid)
	}
}

// prune removes what lower layers brought to d and below, and reports whether something is left. A directory stays if
// this layer has put something into it. If this layer has not described it, it becomes an implied directory.
func (m *merger) prune(d *dentry) bool {
	if d.pruned == m.layer || m.step(1) != nil {
		return true
	}
	left := d.layer == m.layer
	for _, kid := range d.kids {
		if m.prune(kid) {
			left = true
		}
	}
	if !left {
		m.forget(d)
		return false
	}
	d.pruned = m.layer
	if d.layer != m.layer {
		d.ino, d.layer = implied(), m.layer
	}
	return true
}
