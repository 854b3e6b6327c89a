package rootfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// SkipName is what Walk's visit returns for a path that it leaves out. If a content came with the path, it comes
// again with the next name of the same file.
//
//lint:ignore ST1012 it is no failure, and has the form of fs.SkipDir
var SkipName = errors.New("skip this name")

// Open returns the content of a regular file of the tree. Open and Read fail once the context is done.
func (t *Tree) Open(ctx context.Context, n *Node) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !n.Regular() {
		return nil, fmt.Errorf("%q is not a regular file", n.Path)
	}
	c := t.layers[n.ino.layer].content.Open(false)
	return struct {
		io.Reader
		io.Closer
	}{section(ctx, c, n.ino), c}, nil
}

// heard is a content whose Read fails once the context is done.
type heard struct {
	ctx context.Context
	r   io.Reader
}

func (h *heard) Read(p []byte) (int, error) {
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	return h.r.Read(p)
}

func section(ctx context.Context, c Reader, i *inode) io.Reader {
	return &heard{ctx, io.NewSectionReader(c, i.off, i.size)}
}

// Ref refers to a path of a tree. It takes much less memory than a Node.
type Ref struct{ d *dentry }

// Node makes the node.
func (r Ref) Node() *Node { return r.d.node() }

// Order returns every path in the order of Walk: all directories, parents before what is in them; then all else in the
// order in which the layers hold it, the names of one file one after the other.
func (t *Tree) Order(ctx context.Context) (dirs, files []Ref, err error) {
	// One allocation: directories from the front, all else from the back.
	all := make([]Ref, t.stat.Entries)
	front, back := 0, len(all)
	for d := range t.root.all {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if d.ino.dir() {
			all[front] = Ref{d}
			front++
		} else {
			back--
			all[back] = Ref{d}
		}
	}
	dirs, files = all[:front:front], all[front:]
	slices.Reverse(files)
	// Stable: the names of one file stay in the order of their paths.
	slices.SortStableFunc(files, func(a, b Ref) int {
		return cmp.Or(cmp.Compare(a.d.ino.layer, b.d.ino.layer), cmp.Compare(a.d.ino.seq, b.d.ino.seq))
	})
	return dirs, files, nil
}

// Walk calls visit for every path, in the order of Order. content is not nil for the first name of each regular file;
// visit need not read it. An error of visit other than SkipName ends the walk and is returned.
func (t *Tree) Walk(ctx context.Context, visit func(n *Node, content io.Reader) error) (err error) {
	dirs, files, err := t.Order(ctx)
	if err != nil {
		return err
	}
	contents := t.Contents(ctx, false)
	defer func() {
		if e := contents.Close(); err == nil {
			err = e
		}
	}()
	var last *inode
	step := func(r Ref) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := r.Node()
		var content io.Reader
		if n.Regular() && n.ino != last {
			r, err := contents.Of(n)
			if err != nil {
				return err
			}
			content = r
		}
		err := visit(n, content)
		if err == nil {
			last = n.ino
		}
		return err
	}
	for _, refs := range [][]Ref{dirs, files} {
		for _, r := range refs {
			if err := step(r); err != nil && err != SkipName {
				return err
			}
		}
	}
	return nil
}

// Contents reads the contents of a tree one after the other. That is quick in the order of Order, and with release only
// possible in that order. Whoever asks for it closes it.
type Contents struct {
	tree    *Tree
	ctx     context.Context
	release bool
	store   Store
	cursor  Reader // of store; nil at first
}

// Contents begins reading contents. With release, memory is given back on the way, so that what is made of the
// contents can take its place: the memory before the content that is being read, and all memory of the spools that
// were left. Afterwards, also after an error, no content can be read any more.
func (t *Tree) Contents(ctx context.Context, release bool) *Contents {
	return &Contents{tree: t, ctx: ctx, release: release}
}

// Of returns the content of a regular file of the tree. It can be read until Of, Reach or Close is called again.
func (c *Contents) Of(n *Node) (io.Reader, error) {
	if err := c.reach(c.tree.layers[n.ino.layer].content); err != nil {
		return nil, err
	}
	return section(c.ctx, c.cursor, n.ino), nil
}

// Reach leaves the spool of the content that was read last, if s is another one.
func (c *Contents) Reach(s *spool.Spool) error { return c.reach(spooled{s}) }

func (c *Contents) reach(s Store) error {
	if s == c.store {
		return nil
	}
	err := c.Close()
	c.store, c.cursor = s, s.Open(c.release)
	return err
}

// Close ends reading.
func (c *Contents) Close() error {
	if c.cursor == nil {
		return nil
	}
	err := c.cursor.Close()
	c.store, c.cursor = nil, nil
	return err
}
