// Package synthetic makes layers of any size for tests and benchmarks, while they are read: nothing of a layer is kept.
// Their contents compress as those of real images do, and cost hardly more than a copy.
package synthetic

import (
	"archive/tar"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"sync"
	"time"
)

// Shape says which files a layer has. The same shape makes the same layer.
type Shape struct {
	Small int64 // bytes in small files, of 1 to 19 KB
	Large int64 // bytes in large files
	Each  int64 // bytes of a large file; the last one may have less
	Of    Kind  // what the contents are like; with Any, kinds take turns
}

// Mixed is like a real image: half of the bytes are in small files, the other half in eight large ones.
func Mixed(bytes int64) Shape {
	return Shape{Small: bytes / 2, Large: bytes / 2, Each: max(1, bytes/16)}
}

// A File is a file of a layer. Its content is known from these three alone.
type File struct {
	Path string
	Size int64
	seed uint64
	kind Kind
}

// Kind is what a content is like.
type Kind int

// Kinds of contents.
const (
	Any     Kind = iota
	Text         // two fifths of it remain
	Program      // text and noise in turn
	Noise        // nothing can be compressed
	kinds
)

// Files yields the files in the order of the archive.
func (s Shape) Files() iter.Seq[File] {
	return func(yield func(File) bool) {
		seed := uint64(0)
		next := func(path string, size int64) bool {
			f := File{path, size, seed, s.Of}
			if f.kind == Any {
				f.kind = Text + Kind(seed%uint64(kinds-Text))
			}
			seed++
			return yield(f)
		}
		for rest, n := s.Large, 0; rest > 0; n++ {
			size := min(rest, s.Each)
			rest -= size
			if !next(fmt.Sprintf("large/%d", n), size) {
				return
			}
		}
		const inDir, least, most = 100, 1000, 19000
		random := rand.New(rand.NewPCG(1, 2))
		for rest, n := s.Small, 0; rest > 0; n++ {
			size := min(rest, least+random.Int64N(most-least))
			rest -= size
			if !next(fmt.Sprintf("small/%d/%d/file-%d", n/inDir/inDir, n/inDir%inDir, n%inDir), size) {
				return
			}
		}
	}
}

// Write writes the layer as a tar archive.
func (s Shape) Write(w io.Writer) error {
	tw := tar.NewWriter(w)
	for f := range s.Files() {
		h := tar.Header{Name: f.Path, Mode: 0o644, Size: f.Size, ModTime: time.Unix(1600000000, 0)}
		if err := tw.WriteHeader(&h); err != nil {
			return err
		}
		if _, err := io.Copy(tw, f.Open()); err != nil {
			return err
		}
	}
	return tw.Close()
}

// poolSize is how many bytes of each kind exist. It is larger than any window or block of a compressor, and no multiple
// of one.
const poolSize = 4<<20 + 4<<10

// pools are bytes of each kind.
var pools = sync.OnceValue(func() [kinds][]byte {
	var p [kinds][]byte
	for i := Text; i < kinds; i++ {
		p[i] = make([]byte, poolSize)
	}
	rand.NewChaCha8([32]byte{}).Read(p[Noise])
	random := rand.New(rand.NewPCG(3, 4))
	var words [4096][]byte
	for i := range words {
		words[i] = make([]byte, 2+random.IntN(9))
		for j := range words[i] {
			words[i][j] = "eeeetttaaooinshrdlcumwfgypbvkxqjz_(){};=0123"[random.IntN(44)]
		}
	}
	often := rand.NewZipf(random, 1.1, 2, uint64(len(words)-1))
	for rest := p[Text]; len(rest) > 0; {
		rest = rest[copy(rest, words[often.Uint64()]):]
		rest = rest[copy(rest, " "):]
	}
	const run = 1000
	for at := 0; at < poolSize; at += run {
		from := p[Text]
		if at/run%2 == 1 {
			from = p[Noise]
		}
		copy(p[Program][at:min(at+run, poolSize)], from[at:])
	}
	return p
})

// content is what a file holds: a stamp, which no two have in common, and then its pool again and again from some place
// on.
type content struct {
	stamp []byte
	pool  []byte
	at    int
	left  int64
}

// Open returns the content.
func (f File) Open() io.Reader {
	stamp := binary.BigEndian.AppendUint64(nil, (f.seed+1)*0x9e3779b97f4a7c15)
	return &content{stamp, pools()[f.kind], int(f.seed * 7919 * 1021 % poolSize), f.Size}
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	from := c.stamp
	if len(from) == 0 {
		from = c.pool[c.at:]
	}
	n := copy(p[:min(int64(len(p)), c.left)], from)
	if len(c.stamp) > 0 {
		c.stamp = c.stamp[n:]
	} else {
		c.at = (c.at + n) % poolSize
	}
	c.left -= int64(n)
	return n, nil
}
