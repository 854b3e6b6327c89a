package initrd

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/newc"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// writer writes the pieces of a layout.
type writer struct {
	*layout
	ctx      context.Context
	contents *rootfs.Contents
	header   []byte // scratch
	buf      []byte // scratch
}

func newWriter(ctx context.Context, l *layout, contents *rootfs.Contents) *writer {
	return &writer{layout: l, ctx: ctx, contents: contents, buf: make([]byte, 256<<10)}
}

// records writes records.
func (w *writer) records(out io.Writer, r records) error {
	names := numbering{number: r.number}
	for i := r.from; i < r.to; i++ {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		n, own := w.at(i)
		e := names.next(w.rules, n, own)
		if err := w.entry(out, e); err != nil {
			return fmt.Errorf("cannot write %s: %w", rootfs.Quote(e.record.Name), err)
		}
	}
	return nil
}

// entry writes the records of one entry.
func (w *writer) entry(out io.Writer, e entry) error {
	content, err := w.content(e)
	if err != nil {
		return err
	}
	for r := range e.records {
		w.header = newc.Header(w.header[:0], r)
		if _, err := out.Write(w.header); err != nil {
			return err
		}
		if err := w.copy(out, content, int64(r.FileSize)); err != nil {
			return err
		}
	}
	return nil
}

// content returns the content of an entry, nil if it has none.
func (w *writer) content(e entry) (io.Reader, error) {
	switch {
	case e.content() == 0:
		return nil, nil
	case e.own != nil && e.node.Regular():
		return io.NewSectionReader(e.own.Content, 0, e.node.Size), nil
	case e.node.Symlink():
		return strings.NewReader(e.node.Target), nil
	}
	return w.contents.Of(e.node)
}

// copy writes size bytes of a content, and the padding behind them.
func (w *writer) copy(out io.Writer, content io.Reader, size int64) error {
	for left := size; left > 0; {
		part := w.buf[:min(left, int64(len(w.buf)))]
		if _, err := io.ReadFull(content, part); err != nil {
			return err
		}
		if _, err := out.Write(part); err != nil {
			return err
		}
		left -= int64(len(part))
	}
	if pad := newc.Pad(w.header[:0], size); len(pad) > 0 {
		_, err := out.Write(pad)
		return err
	}
	return nil
}

// single writes one archive in one frame, behind Options.Early.
func (w *writer) single(out io.Writer) error {
	if _, err := out.Write(w.Early); err != nil {
		return err
	}
	frame, err := w.Compression.writer(out, w.Level)
	if err != nil {
		return err
	}
	b := writeBehind(frame)
	return cmp.Or(w.plainly(b), b.Close(), frame.Close())
}

// plainly writes the records of one archive as they are.
func (w *writer) plainly(out io.Writer) error {
	for _, p := range w.pieces {
		var err error
		switch p := p.(type) {
		case records:
			err = w.records(out, p)
		case trailer:
			_, err = out.Write(newc.Trailer(nil))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inPlace writes an archive in the file of the base.
func (w *writer) inPlace(f *os.File, grow func(int64) error) error {
	at := int64(0)
	for _, p := range w.pieces {
		out := memory.NewWriter(f, at, grow)
		var err error
		switch p := p.(type) {
		case early:
			_, err = out.Write(p)
		case records:
			b := writeBehind(out)
			err = cmp.Or(w.records(b, p), b.Close())
		case trailer:
			_, err = out.Write(newc.Trailer(nil))
		}
		if err != nil {
			return err
		}
		at += p.size()
	}
	// Only now: contents may have been read from what the fillers take the place of.
	at = -spool.Front
	for _, p := range w.pieces {
		if _, ok := p.(filler); ok {
			if err := w.base.Fill(at, at+p.size()); err != nil {
				return err
			}
		}
		at += p.size()
	}
	return nil
}

// archives writes several archives in a row.
func (w *writer) archives(out io.Writer) error {
	_, loose := w.sums()
	p, err := newPacker(out, w.Options, loose)
	if err != nil {
		return err
	}
	return cmp.Or(w.pack(p), p.Close())
}

func (w *writer) pack(out *packer) error {
	for _, p := range w.pieces {
		var err error
		switch p := p.(type) {
		case early:
			err = out.add(bytes.NewReader(p), func() error { return nil })
		case records:
			err = w.records(out.segment(), p)
		case trailer:
			out.segment().Write(newc.Trailer(nil)) // a buffer takes everything
			err = out.end(p.plain)
		case large:
			err = out.stream(p.plain, func(pipe io.Writer) error {
				if err := w.records(pipe, p.records); err != nil {
					return err
				}
				_, err := pipe.Write(newc.Trailer(nil))
				return err
			})
		case packed:
			if err = w.contents.Reach(p.spool); err == nil {
				err = out.add(p.spool.TakeFrame(p.frame))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
