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

// SkipName is what Walk's visit returns for a path that it leaves out: a content that came with it is then offered
// again with the next name of the same file.
//
//lint:ignore ST1012 it is no failure, and has the form of fs.SkipDir
var SkipName = errors.New("skip this name")

// Open returns the content of a regular file of the tree. Its Read fails once the context is done.
func (t *Tree) Open(ctx context.Context, n *Node) (io.ReadCloser, error) {
	if !n.Regular() {
		return nil, fmt.Errorf("%q is not a regular file", n.Path)
	}
	c := t.layers[n.ino.layer].content.NewCursor(false)
	return struct {
		io.Reader
		io.Closer
	}{&heard{ctx, section(c, n.ino)}, c}, nil
}

// heard is a content whose reader hears a context.
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

func section(c *spool.Cursor, i *inode) *io.SectionReader {
	return io.NewSectionReader(c, i.off, i.size)
}

// Walk calls visit for every path: all directories first, parents before what is in them; then all else in the order
// in which the layers hold it, the names of one file one after the other. content is not nil for the first name of
// each regular file; visit need not read it. An error of visit other than SkipName ends the walk and is returned.
func (t *Tree) Walk(ctx context.Context, visit func(n *Node, content io.Reader) error) error {
	return t.walk(ctx, false, visit)
}

// Consume is a Walk that gives the memory of contents back on the way, so that what visit makes of them can take its
// place. Afterwards, also after an error, no content can be read any more.
func (t *Tree) Consume(ctx context.Context, visit func(n *Node, content io.Reader) error) error {
	return t.walk(ctx, true, visit)
}

func (t *Tree) walk(ctx context.Context, release bool, visit func(n *Node, content io.Reader) error) (err error) {
	var files []*dentry
	for d := range t.root.all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !d.ino.dir() {
			files = append(files, d)
			continue
		}
		if err := visit(d.node(), nil); err != nil && err != SkipName {
			return err
		}
	}
	// Stable: the names of one file stay in their order.
	slices.SortStableFunc(files, func(a, b *dentry) int {
		return cmp.Or(cmp.Compare(a.ino.layer, b.ino.layer), cmp.Compare(a.ino.seq, b.ino.seq))
	})

	var c *spool.Cursor
	var from *spool.Spool
	defer func() {
		if c == nil {
			return
		}
		if e := c.Close(); err == nil {
			err = e
		}
	}()
	var last *inode
	for _, d := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		var content io.Reader
		if i := d.ino; i != last && i.regular() {
			if s := t.layers[i.layer].content; s != from {
				if c != nil {
					if err := c.Close(); err != nil {
						return err
					}
				}
				c, from = s.NewCursor(release), s
			}
			content = &heard{ctx, section(c, i)}
		}
		switch err := visit(d.node(), content); {
		case err == nil:
			last = d.ino
		case err != SkipName:
			return err
		}
	}
	return nil
}
