package initrd

import (
	"context"

	"gitlab.com/wyrcan/wyrcan/pkg/newc"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// layout is an initrd before it is written: plain data.
type layout struct {
	*list
	form   form
	base   *spool.Spool // of the form inPlace: the initrd is made in its file
	pieces []piece      // in the order in which contents are read
	result Result
}

// form is how an initrd is put together.
type form int

const (
	single   form = iota // one archive in one frame
	inPlace              // one archive in the file of a spool, uncompressed
	archives             // several archives in a row
)

// piece is a part of an initrd. Its size is what it adds to the unpacked archive, in bytes.
type piece interface{ size() int64 }

type (
	// early is Options.Early, the first piece if there is one.
	early []byte

	// records are entries of the list, from one number up to another, that are written as newc records.
	records struct {
		from, to int
		number   uint32 // of the last file with several names before them
		bytes    int64
	}

	// large is an archive of one file, with all its names, that is larger than a segment. It is compressed while it
	// is written.
	large struct {
		records
		plain bool // is not compressed
	}

	// trailer ends the archive that the records before it are in.
	trailer struct {
		plain bool // the archive is not compressed
	}

	// packed is a frame of a spool: an archive that was compressed before. It comes before the archive that is open.
	packed struct {
		spool *spool.Spool
		frame spool.Frame
	}

	// kept is a range of the base's records, which stay where they are.
	kept struct{ bytes int64 }

	// filler takes the place of a range that is not wanted. The kernel passes over it.
	filler struct{ bytes int64 }
)

func (e early) size() int64   { return int64(len(e)) }
func (r records) size() int64 { return r.bytes }
func (l large) size() int64   { return l.bytes + newc.TrailerSize }
func (trailer) size() int64   { return newc.TrailerSize }
func (p packed) size() int64  { return p.frame.Size() }
func (k kept) size() int64    { return k.bytes }
func (f filler) size() int64  { return f.bytes }

// layOut decides what an initrd is made of.
func layOut(ctx context.Context, t *rootfs.Tree, r *rules) (*layout, error) {
	l, err := gather(ctx, t, r)
	if err != nil {
		return nil, err
	}
	b := newBuilder(l)
	if len(r.Early) > 0 {
		b.pieces = append(b.pieces, early(r.Early))
	}
	switch {
	case r.Compression == None && !r.Single:
		err = b.inPlace(ctx)
	case r.Compression == Gzip || r.Single:
		err = b.single(ctx)
	default:
		err = b.archives(ctx)
	}
	return b.done(), err
}

// sums returns the sizes of what is as it will be already, and of everything else before compression.
func (l *layout) sums() (packedSize, loose int64) {
	for _, p := range l.pieces {
		switch p := p.(type) {
		case early:
			packedSize += p.size()
		case packed:
			packedSize += p.frame.Packed()
		default:
			loose += p.size()
		}
	}
	return packedSize, loose
}

// single lays out one archive of records.
func (b *builder) single(ctx context.Context) error {
	err := b.addTo(ctx, b.len())
	b.end()
	return err
}

// builder puts pieces together.
type builder struct {
	layout
	names   numbering
	next    int     // the entry that comes next
	open    records // up to next; not among the pieces yet
	archive int64   // bytes of the archive that is open

	large, plain bool   // the open archive is large, and it stays uncompressed
	spare        int64  // bytes of archives that may stay uncompressed
	last         packed // the frame that was added last
}

func newBuilder(l *list) *builder { return &builder{layout: layout{list: l}} }

// add adds an entry, the next one, as records of its own.
func (b *builder) add(e entry) {
	if b.open.from == b.next {
		b.open.number = e.before
	}
	for r := range e.records {
		size := newc.Size(r.Name, int64(r.FileSize))
		b.open.bytes += size
		b.archive += size
		b.result.Records++
	}
	if e.split {
		b.result.Split++
	}
	b.next++
	b.open.to = b.next
}

// addTo adds the entries up to one.
func (b *builder) addTo(ctx context.Context, end int) error {
	for b.next < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, own := b.at(b.next)
		b.add(b.names.next(b.rules, n, own))
	}
	return nil
}

// flush makes a piece of the records that are open.
func (b *builder) flush() {
	if b.open.from < b.open.to {
		b.pieces = append(b.pieces, b.open)
	}
	b.open = records{from: b.next, to: b.next}
}

// end ends the archive that is open, if there is one.
func (b *builder) end() {
	if b.archive == 0 {
		return
	}
	if b.large {
		b.pieces = append(b.pieces, large{b.open, b.plain})
		b.open = records{from: b.next, to: b.next}
	} else {
		b.flush()
		b.pieces = append(b.pieces, trailer{b.stays(b.archive + newc.TrailerSize)})
	}
	b.archive, b.large = 0, false
}

// stays reports whether an archive of this size stays uncompressed.
func (b *builder) stays(size int64) bool {
	if size > b.spare {
		return false
	}
	b.spare -= size
	return true
}

// done returns the layout.
func (b *builder) done() *layout {
	for _, p := range b.pieces {
		b.result.Size += p.size()
	}
	return &b.layout
}
