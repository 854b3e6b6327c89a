package initrd

import (
	"context"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// list is everything that an archive has records of, in their order: the root directory, which the kernel otherwise
// keeps as its own, writable to all; Options.Extra; all other directories; all other files of the tree; Options.Last.
type list struct {
	*rules
	root  []rootfs.Ref // none if Options.Extra replaces it
	dirs  []rootfs.Ref
	files []rootfs.Ref
	ready stock
}

// gather lists what of a tree is in the archive. It refuses what an archive cannot hold.
func gather(ctx context.Context, t *rootfs.Tree, r *rules) (*list, error) {
	dirs, files, err := t.Order(ctx)
	if err != nil {
		return nil, err
	}
	l := &list{rules: r, ready: newStock(t)}
	if l.dirs, err = l.choose(ctx, dirs); err != nil {
		return nil, err
	}
	if l.files, err = l.choose(ctx, files); err != nil {
		return nil, err
	}
	if _, replaced := r.extra["."]; !replaced {
		l.root, l.dirs = l.dirs[:1], l.dirs[1:]
	}
	for _, own := range [][]File{r.Extra, r.Last} {
		for _, f := range own {
			if err := r.check(&f.Node, f.Node.Path); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// choose drops the paths that the archive does not have.
func (l *list) choose(ctx context.Context, refs []rootfs.Ref) ([]rootfs.Ref, error) {
	kept := refs[:0]
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := ref.Node()
		ok, err := l.wants(n)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if err := l.check(n, l.path(n)); err != nil {
			return nil, err
		}
		kept = append(kept, ref)
		l.ready.count(l.rules, n)
	}
	return kept, nil
}

// heads returns how many entries come before the files of the tree: directories, and Options.Extra.
func (l *list) heads() int { return len(l.root) + len(l.Extra) + len(l.dirs) }

// len returns how many entries there are.
func (l *list) len() int { return l.heads() + len(l.files) + len(l.Last) }

// at returns the node of an entry, and the file if the tree does not have it.
func (l *list) at(i int) (*rootfs.Node, *File) {
	if i < len(l.root) {
		return l.root[i].Node(), nil
	}
	i -= len(l.root)
	if i < len(l.Extra) {
		return &l.Extra[i].Node, &l.Extra[i]
	}
	i -= len(l.Extra)
	if i < len(l.dirs) {
		return l.dirs[i].Node(), nil
	}
	i -= len(l.dirs)
	if i < len(l.files) {
		return l.files[i].Node(), nil
	}
	i -= len(l.files)
	return &l.Last[i].Node, &l.Last[i]
}
