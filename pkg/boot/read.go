package boot

import (
	"context"
	"fmt"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// maxBytes is how much the layers of an image may hold uncompressed where a disk has room for it.
const maxBytes = 64 << 30

// Read checks that all policies accept the image. Then it reads the image's layers, with those of the machine's own on
// top, into a tree.
func (b *Boot) Read(ctx context.Context, img *image.Image, own ...rootfs.Layer) (*rootfs.Tree, error) {
	verdict, err := b.Policies.Check(ctx, img)
	switch {
	case policy.Refused(err):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("cannot verify its signatures: %w", err)
	}
	if verdict.Signed {
		b.logf("the image is signed, as the policy asks: key %s", strings.Join(verdict.Keys, ", key "))
	}
	b.signers = nil
	for _, key := range verdict.Keys {
		b.signers = append(b.signers, "sha256:"+key)
	}
	size := img.Size()
	room, err := b.room(size)
	if err != nil {
		return nil, err
	}
	opt := room.Reading(size)
	opt.Grow, opt.Formats, opt.SkipDiffIDs, opt.Store = b.Budget.Enough, b.Formats, b.SkipDiffIDs, b.Store
	var disk int64
	if b.Overflow != nil {
		disk = b.Free()
		opt.Overflow, opt.MaxBytes = b.Overflow, min(max(opt.Memory+disk, 1), maxBytes)
	} else if err := room.CanDownload(size); err != nil {
		return nil, err
	}
	layers := make([]rootfs.Layer, 0, len(img.Layers)+len(own))
	for _, l := range img.Layers {
		layers = append(layers, l)
	}
	tree, err := rootfs.Read(ctx, append(layers, own...), opt)
	if rootfs.TooMuch(err) {
		err = tooMuch(err, room, disk)
	}
	return tree, err
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
