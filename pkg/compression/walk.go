package compression

import (
	"encoding/binary"
	"errors"
	"io"
)

const (
	frameMagic     = 0xfd2fb528 // RFC 8878, section 3.1.1
	skippableMagic = 0x184d2a50 // section 3.1.2; the last four bits are any
	mostSkipped    = 1 << 20    // bytes of a skippable frame that are kept
	mostBlock      = 128 << 10  // bytes of content that a block has at most: section 3.1.1.2.4
	// mostContent is how much a frame may hold that is decompressed as a whole. Those of pzstd hold 8 MiB and a block.
	mostContent = 12 << 20
)

// errWhole is why a frame is decompressed as a stream: it is too large to be kept, or it is damaged. Nobody is told.
var errWhole = errors.New("whole")

// walker finds the ends of zstd frames, from the lengths in them.
type walker struct {
	src io.Reader
	b   []byte // what was read of frames
}

// frame reads a frame. It returns how much it can hold. After an error, b ends with what was read of it. At the end of
// the source that is io.EOF, wherever it is.
func (w *walker) frame() (content int, err error) {
	h, err := w.take(4)
	if err != nil {
		return 0, err
	}
	switch magic := binary.LittleEndian.Uint32(h); {
	case magic&^15 == skippableMagic:
		h, err := w.take(4)
		if err != nil {
			return 0, err
		}
		n := binary.LittleEndian.Uint32(h)
		if n > mostSkipped {
			return 0, errWhole
		}
		_, err = w.take(int(n))
		return 0, err
	case magic != frameMagic:
		return 0, errWhole
	}
	size, sum, err := w.header()
	if err != nil {
		return 0, err
	}
	for last := false; !last; {
		h, err := w.take(3) // section 3.1.1.2
		if err != nil {
			return 0, err
		}
		block := int(h[0]) | int(h[1])<<8 | int(h[2])<<16
		last = block&1 != 0
		n := block >> 3
		holds := n
		switch block >> 1 & 3 {
		case 1: // a byte, n times
			n = 1
		case 2:
			holds = mostBlock
		case 3:
			return 0, errWhole
		}
		if content += holds; n > mostBlock || content > mostContent {
			return 0, errWhole
		}
		if _, err := w.take(n); err != nil {
			return 0, err
		}
	}
	if sum {
		if _, err := w.take(4); err != nil {
			return 0, err
		}
	}
	if size > 0 && size < uint64(content) {
		content = int(size)
	}
	return content, nil
}

// header reads the rest of a frame's header: section 3.1.1.1. It returns how much the frame holds, 0 if it does not
// say, and whether it has a checksum.
func (w *walker) header() (size uint64, sum bool, err error) {
	h, err := w.take(1)
	if err != nil {
		return 0, false, err
	}
	single, sum := h[0]&0x20 != 0, h[0]&4 != 0
	window, dictionary, content := 1, [...]int{0, 1, 2, 4}[h[0]&3], [...]int{0, 2, 4, 8}[h[0]>>6]
	if single {
		window, content = 0, max(1, content)
	}
	if h, err = w.take(window + dictionary + content); err != nil {
		return 0, false, err
	}
	h = append(h[window+dictionary:len(h):len(h)], make([]byte, 8)...)
	if size = binary.LittleEndian.Uint64(h); content == 2 {
		size += 256
	}
	if size > mostContent {
		err = errWhole
	}
	return size, sum, err
}

// take reads n bytes.
func (w *walker) take(n int) ([]byte, error) {
	from := len(w.b)
	for n > 0 {
		// The memory grows with what is there, not with what a length says.
		part := min(n, mostBlock)
		at := len(w.b)
		w.b = append(w.b, make([]byte, part)...)
		m, err := io.ReadFull(w.src, w.b[at:])
		w.b = w.b[:at+m]
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		if err != nil {
			return nil, err
		}
		n -= part
	}
	return w.b[from:], nil
}
