package rootfs

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// SkipName is what Walk's visit returns for a path that it leaves out: a content that came with it is then offered
// again with the next name of the same file.
var SkipName = errors.New("skip this name")

// Open returns the content of a regular file of the tree. Where its layer is kept only as it was stored, that is
// decompressed up to the file.
func (t *Tree) Open(ctx context.Context, n *Node) (io.ReadCloser, error) {
	switch {
	case !n.Regular():
		return nil, fmt.Errorf("%q is not a regular file", n.Path)
	case n.ino.size == 0 || n.ino.where != inStream:
		return io.NopCloser(t.spooled(n.ino)), nil
	}
	s := t.layers[n.ino.layer].stream(ctx)
	r, err := s.to(n.ino)
	if err != nil {
		s.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{r, s}, nil
}

// spooled returns a content that needs no decompressing.
func (t *Tree) spooled(i *inode) *io.SectionReader {
	switch {
	case i.size == 0:
		return io.NewSectionReader(nil, 0, 0)
	case i.where == inKept:
		return t.layers[i.layer].kept.section(i.off, i.size)
	}
	return t.layers[i.layer].content.section(i.off, i.size)
}

// Walk calls visit for every path: all directories first, parents before what is in them; then all else in the order
// in which the layers hold it, the names of one file one after the other. content is not nil for the first name of
// each regular file; visit need not read it. An error of visit other than SkipName ends the walk and is returned.
func (t *Tree) Walk(ctx context.Context, visit func(n *Node, content io.Reader) error) error {
	var files []*dentry
	for d := range t.root.all {
		if !d.ino.dir() {
			files = append(files, d)
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := visit(d.node(), nil); err != nil && err != SkipName {
			return err
		}
	}
	// Stable: the names of one file stay in their order.
	slices.SortStableFunc(files, func(a, b *dentry) int {
		return cmp.Or(cmp.Compare(a.ino.layer, b.ino.layer), cmp.Compare(a.ino.seq, b.ino.seq))
	})

	var s *stream // of the layer last read, if that has to be decompressed again
	defer func() {
		if s != nil {
			s.Close()
		}
	}()
	var last *inode
	for _, d := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		var content io.Reader
		switch i := d.ino; {
		case i == last || !i.regular():
		case i.size == 0 || i.where != inStream:
			content = t.spooled(i)
		default:
			layer := t.layers[i.layer]
			if s == nil || s.layer != layer {
				if s != nil {
					s.Close()
				}
				s = layer.stream(ctx)
			}
			var err error
			if content, err = s.to(i); err != nil {
				return err
			}
		}
		switch err := visit(d.node(), content); {
		case err == nil:
			last = d.ino
		case err != SkipName:
			return err
		}
	}
	return nil
}

// stream decompresses a stored layer again, from its beginning on.
type stream struct {
	layer   *stored
	cancel  context.CancelFunc
	archive io.ReadCloser
	out     *ahead
	tr      *tar.Reader
	seq     int32 // of the next member
	err     error
}

func (s *stored) stream(ctx context.Context) *stream {
	ctx, cancel := context.WithCancel(ctx)
	src := &source{ctx: ctx, r: s.blob.section(0, s.blob.end)}
	st := &stream{layer: s, cancel: cancel}
	if st.archive, st.err = decompress(src); st.err == nil {
		st.out = readAhead(st.archive, archiveChunk, archiveChunks)
		st.tr = tar.NewReader(st.out)
	}
	return st
}

// to goes on to a later file and returns its content.
func (s *stream) to(i *inode) (io.Reader, error) {
	for s.err == nil && s.seq <= i.seq {
		_, s.err = s.tr.Next()
		s.seq++
	}
	if s.err == io.EOF {
		s.err = io.ErrUnexpectedEOF
	}
	if s.err != nil {
		return nil, fmt.Errorf("%s: cannot be decompressed again: %w", s.layer.name, s.err)
	}
	return s.tr, nil
}

func (s *stream) Close() error {
	s.cancel()
	if s.out == nil {
		return nil
	}
	s.out.Close()
	return errors.Join(s.archive.Close())
}
