package initrd

import (
	"cmp"
	"context"
	"io"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// Write writes the tree as one archive, and as one frame or member if it is compressed: the kernel reads no further
// than the first. Parents come before what is in them, and contents in the order in which the tree's Walk reads them.
func Write(ctx context.Context, out io.Writer, t *rootfs.Tree, opt Options) (Result, error) {
	opt.Single = true
	l, err := layOut(ctx, t, newRules(opt))
	if err != nil {
		return Result{}, err
	}
	w := newWriter(ctx, l, t.Contents(ctx, false))
	return l.result, cmp.Or(w.single(out), w.contents.Close())
}

// Make makes the archive in memory, out of the tree's contents. None of them can be read any more, and the file takes
// their place. Records that wait in package spool as they are to be are not made again. Without compression the file
// of the largest layer's spool becomes the archive; with Zstd and Mixed, packed frames go over as they are. These two
// are several archives in a row, which the kernel reads as one; cpio(1) stops at the end of the first.
func Make(ctx context.Context, t *rootfs.Tree, opt Options) (*os.File, Result, error) {
	l, err := layOut(ctx, t, newRules(opt))
	if err != nil {
		return nil, Result{}, err
	}
	f, err := l.file()
	if err != nil {
		return nil, Result{}, err
	}
	w := newWriter(ctx, l, t.Contents(ctx, true))
	if err := cmp.Or(w.file(f), w.contents.Close()); err != nil {
		f.Close()
		return nil, Result{}, err
	}
	return f, l.result, nil
}

// file returns the file that the initrd is made in.
func (l *layout) file() (*os.File, error) {
	if l.form == inPlace {
		return l.base.Take(), nil
	}
	return memory.File("initrd")
}

// file writes the initrd.
func (w *writer) file(f *os.File) error {
	grow := eachMiB(w.Grow)
	switch w.form {
	case inPlace:
		return w.inPlace(f, grow)
	case archives:
		return w.archives(memory.NewWriter(f, 0, grow))
	}
	return w.single(memory.NewWriter(f, 0, grow))
}

// eachMiB returns what counts the bytes that are written, and calls grow after each MiB.
func eachMiB(grow func() error) func(int64) error {
	var since int64
	return func(n int64) error {
		if since += n; since <= 1<<20 || grow == nil {
			return nil
		}
		since = 0
		return grow()
	}
}

// Waiting estimates what Make would make with Zstd or Mixed, in bytes, as the sum of the pieces. packed is the size
// of the frames that are packed already and go over as they are, loose the size of everything else before
// compression. held is the memory that is given back on the way. A tree that Make refuses has an estimate too.
func Waiting(ctx context.Context, t *rootfs.Tree) (packed, loose, held int64, err error) {
	r := newRules(Options{Compression: Zstd})
	r.estimate = true
	l, err := layOut(ctx, t, r)
	if err != nil {
		return 0, 0, 0, err
	}
	for _, s := range t.Spools() {
		held += s.Stored()
	}
	packed, loose = l.sums()
	return packed, loose, held, nil
}
