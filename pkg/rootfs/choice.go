package rootfs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"golang.org/x/sys/unix"
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

// What Linux takes of a name, and of a symbolic link: NAME_MAX, and PATH_MAX without the zero at its end. Since 6.9 it
// takes no longer link from a file system than a page.
const (
	maxName   = unix.NAME_MAX
	maxTarget = unix.PathMax - 1
)

// Mountable returns why Linux would not take a file from a file system: its name, or the path that it links to.
func Mountable(n *Node) error {
	name := n.Path[strings.LastIndexByte(n.Path, '/')+1:]
	switch {
	case len(name) > maxName:
		return fmt.Errorf("%s has a name of %d bytes; Linux takes %d", Quote(n.Path), len(name), maxName)
	case len(n.Target) > maxTarget:
		return fmt.Errorf("%s is a symbolic link to a path of %d bytes; Linux takes %d", Quote(n.Path), len(n.Target),
			maxTarget)
	}
	return nil
}

// Visit calls path for every path that is in the image, in order, directories before what is in them. name is the last
// part of the path. It calls leave when all of the directory has come that was entered last and not left yet. A name or
// a link that Linux would not take is an error.
func (c *Choice) Visit(ctx context.Context, path func(n *Node, name string) error, leave func() error) error {
	var open []string // from the root to the directory whose entries come
	for n, err := range c.Chosen(ctx) {
		if err != nil {
			return err
		}
		parent, name := ".", n.Path
		if i := strings.LastIndexByte(n.Path, '/'); i >= 0 {
			parent, name = n.Path[:i], n.Path[i+1:]
		}
		for n.Path != "." && open[len(open)-1] != parent {
			open = open[:len(open)-1]
			if err := leave(); err != nil {
				return err
			}
		}
		if err := Mountable(n); err != nil {
			return err
		}
		if err := path(n, name); err != nil {
			return err
		}
		if n.Dir() {
			open = append(open, n.Path)
		}
	}
	for range open {
		if err := leave(); err != nil {
			return err
		}
	}
	return nil
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
