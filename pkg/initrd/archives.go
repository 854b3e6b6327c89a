package initrd

import (
	"context"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// segmentSize is the size up to which records share an archive that is compressed with zstd.
const segmentSize = 4 << 20

// archives lays out several archives in a row, each in a zstd frame of its own, which the kernel reads as one. Frames
// that are ready go over as they are. With Mixed the first of the other archives stay uncompressed.
func (b *builder) archives(ctx context.Context) error {
	b.form = archives
	if b.Compression == Mixed {
		b.spare = b.Plain
	}
	if err := b.segments(ctx, b.heads()); err != nil {
		return err
	}
	b.end()
	loose := b.files[:0]
	for _, ref := range b.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := ref.Node()
		if p, ok := b.ready.frame(b.rules, n); ok {
			b.pack(p)
			continue
		}
		loose = append(loose, ref) // which makes it the next entry
		b.segment(n, nil)
	}
	b.files = loose
	if err := b.segments(ctx, b.len()); err != nil {
		return err
	}
	b.end()
	return nil
}

// pack has a frame go over as it is. The files in a frame come one after the other.
func (b *builder) pack(p packed) {
	b.result.Records++
	if b.last == p {
		return
	}
	b.last = p
	if b.large {
		b.end()
	}
	b.flush()
	b.pieces = append(b.pieces, p)
}

// segments adds the entries up to one.
func (b *builder) segments(ctx context.Context, end int) error {
	for b.next < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.segment(b.at(b.next))
	}
	return nil
}

// segment adds the next entry to the archive that is open, or to a new one if it does not fit. All names of a file are
// in one archive: the kernel forgets them at the trailer.
func (b *builder) segment(n *rootfs.Node, own *File) {
	e := b.names.next(b.rules, n, own)
	if size := e.content(); !e.again && (b.large || b.archive+size > segmentSize) {
		b.end()
		b.large = size > segmentSize
		b.plain = b.large && b.stays(size)
	}
	b.add(e)
}
