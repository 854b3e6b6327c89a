package rootfs

import (
	"context"
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

// LinksOf returns how many names a file has in the image. It is right once Chosen has yielded all paths.
func (c *Choice) LinksOf(n *Node) uint32 { return uint32(n.Links) - c.less[n.Identity()] }
