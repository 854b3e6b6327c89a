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
	layer  int32 // the layer that put it here, or that last described it if it is a directory
	pruned int32 // the layer during which all that lower layers had below it was removed
	gone   int32 // how many names were taken out of kids
	way    bool  // a way that is remembered may lead through it
}

func (n *inode) dir() bool     { return n.mode&typeMask == typeDir }
func (n *inode) symlink() bool { return n.mode&typeMask == typeSymlink }

// implied is a directory that no layer describes: what umoci and docker make for a name whose parent is missing.
func implied() *inode { return &inode{mode: typeDir | 0o755, layer: -1} }

const (
	noLayer  = -1
	maxDepth = 4 << 10 // PATH_MAX, more than any path has components
	// maxPaths bounds the lengths of all paths of the tree together, in bytes: below links a short name can be that of a path
	// with thousands of directories, and whoever goes through the tree writes all of them down.
	maxPaths = 1 << 30
	// Names to be looked up: an image of a million entries, ten directories deep, has as many as the first where none of its
	// directories is remembered.
	maxSteps, maxStepsEach = 1 << 26, 64
)

// merger applies layers to a tree.
type merger struct {
	resolver
	names int // in the tree
	max   int
	paths int64 // the sum of the lengths of the tree's paths

	layer   int32
	pending []*dentry         // hard links of this layer whose targets had not been seen
	waiting map[*inode]*entry // the same by the inode that stands in for them
}

func newMerger(ctx context.Context, maxEntries int) *merger {
	m := &merger{max: maxEntries, names: 1}
	m.ctx, m.most = ctx, maxSteps
	m.root = &dentry{ino: implied(), layer: noLayer, pruned: noLayer}
	m.root.parent = m.root
	return m
}

// apply puts one layer on top. Entries count in the order of the archive, but no whiteout touches what its own layer
// brings, wherever it stands: "Whiteout files MUST only apply to resources in lower/parent layers."
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
		if m.stop != nil { // the last two take errors for answers
			err = m.stop
		}
		if err != nil {
			return fmt.Errorf("%s %w", Quote(e.path), err)
		}
	}
	return m.settle()
}

// split cuts the last component off.
func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// lookup finds a path, without following a link in the last place. The path is clean.
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

// parent returns the directory that path's last component goes into, made where it is missing, and that component.
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

// add makes a new name, in place of what has it.
func (m *merger) add(at *dentry, name string, ino *inode) (*dentry, error) {
	if old := at.kids[name]; old != nil {
		m.forget(old)
	}
	if m.names++; m.names > m.max {
		return nil, fmt.Errorf("is %w: the image has more than %d entries", errTooMuch, m.max)
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

// forget takes a name with all that is below out of the count and out of the tree.
func (m *merger) forget(d *dentry) {
	at := d.parent
	delete(at.kids, d.name)
	// A map keeps the room that it had, and who goes through it goes through that.
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
	d.parent = nil // a pending link sees by this that it is gone
}

// put applies an entry that describes a file. A directory over a directory changes it; anything else takes the
// place of what was there, a symbolic link included, which is not followed.
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

// link applies a hard link. As link(2) does, it does not follow a symbolic link as its target but links to it.
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
		// It may come later in this layer. Until then the name is taken, by a file of no account.
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

// settle links the names that came before their targets.
func (m *merger) settle() error {
	final := map[*inode]*inode{} // where a placeholder leads
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
		m.gone(d) // as what it was: it may be a symbolic link now
	}
	return nil
}

// remove hides a path of lower layers.
func (m *merger) remove(path string) {
	dir, name := split(path)
	at, err := m.dir(dir, nil)
	if err != nil {
		return // lower layers have no such path: nothing to hide
	}
	if d := at.kids[name]; d != nil {
		m.prune(d)
	}
}

// empty hides all that lower layers have in a directory.
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

// prune removes what lower layers brought to d and below, and says whether something is left. A directory stays for
// what this layer has put into it; if this layer has not described it, it is as if made for that.
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
