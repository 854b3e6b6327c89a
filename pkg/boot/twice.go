package boot

import (
	"context"
	"errors"
	"runtime/debug"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// reading is what is read into one tree.
type reading struct {
	layers []rootfs.Layer
	sizes  []int64 // of the layers that are downloaded, which are the lowest; negative if not known
	size   int64   // of all of them
	opt    rootfs.Options
	room   bundle.Room
}

// canDownload refuses what this machine cannot hold, before anything is downloaded.
func (b *Boot) canDownload(r *reading) error {
	if b.canReadTwice(r) {
		return r.room.CanReadTwice(r.size)
	}
	return r.room.CanDownload(r.size)
}

// canReadTwice reports whether it may help to read the layers twice. In a single layer nothing is hidden but by the
// machine's own, which are small. And a root that is unpacked takes more memory when it boots than its layers do here.
func (b *Boot) canReadTwice(r *reading) bool { return len(r.sizes) > 1 && b.packer != nil }

// tree reads the layers: once if they fit into the memory all together, else twice.
func (b *Boot) tree(ctx context.Context, r *reading) (*rootfs.Tree, error) {
	if !b.canReadTwice(r) {
		return rootfs.Read(ctx, r.layers, r.opt)
	}
	if !r.room.Twice(b.waits(r.size)) {
		tree, err := rootfs.Read(ctx, r.layers, r.opt)
		if !errors.As(err, new(*bundle.Shortage)) {
			return tree, err
		}
		// They are packed less tightly than they were stored.
		debug.FreeOSMemory()
		if b.Spare != nil {
			b.Spare()
		}
		if err := b.packFor(bundle.Root(b.packer.Kind()), &r.opt); err != nil {
			return nil, err
		}
		b.again(r.size)
	}
	b.logf("memory is tight: reading the layers twice, so that none of it goes to files that upper layers hide")
	r.opt.AtOnce = 1
	r.opt.Twice = func(first rootfs.First) error {
		debug.FreeOSMemory()
		room, err := b.Budget.Room()
		if err == nil {
			err = room.CanKeep(first.Tree.Stat().Bytes, first.Bytes, r.size)
		}
		return err
	}
	return rootfs.Read(ctx, r.layers, r.opt)
}

// waits returns about how much memory layers of so many bytes need while they wait. EROFS keeps them as they are, and
// those of distributions are 2.4 to 3.8 times as large then.
func (b *Boot) waits(size int64) int64 {
	if b.packer.Kind() == string(bundle.EROFS) {
		return 3 * size
	}
	return size
}

// again tells that so many bytes are downloaded once more.
func (b *Boot) again(n int64) {
	if b.Again != nil && n > 0 {
		b.Again(n)
	}
}
