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

const (
	window = 32 << 10 // how far back a copy may reach

	inSize = 64 << 10
	// slack is how many zeros follow the end of the source in the buffer: the decoder reads words.
	slack = 32

	outSize = window + 256<<10
	// full is up to where out has room for one turn of the decoder: literals, a copy, and what words write beyond its
	// end.
	full = outSize - 3 - 258 - 16
)

// Reader reads the content of a gzip file. Several members in a row are one content (RFC 1952, section 2.2). It reads
// ahead, and reads its source to the end.
type Reader struct {
	src  io.Reader
	eof  bool // src has ended
	pos  int  // up to end: the part of in that was not loaded yet
	end  int
	bits uint64 // loaded and not used yet, the next one lowest; n of them
	n    uint64

	read   int // up to write: the part of out that Read has not given yet
	write  int
	summed int // up to where sum and size count
	begin  int // where this member begins in out; 0 if its beginning is gone
	sum    uint32
	size   uint32

	step   func(*Reader) error // what comes next
	stored int                 // bytes left of a block that is not compressed
	last   bool                // the block that is being read is the member's last one
	err    error

	literals  [literalSize]entry // tables of the block that is being read
	distances [distanceSize]entry
	fixed     bool // the tables are those of the fixed code

	in  [inSize + slack]byte
	out [outSize]byte
}

// NewReader returns a reader of the gzip file src.
func NewReader(src io.Reader) *Reader { return &Reader{src: src, step: (*Reader).member} }

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

// fill reads more of the source into in, behind what is left there. At the end of the source it writes zeros.
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

// need loads bits until there are at least n, up to 57.
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

// drop uses n of the loaded bits.
func (z *Reader) drop(n uint64) uint64 {
	b := z.bits & (1<<n - 1)
	z.bits >>= n
	z.n -= n
	return b
}

// take loads and uses n bits, up to 57, the first one lowest.
func (z *Reader) take(n uint64) (uint64, error) {
	if err := z.need(n); err != nil {
		return 0, err
	}
	return z.drop(n), nil
}
