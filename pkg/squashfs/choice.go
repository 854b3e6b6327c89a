package squashfs

import (
	"context"
	"iter"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// choice is what of a tree is in the image.
type choice struct {
	*rootfs.Tree
	skip func(*rootfs.Node) bool    // leaves a path out; nil leaves nothing out
	less map[rootfs.Identity]uint32 // how many names of a file are left out; complete after all has run once
}

// all yields every path that is in the image, as Tree.All does.
func (c *choice) all(ctx context.Context) iter.Seq2[*rootfs.Node, error] {
	return func(yield func(*rootfs.Node, error) bool) {
		less := map[rootfs.Identity]uint32{}
		for n, err := range c.All(ctx) {
			if err == nil && c.skip != nil && !n.Dir() && c.skip(n) {
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

// links returns how many names a file has in the image.
func (c *choice) links(n *rootfs.Node) uint32 { return uint32(n.Links) - c.less[n.Identity()] }
