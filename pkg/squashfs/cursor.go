package squashfs

import (
	"errors"
	"fmt"
	"io"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// Cursor reads the contents of a layer. It is quick where reading goes forward, and keeps the block that it has
// unpacked last.
type Cursor struct {
	l      *Layer
	at     blockID
	data   []byte
	packed []byte // scratch

	extent int32 // where the block next of this extent is
	next   int
	pos    int64
}

// blockID is a fragment, or a block of an extent.
type blockID struct {
	extent, fragment int32
	block            int
}

func (l *Layer) newCursor() *Cursor {
	return &Cursor{l: l, at: blockID{none, none, 0}, extent: none}
}

// Open returns a cursor. It gives no memory back: contents and image are the same bytes.
func (l *Layer) Open(release bool) rootfs.Reader { return l.newCursor() }

// Close does nothing.
func (c *Cursor) Close() error { return nil }

// ReadAt implements io.ReaderAt. Places are those of the stream.
func (c *Cursor) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) && off < c.l.end {
		file := c.l.find(off)
		part := p[done:min(int64(len(p)), int64(done)+file.off+file.size-off)]
		n, err := c.read(part, file, off-file.off)
		done += n
		off += int64(n)
		if err != nil {
			return done, fmt.Errorf("cannot unpack what was kept: %w", err)
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// read reads a part of a block, from a place in a content on.
func (c *Cursor) read(p []byte, file *content, at int64) (int, error) {
	if file.fragment != none {
		f := &c.l.frags[file.fragment]
		if err := c.load(none, file.fragment, 0, f.start, f.block); err != nil {
			return 0, err
		}
		return copy(p, c.data[int64(file.at)+at:int64(file.at)+file.size]), nil
	}
	size := int64(c.l.p.opt.BlockSize)
	e, i := &c.l.extents[file.extent], int(at/size)
	in := at - int64(i)*size
	p = p[:min(int64(len(p)), size-in)]
	if e.blocks[i] == 0 {
		clear(p)
		return len(p), nil
	}
	if c.extent != file.extent || c.next > i {
		c.extent, c.next, c.pos = file.extent, 0, e.start
	}
	for ; c.next < i; c.next++ {
		c.pos += compressed(e.blocks[c.next])
	}
	if err := c.load(file.extent, none, i, c.pos, e.blocks[i]); err != nil {
		return 0, err
	}
	if in >= int64(len(c.data)) {
		return 0, io.ErrUnexpectedEOF
	}
	return copy(p, c.data[in:]), nil
}

// load unpacks a block.
func (c *Cursor) load(extent, fragment int32, block int, start int64, size uint32) error {
	id := blockID{extent, fragment, block}
	if c.at == id {
		return nil
	}
	c.at = blockID{none, none, 0}
	n := compressed(size)
	if c.data == nil {
		c.data, c.packed = make([]byte, 0, c.l.p.opt.BlockSize), make([]byte, c.l.p.opt.BlockSize)
	}
	if n > int64(len(c.packed)) {
		return errors.New("a block is too large")
	}
	var err error
	if size&plainBlock != 0 {
		c.data = c.data[:n]
		_, err = c.l.f.ReadAt(c.data, start)
	} else if _, err = c.l.f.ReadAt(c.packed[:n], start); err == nil {
		c.data, err = c.l.p.codec.unpack(c.data[:0], c.packed[:n])
	}
	if err == nil {
		c.at = id
	}
	return err
}
