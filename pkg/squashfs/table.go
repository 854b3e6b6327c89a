package squashfs

import "encoding/binary"

// table is a part of an image in metadata blocks: compressed blocks of 8 KiB, each behind its size.
type table struct {
	codec  codec
	buf    []byte  // what is in no block yet; less than a block
	packed []byte  // scratch
	out    []byte  // the blocks
	blocks []int64 // where each begins in out
	err    error
}

func newTable(c codec) *table { return &table{codec: c, buf: make([]byte, 0, metadataSize)} }

// at returns where the next byte goes: the block, by its place in the table, and the place in the unpacked block.
func (t *table) at() (block int64, offset int) { return int64(len(t.out)), len(t.buf) }

// ref returns the same as one number, in the form of an inode's or of an attribute's.
func (t *table) ref() uint64 { return uint64(len(t.out))<<16 | uint64(len(t.buf)) }

// add appends bytes. An error is kept for end.
func (t *table) add(p []byte) {
	for len(p) > 0 {
		n := min(len(p), metadataSize-len(t.buf))
		t.buf = append(t.buf, p[:n]...)
		if p = p[n:]; len(t.buf) == metadataSize {
			t.flush()
		}
	}
}

func (t *table) flush() {
	var err error
	if t.packed, err = t.codec.pack(t.packed[:0], t.buf); err != nil {
		t.err, t.buf = err, t.buf[:0]
		return
	}
	block, size := t.packed, len(t.packed)
	if len(t.packed) >= len(t.buf) {
		block, size = t.buf, len(t.buf)|plainMetadata
	}
	t.blocks = append(t.blocks, int64(len(t.out)))
	t.out = append(binary.LittleEndian.AppendUint16(t.out, uint16(size)), block...)
	t.buf = t.buf[:0]
}

// end ends the last block and returns all.
func (t *table) end() ([]byte, error) {
	if len(t.buf) > 0 {
		t.flush()
	}
	return t.out, t.err
}

// index returns where the blocks are, if the table is at a place in the image.
func (t *table) index(start int64) []byte {
	var b []byte
	for _, block := range t.blocks {
		b = binary.LittleEndian.AppendUint64(b, uint64(start+block))
	}
	return b
}
