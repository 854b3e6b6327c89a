package boot

import (
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
)

// Describe returns what the record says of an image that was asked for by a reference.
func Describe(img *image.Image, asked string) record.Image {
	d := record.Image{
		Asked: asked, Name: img.Name, From: img.From,
		Config: img.ConfigDigest.String(), Platform: img.Platform.String(),
	}
	if img.Digest != img.ConfigDigest { // else docker saved it, without a manifest
		d.Manifest = img.Digest.String()
	}
	if img.Root != img.Digest {
		d.Index = img.Root.String()
	}
	return d
}

// record returns the bytes of the record for a bundle that is complete otherwise. A boot does not fail for its record.
func (b *Boot) record(made *bundle.Bundle) []byte {
	r := b.Record()
	r.Signers = b.signers
	r.Time = time.Now()
	r.Initrd = record.Initrd{Root: string(made.Root), RootHash: made.RootHash,
		Packing: made.Packing.String(), Bytes: made.Size}
	r.Memory.Needed = made.Memory
	if room, err := b.Budget.Room(); err == nil {
		r.Memory.Total, r.Memory.Available = room.Total, room.Available
	}
	content, err := r.Marshal()
	if err != nil {
		b.logf("the booted system gets no %s: %v", record.File, err)
		return nil
	}
	return content
}
