package inflate

import (
	"errors"
	"hash/crc32"
	"io"
)

// Why something cannot be read, besides what the source says. What ends too early is io.ErrUnexpectedEOF.
var (
	ErrHeader   = errors.New("gzip: the header is missing or damaged")
	ErrCorrupt  = errors.New("gzip: the compressed data are damaged")
	ErrChecksum = errors.New("gzip: the content has another checksum or size than it should")
)

const (
	window = 32 << 10 // how far back a copy may reach

	inSize = 64 << 10
	// slack is how much is read behind what the source gave, when that is all: zeros, for the decoder takes words.
	slack = 32

	outSize = window + 256<<10
	// full is how far there is room for what one turn of the decoder can make: literals, a copy, and what words write
	// beyond its end.
	full = outSize - 3 - 258 - 16
)

// Reader gives what is in a gzip file. Several members in a row are one content (RFC 1952, section 2.2). It reads its
// source to the end, and ahead.
type Reader struct {
	src  io.Reader
	eof  bool // src has ended
	pos  int  // what of in was not taken yet
	end  int
	bits uint64 // what of the byte before pos was not taken yet, from the lowest on; n of them
	n    uint64

	read   int // what of out was not given yet
	write  int
	summed int // up to where sum and size count
	begin  int // where this member begins in out, if that has it; else 0
	sum    uint32
	size   uint32

	step   func(*Reader) error // what comes next
	stored int                 // bytes left of a block that is not compressed
	last   bool                // the block that is being read is the member's last one
	err    error

	literals  [literalSize]entry // of the block that is being read
	distances [distanceSize]entry
	fixed     bool // they are those of the fixed code

	in  [inSize + slack]byte
	out [outSize]byte
}

// NewReader returns a reader of the file that src gives.
func NewReader(src io.Reader) *Reader { return &Reader{src: src, step: (*Reader).member} }

// Read implements io.Reader. What was read before an error is right as far as it goes; only io.EOF says that all of it is.
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

// slide makes room, and keeps what copies may reach.
func (z *Reader) slide() {
	z.check()
	by := z.write - window
	copy(z.out[:window], z.out[by:z.write])
	z.read, z.write, z.summed, z.begin = window, window, window, max(0, z.begin-by)
}

// check takes what was written since the last time into the checksum.
func (z *Reader) check() {
	z.sum = crc32.Update(z.sum, crc32.IEEETable, z.out[z.summed:z.write])
	z.size += uint32(z.write - z.summed)
	z.summed = z.write
}

// fill reads on, so that more is behind what is left of in. At the end of the source there are zeros.
func (z *Reader) fill() error {
	z.end = copy(z.in[:], z.in[z.pos:z.end])
	z.pos = 0
	for range 100 {
		n, err := z.src.Read(z.in[z.end:inSize])
		z.end += n
		if err == io.EOF {
			z.eof = true
			clear(z.in[z.end : z.end+slack])
			return nil
		}
		if n > 0 || err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// need has at least so many bits at hand, up to 57.
func (z *Reader) need(n uint64) error {
	for z.n < n {
		for z.pos == z.end {
			if z.eof {
				return io.ErrUnexpectedEOF
			}
			if err := z.fill(); err != nil {
				return err
			}
		}
		z.bits |= uint64(z.in[z.pos]) << z.n
		z.pos++
		z.n += 8
	}
	return nil
}

// drop takes n of the bits at hand.
func (z *Reader) drop(n uint64) uint64 {
	b := z.bits & (1<<n - 1)
	z.bits >>= n
	z.n -= n
	return b
}

// take takes n bits, up to 57, the first one lowest.
func (z *Reader) take(n uint64) (uint64, error) {
	if err := z.need(n); err != nil {
		return 0, err
	}
	return z.drop(n), nil
}
