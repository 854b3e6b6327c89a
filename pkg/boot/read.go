package boot

import (
	"context"
	"fmt"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/erofs"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/squashfs"
)

// maxBytes is how much the layers of an image may hold uncompressed where a disk has room for it.
const maxBytes = 64 << 30

// Read reads one image: see ReadStack.
func (b *Boot) Read(ctx context.Context, img *image.Image, own ...rootfs.Layer) (*rootfs.Tree, error) {
	return b.ReadStack(ctx, Stack{Image: Part{Image: img}}, own...)
}

// ReadStack checks that all policies accept each image. Then it reads the layers of all images, with those of the
// machine's own on top, into a tree. The memory is compared with the sizes of all images before any layer is read.
func (b *Boot) ReadStack(ctx context.Context, s Stack, own ...rootfs.Layer) (*rootfs.Tree, error) {
	if n := len(s.Overlays); n > MaxOverlays {
		return nil, fmt.Errorf("there are %d overlays (wyr.overlay), and an image may have %d", n, MaxOverlays)
	}
	if err := b.check(ctx, s); err != nil {
		return nil, err
	}
	size := s.Size()
	room, err := b.room(size)
	if err != nil {
		return nil, err
	}
	opt := room.Reading(size)
	opt.Grow, opt.Formats, opt.SkipDiffIDs, opt.Store = b.Budget.Enough, b.Formats, b.SkipDiffIDs, b.Store
	if err := b.pack(&opt, room, size); err != nil {
		return nil, err
	}
	r := &reading{size: size, room: room}
	for _, l := range s.Layers() {
		r.layers, r.sizes = append(r.layers, l), append(r.sizes, l.Size)
	}
	r.layers = append(r.layers, own...)
	var disk int64
	if b.Overflow != nil {
		disk = b.Free()
		opt.Overflow, opt.MaxBytes = b.Overflow, min(max(opt.Memory+disk, 1), maxBytes)
	} else if err := b.canDownload(r); err != nil {
		return nil, err
	}
	if k := s.Kernel.Image; k != nil {
		opt.Under = len(k.Layers)
	}
	opt.Early = early(r.sizes)
	opt.Again = func(layer int) {
		if layer < len(r.sizes) {
			b.again(r.sizes[layer])
		}
	}
	r.opt = opt
	tree, err := b.tree(ctx, r)
	if rootfs.TooMuch(err) {
		err = tooMuch(err, room, disk)
	}
	return tree, err
}

// pack has the contents of layers of so many bytes packed as the root wants them.
func (b *Boot) pack(opt *rootfs.Options, room bundle.Room, size int64) error {
	b.packer = nil
	root := b.Root
	switch {
	case root != bundle.Auto:
	case b.Verity == "yes": // of which unpacked files have nothing
		root = bundle.SquashFS
	default:
		if b.Target != nil {
			room = *b.Target
		}
		root = room.Expect(size)
	}
	if !root.IsImage() {
		return nil
	}
	if root == bundle.SquashFS {
		opt.Cores /= 2 // it packs on all of them
	}
	return b.packFor(root, opt)
}

// packFor has contents packed for a root that is an image.
func (b *Boot) packFor(root bundle.Root, opt *rootfs.Options) (err error) {
	if b.packer, err = newPacker(root, opt.Grow); err == nil {
		opt.Store = b.packer.Store
	}
	return err
}

// newPacker returns what packs contents for a root that is an image.
func newPacker(root bundle.Root, grow func() error) (bundle.Packer, error) {
	switch root {
	case bundle.SquashFS:
		// Kernels have been able to read zstd since Linux 4.14, and distributions enable it. Which kernel it will be is known
		// when all layers were read: see bundle.Root for one that cannot.
		return squashfs.New(squashfs.Options{Grow: grow})
	case bundle.EROFS:
		return erofs.New(erofs.Options{Grow: grow}), nil
	}
	return nil, fmt.Errorf("nothing makes a root of the form %q", root)
}

// room returns how much memory there is for an image whose layers have size bytes, after Spare if that is little.
func (b *Boot) room(size int64) (bundle.Room, error) {
	room, err := b.Budget.Room()
	if err != nil || b.Spare == nil || !room.Tight(size) {
		return room, err
	}
	b.Spare()
	return b.Budget.Room()
}

// tooMuch adds to the error about layers that hold more than this machine may read what helps. disk is how many bytes
// are free for Overflow, 0 without it.
func tooMuch(err error, room bundle.Room, disk int64) error {
	if disk > 0 {
		return &bundle.Shortage{Err: fmt.Errorf("%w: this machine has %d MiB of memory and %d MiB of the disk free; "+
			"make room there, or use a smaller image", err, room.Available>>20, disk>>20)}
	}
	return &bundle.Shortage{Err: fmt.Errorf("%w: this machine has %d MiB of memory free, "+
		"and nothing near as much is in the image as it is stored; "+
		"use a machine with more memory, or a smaller image", err, room.Available>>20)}
}
