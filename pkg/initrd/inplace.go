package initrd

import (
	"context"

	"gitlab.com/wyrcan/wyrcan/pkg/newc"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// inPlace lays out an uncompressed archive in the file of the spool that holds most of it: directories before the
// records that are ready there, if there is room, and everything else behind them. Without such a spool it lays out a
// new archive.
func (b *builder) inPlace(ctx context.Context) error {
	if err := b.addTo(ctx, b.heads()); err != nil {
		return err
	}
	front := int64(len(b.Early)) + b.archive
	if front <= spool.Front-newc.MinFiller {
		b.base = b.ready.base()
	}
	if b.base != nil {
		b.form = inPlace
		b.flush()
		b.pieces = append(b.pieces, filler{spool.Front - front})
		if err := b.keep(ctx); err != nil {
			return err
		}
	}
	return b.single(ctx)
}

// keep lays out the base: which ranges of it are kept. What is not kept remains in the list.
func (b *builder) keep(ctx context.Context) error {
	loose := b.files[:0]
	var run kept
	end := int64(0) // of the last record that is kept
	for _, ref := range b.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := ref.Node()
		p, ok := b.ready.at(b.rules, n)
		if !ok || p.Spool != b.base {
			loose = append(loose, ref)
			continue
		}
		begin := p.Off - newc.HeaderSize(n.Path)
		if begin > end {
			b.keepRun(run)
			b.pieces = append(b.pieces, filler{begin - end})
			run = kept{}
		}
		size := newc.Size(n.Path, n.Size)
		run.bytes += size
		end = begin + size
		b.result.Records++
	}
	b.keepRun(run)
	if rest := b.base.Len() - end; rest > 0 {
		b.pieces = append(b.pieces, filler{rest})
	}
	b.files = loose
	return nil
}

func (b *builder) keepRun(run kept) {
	if run.bytes > 0 {
		b.pieces = append(b.pieces, run)
	}
}
