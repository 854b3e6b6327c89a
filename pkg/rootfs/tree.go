package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// Tree is the file system that an image's layers make together. Its methods may be used from several goroutines,
// Close excepted.
type Tree struct {
	layers []*stored
	missed int // how many of them, the last ones, have contents that were read later: see hidden
	root   *dentry
	stat   Stat
	pages  [len(pageSizes)]int64 // Stat.Pages for each size
	under  *Tree                 // see Under

	mu   sync.Mutex
	ways resolver // for Lookup and Lstat
}

// Node is one path of a tree. It is never changed once made.
type Node struct {
	Path         string // from the root, without a leading slash; "." is the root itself
	Mode         uint32 // st_mode, with the type in S_IFMT
	UID, GID     uint32
	Size         int64 // of a regular file's content, in bytes
	ModTime      time.Time
	Target       string // of a symbolic link
	Major, Minor uint32 // of a device
	Xattrs       map[string]string
	Links        int // how many paths of the tree are this file; 1 for a directory

	ino *inode
}

// Same reports whether n and o are hard links of the same file.
func (n *Node) Same(o *Node) bool { return n.ino != nil && n.ino == o.ino }

// Identity is the same for all hard links of a file, and only for these.
type Identity struct{ ino *inode }

// Identity returns the identity of a node of a tree.
func (n *Node) Identity() Identity { return Identity{n.ino} }

// Dir reports whether n is a directory.
func (n *Node) Dir() bool { return n.Mode&typeMask == typeDir }

// Regular reports whether n is a regular file.
func (n *Node) Regular() bool { return n.Mode&typeMask == typeRegular }

// Symlink reports whether n is a symbolic link.
func (n *Node) Symlink() bool { return n.Mode&typeMask == typeSymlink }

// Stat is the size of a tree.
type Stat struct {
	Entries int   // paths, the root included
	Inodes  int   // files and directories; hard links count once
	Bytes   int64 // of regular files
	Pages   int64 // of regular files too, but each rounded up to whole pages, as tmpfs keeps them
	Page    int64 // the size of such a page
	Xattrs  int   // files and directories with extended attributes
}

// pageSizes are the sizes of a page that kernels are built with.
var pageSizes = [...]int64{memory.Page, 16 << 10, 64 << 10}

