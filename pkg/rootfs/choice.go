package rootfs

import (
	"context"
	"errors"
	"iter"
)

// Choice is what of a tree is in a file system image.
type Choice struct {
	*Tree
	// Skip leaves a path out, which is not a directory; nil leaves nothing out.
	Skip func(*Node) bool

	less map[Identity]uint32 // how many names of a file are left out
}

// Chosen yields every path that is in the image, as Tree.All does.
func (c *Choice) Chosen(ctx context.Context) iter.Seq2[*Node, error] {
	return func(yield func(*Node, error) bool) {
		less := map[Identity]uint32{}
		for n, err := range c.All(ctx) {
			if err == nil && c.Skip != nil && !n.Dir() && c.Skip(n) {
				less[n.Identity()]++
				continue
			}
			if !yield(n, err) {
				return
			}
		}
		c.less = less
	}
}

// Contents yields the regular files in the image that are not empty, each by all its names.
func (c *Choice) Contents(ctx context.Context) iter.Seq2[*Node, error] {
	return func(yield func(*Node, error) bool) {
		for n, err := range c.Chosen(ctx) {
			if (err != nil || n.Regular() && n.Size > 0) && !yield(n, err) {
				return
			}
		}
	}
}

// LinksOf returns how many names a file has in the image. It is right once Chosen has yielded all paths.
func (c *Choice) LinksOf(n *Node) uint32 { return uint32(n.Links) - c.less[n.Identity()] }

var errOther = errors.New("the contents were not packed for it")

// StoresOf returns the stores of all layers, lowest first, if all are those of one packer.
func StoresOf[S Store](t *Tree, ours func(S) bool) ([]S, error) {
	var list []S
	for _, store := range t.Stores() {
		s, ok := store.(S)
		if !ok || !ours(s) {
			return nil, errOther
		}
		list = append(list, s)
	}
	return list, nil
}

// StoredIn returns in which of these stores the content of a regular file is that is not empty, and where.
func StoredIn[S Store](t *Tree, n *Node) (s S, off int64, err error) {
	content, off := t.Stored(n)
	s, ok := content.(S)
	if !ok {
		err = errOther
	}
	return s, off, err
}
