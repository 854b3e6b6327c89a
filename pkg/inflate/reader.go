package inflate

import (
	"errors"
	"hash/crc32"
	"io"
)

// Errors of a file, besides those of its source. A file that ends too early is io.ErrUnexpectedEOF.
var (
	ErrHeader   = errors.New("gzip: the header is missing or damaged")
	ErrCorrupt  = errors.New("gzip: the compressed data are damaged")
	ErrChecksum = errors.New("gzip: the content has another checksum or size than the file says")
)

// Reader reads the content of a gzip file. Several members in a row are one content (RFC 1952, section 2.2). It reads
// ahead, and reads its source to the end.
type Reader struct {
	stream
	content[byte]
	read   int // up to write: the part of out that Read has not given yet
	summed int // up to where sum and size count
	sum    uint32
	size   uint32

	ahead *ahead // nil if all is decoded here
	piece piece  // what is left of the one that is taken

	step func(*Reader) error // what comes next
	err  error
}

// NewReader returns a reader of the gzip file src.
func NewReader(src io.Reader) *Reader {
	return &Reader{stream: stream{src: src}, step: (*Reader).member}
}

// Read implements io.Reader. What was read before an error is not verified; only io.EOF says that the checksums are
// right.
func (z *Reader) Read(p []byte) (int, error) {
	if z.read == z.write {
		if z.write > full {
			z.slide()
		}
		for z.err == nil && z.write <= full {
			z.err = z.step(z)
		}
		if z.read == z.write {
			return 0, z.err
		}
	}
	n := copy(p, z.out[z.read:z.write])
	z.read += n
	return n, nil
}

// slide makes room in out, and keeps what copies may refer to.
func (z *Reader) slide() {
	z.check()
	by := z.write - window
	copy(z.out[:window], z.out[by:z.write])
	z.read, z.write, z.summed, z.begin = window, window, window, max(0, z.begin-by)
}

// check adds what was written since the last call to the checksum and the size.
func (z *Reader) check() {
	z.sum = crc32.Update(z.sum, crc32.IEEETable, z.out[z.summed:z.write])
	z.size += uint32(z.write - z.summed)
	z.summed = z.write
}

// member reads the header of a member.
func (z *Reader) member() error {
	if err := z.header(); err != nil {
		return err
	}
	z.sum, z.size, z.begin, z.step = 0, 0, z.write, (*Reader).block
	return nil
}

// block reads the header of a block, or takes some blocks that were decoded already.
func (z *Reader) block() error {
	if z.ahead != nil && z.given() {
		return nil
	}
	z.step = (*Reader).body
	return z.stream.block()
}

// body reads what a block holds.
func (z *Reader) body() error {
	ended, err := z.content.block(&z.stream)
	if ended {
		z.finish()
	}
	return err
}

// finish sets what comes after a block.
func (z *Reader) finish() {
	if z.step = (*Reader).block; z.last {
		z.step = (*Reader).trailer
	}
}

// trailer reads the end of a member.
func (z *Reader) trailer() error {
	z.check()
	sum, size, err := z.stream.trailer()
	if err == nil && (sum != z.sum || size != z.size) {
		err = ErrChecksum
	}
	z.step = (*Reader).another
	return err
}

// another finds out whether the file has another member.
func (z *Reader) another() error {
	z.step = (*Reader).member
	more, err := z.more()
	if err == nil && !more {
		err = io.EOF
	}
	return err
}