// Read reads all layers, lowest first, and merges them. An error names the layer, and the path if there is one. The
// caller closes the tree.
func Read(ctx context.Context, layers []Layer, opt Options) (*Tree, error) {
	b := newBounds(opt)
	if b.Twice == nil {
		b.hidden = newHidden(b.Options, len(layers))
	}
	t := &Tree{layers: make([]*stored, len(layers))}
	err := b.each(ctx, layers, func(ctx context.Context, i int) (err error) {
		var content Store = nowhere{}
		if b.Twice == nil {
			if content, err = b.store(); err != nil {
				return err
			}
		}
		t.layers[i], err = readLayer(ctx, layers[i], int32(i), b, content)
		return err
	})
	if err == nil {
		err = t.merge(ctx, b)
	}
	switch {
	case err != nil:
	case b.Twice != nil:
		err = t.readAgain(ctx, layers, b)
	case b.hidden != nil:
		b.hidden = nil // its names are not needed any more
		err = t.readMissed(ctx, layers, b)
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// each calls read with the number of each layer, of several at the same time. The early ones are the first.
func (b *bounds) each(ctx context.Context, layers []Layer, read func(ctx context.Context, number int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(b.AtOnce)
	order := slices.Clone(b.Early)
	for i := range layers {
		if !slices.Contains(b.Early, i) {
			order = append(order, i)
		}
	}
	for _, i := range order {
		g.Go(func() error {
			if err := read(ctx, i); err != nil {
				return fmt.Errorf("%s: %w", layers[i], err)
			}
			return nil
		})
	}
	return g.Wait()
}

// outgrown is the error of Options.Grow. It ends reading as a bound does: the rest of the layer is not read.
type outgrown struct{ error }

func (o *outgrown) Unwrap() []error { return []error{errTooMuch, o.error} }

// TooMuch reports whether Read has failed because the layers are more than Options allow.
func TooMuch(err error) bool {
	return errors.Is(err, errTooMuch) && !errors.As(err, new(*outgrown))
}

// merge makes one tree of the layers, of which the lowest are those of an image under the others.
func (t *Tree) merge(ctx context.Context, b *bounds) error {
	m, under := newMerger(ctx, b.MaxEntries), b.Under
	m.grow = b.entry
	if under > 0 {
		if err := t.layUnder(m, under); err != nil {
			return err
		}
	}
	if err := m.applyAll(t.layers[under:], under); err != nil {
		return err
	}
	for _, s := range t.layers {
		s.index = index{} // the tree points at those entries that it needs
	}
	t.begin(m.root)
	return t.count(ctx)
}

// begin makes root the root of the tree.
func (t *Tree) begin(root *dentry) {
	t.root, t.ways.root = root, root
	t.ways.reset()
}

// count counts the names of each file, and what Stat returns.
func (t *Tree) count(ctx context.Context) error {
	for d := range t.root.all {
		if err := ctx.Err(); err != nil {
			return err
		}
		t.stat.Entries++
		ino := d.ino
		if ino.links++; ino.links > 1 {
			continue
		}
		t.stat.Inodes++
		if ino.xattrs != nil {
			t.stat.Xattrs++
		}
		if ino.regular() {
			t.stat.Bytes += ino.size
			for i, page := range pageSizes {
				t.pages[i] += (ino.size + page - 1) &^ (page - 1)
			}
		}
	}
	return nil
}

// all yields d and everything below it, parents first, names in order.
func (d *dentry) all(yield func(*dentry) bool) { d.visit(yield) }

func (d *dentry) visit(yield func(*dentry) bool) bool {
	if !yield(d) {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(d.kids)) {
		if !d.kids[name].visit(yield) {
			return false
		}
	}
	return true
}

// path returns the path of d, "." for the root.
func (d *dentry) path() string {
	if d.depth == 0 {
		return "."
	}
	path := make([]byte, d.length)
	for end := len(path); ; d = d.parent {
		end -= copy(path[end-len(d.name):], d.name)
		if end == 0 {
			return string(path)
		}
		end--
		path[end] = '/'
	}
}

func (d *dentry) node() *Node {
	i := d.ino
	return &Node{
		Path: d.path(), Mode: i.mode, UID: i.uid, GID: i.gid, Size: i.size, ModTime: time.Unix(i.sec, int64(i.nsec)),
		Target: i.target, Major: i.major, Minor: i.minor, Xattrs: i.xattrs, Links: int(i.links), ino: i,
	}
}

// Lookup finds a path. Symbolic links are followed within the tree: absolute ones begin at its root, and ".." does
// not lead out of it. The node has the path of what was found. If there is nothing, errors.Is(err, fs.ErrNotExist) is
// true.
func (t *Tree) Lookup(path string) (*Node, error) { return t.lookup(path, true) }

// Lstat is like Lookup, but does not follow a symbolic link as the last component.
func (t *Tree) Lstat(path string) (*Node, error) { return t.lookup(path, false) }

func (t *Tree) lookup(path string, follow bool) (*Node, error) {
	d, err := t.find(path, follow)
	if err != nil {
		return nil, &fs.PathError{Op: "lookup", Path: path, Err: err}
	}
	return d.node(), nil
}

func (t *Tree) find(path string, follow bool) (*dentry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ways.find(path, follow)
}

// Names returns the names in a directory, in order. Symbolic links are followed.
func (t *Tree) Names(path string) ([]string, error) {
	d, err := t.find(path, true)
	if err == nil && !d.ino.dir() {
		err = errNotDir
	}
	if err != nil {
		return nil, &fs.PathError{Op: "list", Path: path, Err: err}
	}
	return slices.Sorted(maps.Keys(d.kids)), nil
}

// All yields every path without its content, parents before what is in them. Once the context is done it yields the
// error of the context and ends.
func (t *Tree) All(ctx context.Context) iter.Seq2[*Node, error] {
	return func(yield func(*Node, error) bool) {
		for d := range t.root.all {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if !yield(d.node(), nil) {
				return
			}
		}
	}
}

// Place is where the content of a file waits to be written.
type Place struct {
	Spool *spool.Spool
	Off   int64 // in its stream
	// Intact says that the spool's record of the file is still true: the file has one name, the one that it had in
	// its layer.
	Intact bool
}

// Stored returns where the content of a node is: a store, and the place in its stream. The store is nil if the node is
// no regular file of the tree, or empty.
func (t *Tree) Stored(n *Node) (Store, int64) {
	i := n.ino
	if i == nil || !i.regular() || i.size == 0 {
		return nil, 0
	}
	return t.layers[i.layer].content, i.off
}

// Place returns where the content of a node is. There is none if the node is no regular file, or empty, or if its layer
// is not in a spool.
func (t *Tree) Place(n *Node) (Place, bool) {
	i := n.ino
	store, off := t.Stored(n)
	s, ok := store.(spooled)
	if !ok {
		return Place{}, false
	}
	return Place{s.Spool, off, i.links == 1 && n.Path == i.path}, true
}

// Stores returns the stores of all layers, lowest first.
func (t *Tree) Stores() []Store {
	var list []Store
	for _, s := range t.layers {
		list = append(list, s.content)
	}
	return list
}

// Spools returns the spools of all layers that are in one, lowest first.
func (t *Tree) Spools() []*spool.Spool {
	var list []*spool.Spool
	for _, s := range t.layers {
		if s, ok := s.content.(spooled); ok {
			list = append(list, s.Spool)
		}
	}
	return list
}

// Formats returns how the layers were compressed, lowest first: a name of package compression, or "" for not
// compressed.
func (t *Tree) Formats() []string {
	var list []string
	for _, s := range t.layers[:len(t.layers)-t.missed] {
		list = append(list, s.format)
	}
	return list
}

// Packed reports whether there was too little memory to keep all contents as they are.
func (t *Tree) Packed() bool {
	return slices.ContainsFunc(t.Spools(), func(s *spool.Spool) bool { return !s.Plain() })
}

// Stat returns the size of the tree.
func (t *Tree) Stat() Stat { return t.StatIn(memory.Page) }

// StatIn is Stat for a kernel whose pages have that many bytes.
func (t *Tree) StatIn(page int64) Stat {
	s := t.stat
	i := max(0, slices.Index(pageSizes[:], page))
	s.Page, s.Pages = pageSizes[i], t.pages[i]
	return s
}

// Close gives all memory back.
func (t *Tree) Close() error {
	var errs []error
	for _, s := range t.layers {
		if s != nil {
			errs = append(errs, s.content.Close())
		}
	}
	return errors.Join(errs...)
}
