package rootfs

import (
	"context"
	"errors"
	"fmt"
)

// Restore puts the contents of the tree into other stores, one for each layer, which open makes. The memory of the old
// ones is given back on the way. Contents that upper layers have replaced are not taken along, and with them the tree
// that Under has returned loses its contents. After an error no content can be read any more.
func (t *Tree) Restore(ctx context.Context, open func() (Store, error)) error {
	_, files, err := t.Order(ctx)
	if err != nil {
		return err
	}
	t.under = nil
	from := t.Contents(ctx, true)
	defer from.Close()
	for i, s := range t.layers {
		n := 0
		for n < len(files) && int(files[n].d.ino.layer) == i {
			n++
		}
		to, err := open()
		if err != nil {
			return err
		}
		err = errors.Join(restore(ctx, from, to, files[:n]), from.Close(), s.content.Close())
		files, s.content = files[n:], to
		if err != nil {
			return err
		}
	}
	return nil
}

// restore puts the contents of files of one layer into another store.
func restore(ctx context.Context, from *Contents, to Store, files []Ref) error {
	var last *inode
	for _, f := range files {
		i := f.d.ino
		if !i.regular() || i.size == 0 || i == last { // another name of the same file comes next to it
			continue
		}
		last = i
		content, err := from.Of(f.Node())
		if err != nil {
			return err
		}
		off, err := to.Add(i.file(), content)
		if err != nil {
			return fmt.Errorf("%s: %w", Quote(f.d.path()), err)
		}
		i.off = off
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return to.Seal()
}
