package inflate

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	klauspost "github.com/klauspost/compress/gzip"
)

// contents returns contents of the kinds that layers hold, by name.
func contents() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 700_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	var text bytes.Buffer
	for text.Len() < 900_000 {
		fmt.Fprintf(&text, "/usr/lib/%x/%d.so.%d\n", r.Uint32N(5000), r.Uint32N(100), r.Uint32N(10))
	}
	// Copies of all lengths from all distances, of noise.
	var copies []byte
	copies = append(copies, noise[:window]...)
	for len(copies) < 1_000_000 {
		from := len(copies) - 1 - r.IntN(window)
		length := min(3+r.IntN(300), len(copies)-from)
		copies = append(copies, copies[from:from+length]...)
		copies = append(copies, byte(r.Uint32()))
	}
	// Patterns of 1 to 40 bytes, again and again.
	var patterns []byte
	for len(patterns) < 500_000 {
		n := 1 + r.IntN(40)
		patterns = append(patterns, bytes.Repeat(noise[len(patterns):len(patterns)+n], 1+r.IntN(400)/n)...)
	}
	// Symbols of very different frequencies get the longest codes.
	skewed := make([]byte, 600_000)
	for i := range skewed {
		for skewed[i] < 250 && r.IntN(2) == 0 {
			skewed[i]++
		}
	}
	return map[string][]byte{
		"nothing": {}, "a byte": {7}, "noise": noise, "text": text.Bytes(), "zeros": make([]byte, 3_000_000),
		"copies": copies, "patterns": patterns, "skewed": skewed,
	}
}

func pack(t testing.TB, content []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	// In several blocks.
	for part := range 4 {
		if _, err := w.Write(content[len(content)*part/4 : len(content)*(part+1)/4]); err != nil {
			t.Fatal(err)
		}
		if part == 2 && w.Flush() != nil {
			t.Fatal("cannot flush")
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRead(t *testing.T) {
	levels := []int{flate.HuffmanOnly, flate.NoCompression, flate.BestSpeed, flate.DefaultCompression,
		flate.BestCompression}
	for name, content := range contents() {
		for _, level := range levels {
			packed := pack(t, content, level)
			for how, source := range map[string]io.Reader{
				"whole": bytes.NewReader(packed), "halves": iotest.HalfReader(bytes.NewReader(packed)),
				"the end with data": iotest.DataErrReader(bytes.NewReader(packed)),
				"bytes":             iotest.OneByteReader(bytes.NewReader(packed)),
			} {
				got, err := io.ReadAll(NewReader(source))
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s, level %d, read in %s: %d bytes, %v; want the %d that were packed", name, level, how,
						len(got), err, len(content))
				}
			}
		}
	}
}

// TestMembers has members begin anywhere in what is kept of those before. A member must not refer to those.
func TestMembers(t *testing.T) {
	var packed, want []byte
	for range 3 {
		for _, content := range contents() {
			for _, level := range []int{0, 1, 6} {
				packed, want = append(packed, pack(t, content, level)...), append(want, content...)
			}
		}
	}
	got, err := io.ReadAll(NewReader(bytes.NewReader(packed)))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
	}
}

// bitWriter writes a stream by hand: the least bit first, except in codes (RFC 1951, section 3.1.1).
type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) bits(v, n int) *bitWriter {
	for i := range n {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
	return w
}

func (w *bitWriter) code(v, n int) *bitWriter {
	for i := n - 1; i >= 0; i-- {
		w.bits(v>>i&1, 1)
	}
	return w
}

// lengths describes a code for literals and one for distances (section 3.2.7), each length in 4 bits: the code for
// lengths has 16 symbols.
func (w *bitWriter) lengths(literals, distances []int) *bitWriter {
	w.bits(len(literals)-257, 5).bits(len(distances)-1, 5).bits(numLengths-4, 4)
	for _, symbol := range order {
		n := 0
		if symbol < 16 {
			n = 4
		}
		w.bits(n, 3)
	}
	for _, l := range append(literals, distances...) {
		w.code(l, 4)
	}
	return w
}

// member returns a gzip file that holds a stream.
func member(stream, content []byte) []byte {
	b := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, stream...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(content))
	return binary.LittleEndian.AppendUint32(b, uint32(len(content)))
}

// header returns an empty gzip file whose header has these flags, the fields that they announce, and a checksum.
func header(flags byte, fields string) []byte {
	b := append([]byte{0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 255}, fields...)
	b = binary.LittleEndian.AppendUint16(b, uint16(crc32.ChecksumIEEE(b)))
	return append(b, member([]byte{3, 0}, nil)[10:]...)
}

// some returns the lengths of n symbols: 0, except for these.
func some(n int, of map[int]int) []int {
	l := make([]int, n)
	for symbol, length := range of {
		l[symbol] = length
	}
	return l
}

func TestStreams(t *testing.T) {
	fixed := func() *bitWriter { return new(bitWriter).bits(1, 1).bits(1, 2) }
	dynamic := func() *bitWriter { return new(bitWriter).bits(1, 1).bits(2, 2) }
	a := func(w *bitWriter) *bitWriter { return w.code(0x30+'a', 8) }
	// One code of each length, the longest twice: a=1 bit, b=2 bits ... and the end of the block.
	deep := some(257, map[int]int{'a': 1, 'b': 2, 'c': 3, 'd': 4, 'e': 5, 'f': 6, 'g': 7, 'h': 8, 'i': 9, 'j': 10,
		'k': 11, 'l': 12, 'm': 13, 'n': 14, 'o': 15, 256: 15})
	good := func(w *bitWriter, content string) []byte { return member(w.b, []byte(content)) }
	for name, c := range map[string]struct {
		file []byte
		want string
		err  error
	}{
		"fixed": {good(a(fixed()).code(0, 7), "a"), "a", nil},
		"fixed, a copy of 258": {good(a(fixed()).code(0xc0+285-280, 8).code(0, 5).code(0, 7),
			strings.Repeat("a", 259)), strings.Repeat("a", 259), nil},
		"fixed, 258 as 227+31": {good(a(fixed()).code(0xc0+284-280, 8).bits(31, 5).code(0, 5).code(0, 7),
			strings.Repeat("a", 259)), strings.Repeat("a", 259), nil},
		"fixed, symbol 286":    {good(fixed().code(0xc0+286-280, 8).code(0, 7), ""), "", ErrCorrupt},
		"fixed, distance 30":   {good(a(fixed()).code(257-256, 7).code(30, 5).code(0, 7), ""), "a", ErrCorrupt},
		"too far back":         {good(a(fixed()).code(257-256, 7).code(1, 5).code(0, 7), ""), "a", ErrCorrupt},
		"type 3":               {good(new(bitWriter).bits(1, 1).bits(3, 2), ""), "", ErrCorrupt},
		"stored":               {good(&bitWriter{b: []byte{1, 2, 0, 0xfd, 0xff, 'h', 'i'}}, "hi"), "hi", nil},
		"stored, nothing":      {good(&bitWriter{b: []byte{0, 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff}}, ""), "", nil},
		"stored, wrong length": {good(&bitWriter{b: []byte{1, 2, 0, 0xfc, 0xff, 'h', 'i'}}, "hi"), "", ErrCorrupt},
		"codes of all lengths": {good(dynamic().lengths(deep, []int{0}).
			code(0, 1).code(0x7ffe, 15).code(0x7fe, 11).code(0xffe, 12).code(0x7fff, 15), "aokl"), "aokl", nil},
		"only an end": {good(dynamic().lengths(some(257, map[int]int{256: 1}), []int{0}).bits(0, 1), ""), "", nil},
		"only an end, and not taken": {good(dynamic().lengths(some(257, map[int]int{256: 1}), []int{0}).bits(1, 1),
			""), "", ErrCorrupt},
		"no end": {good(dynamic().lengths(some(257, map[int]int{'a': 1, 'b': 1}),
			[]int{0}).bits(0, 1), ""), "", ErrCorrupt},
		"an incomplete code": {good(dynamic().lengths(some(257, map[int]int{'a': 2, 256: 2}),
			[]int{0}).bits(0, 2), ""), "", ErrCorrupt},
		"an oversubscribed code": {good(dynamic().lengths(some(257, map[int]int{'a': 1, 'b': 1, 256: 1}),
			[]int{0}).bits(0, 2), ""), "", ErrCorrupt},
		"one distance": {good(dynamic().lengths(some(258, map[int]int{'a': 1, 256: 2, 257: 2}),
			[]int{1}).code(0, 1).code(3, 2).bits(0, 1).code(2, 2), "aaaa"), "aaaa", nil},
		"one distance, another taken": {good(dynamic().lengths(some(258, map[int]int{'a': 1, 256: 2, 257: 2}),
			[]int{1}).code(0, 1).code(3, 2).bits(1, 1).code(2, 2), "aaaa"), "a", ErrCorrupt},
		"a distance where there are none": {good(dynamic().lengths(some(258, map[int]int{'a': 1, 256: 2, 257: 2}),
			[]int{0}).code(0, 1).code(3, 2).bits(0, 1).code(2, 2), "aaaa"), "a", ErrCorrupt},
		"too many symbols":         {good(dynamic().bits(30, 5).bits(0, 5).bits(0, 4), ""), "", ErrCorrupt},
		"too many distances":       {good(dynamic().bits(0, 5).bits(30, 5).bits(0, 4), ""), "", ErrCorrupt},
		"no code for code lengths": {good(dynamic().bits(0, 5).bits(0, 5).bits(0, 4).bits(0, 12), ""), "", ErrCorrupt},
		"another checksum":         {good(a(fixed()).code(0, 7), "b"), "a", ErrChecksum},
		"another size":             {append(good(a(fixed()).code(0, 7), "a")[:17], 2, 0, 0, 0), "a", ErrChecksum},
		"a long header":            {header(0x1e, "\x05\x00extraname\x00comment\x00"), "", nil},
		"a header with another checksum": {bytes.Replace(header(0x1e, "\x05\x00extraname\x00comment\x00"),
			[]byte("comment"), []byte("Comment"), 1), "", ErrHeader},
		"a header without its end": {header(0x1e, "\x05\x00extraname\x00comment\x00")[:20], "", io.ErrUnexpectedEOF},
		"no member":                {nil, "", io.ErrUnexpectedEOF},
		"something else":           {[]byte("ustar and more"), "", ErrHeader},
		"something else behind it": {append(good(a(fixed()).code(0, 7), "a"), "more than that"...), "a", ErrHeader},
		"half a header behind it":  {append(good(a(fixed()).code(0, 7), "a"), 0x1f, 0x8b), "a", io.ErrUnexpectedEOF},
		"reserved flags":           {[]byte("\x1f\x8b\x08\x20\x00\x00\x00\x00\x00\xff"), "", ErrHeader},
		"another method":           {[]byte("\x1f\x8b\x07\x00\x00\x00\x00\x00\x00\xff"), "", ErrHeader},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := io.ReadAll(NewReader(bytes.NewReader(c.file)))
			if string(got) != c.want || !errors.Is(err, c.err) {
				t.Errorf("read %q, %v; want %q, %v", got, err, c.want, c.err)
			}
		})
	}
}

// TestTruncated cuts a file at each place.
func TestTruncated(t *testing.T) {
	content := contents()["text"][:3000]
	packed := pack(t, content, 6)
	for n := range packed {
		got, err := io.ReadAll(NewReader(bytes.NewReader(packed[:n])))
		if err != io.ErrUnexpectedEOF || !bytes.HasPrefix(content, got) {
			t.Fatalf("of %d bytes the first %d: %d bytes, %v; want io.ErrUnexpectedEOF", len(packed), n, len(got), err)
		}
	}
}

// TestSourceFails checks that the error of the source comes through, after what was read before it.
func TestSourceFails(t *testing.T) {
	content := contents()["text"]
	packed := pack(t, content, 6)
	cause := errors.New("the cable is out")
	z := NewReader(io.MultiReader(bytes.NewReader(packed[:len(packed)-1000]), iotest.ErrReader(cause)))
	got, err := io.ReadAll(z)
	if err != cause || len(got) == 0 || !bytes.HasPrefix(content, got) {
		t.Errorf("%d bytes, %v; want what came before, and %v", len(got), err, cause)
	}
	if n, again := z.Read(make([]byte, 1)); n != 0 || again != cause {
		t.Errorf("then %d, %v; want 0, %v", n, again, cause)
	}
	if _, err := io.ReadAll(NewReader(stuck{})); err != io.ErrNoProgress {
		t.Errorf("of a source that gives nothing: %v; want %v", err, io.ErrNoProgress)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// compare compares what is read of a file with what the standard library reads.
func compare(t *testing.T, file []byte) {
	t.Helper()
	const most = 8 << 20 // of a bomb
	got, err := io.ReadAll(io.LimitReader(NewReader(iotest.HalfReader(bytes.NewReader(file))), most))
	var want []byte
	std, wantErr := gzip.NewReader(bytes.NewReader(file))
	if wantErr == nil {
		want, wantErr = io.ReadAll(io.LimitReader(std, most))
	}
	switch {
	case err == nil && (wantErr != nil || !bytes.Equal(got, want)):
		t.Errorf("%x: read %d bytes; compress/gzip reads %d, %v", file, len(got), len(want), wantErr)
	case err != nil && wantErr == nil:
		// RFC 1952 wants reserved flags to be refused (section 2.3.1.2), and RFC 1951 has no block without an end.
		if !strings.Contains(err.Error(), ErrHeader.Error()) {
			t.Errorf("%x: read %d bytes, %v; compress/gzip reads %d", file, len(got), err, len(want))
		}
	}
	n := min(len(got), len(want))
	if !bytes.Equal(got[:n], want[:n]) {
		t.Errorf("%x: read other bytes than compress/gzip", file)
	}
}

// TestDamaged has files with a few wrong bits. They are refused, or read as the standard library reads them.
func TestDamaged(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for name, content := range contents() {
		for _, level := range []int{flate.HuffmanOnly, 1, 6} {
			packed := pack(t, content[:min(len(content), 20_000)], level)
			for range 200 {
				damaged := bytes.Clone(packed)
				for range 1 + r.IntN(3) {
					damaged[r.IntN(len(damaged))] ^= 1 << r.IntN(8)
				}
				compare(t, damaged)
			}
			if t.Failed() {
				t.Fatalf("%s, level %d", name, level)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, content := range contents() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6} {
			f.Add(pack(f, content[:min(len(content), 500)], level))
		}
	}
	f.Fuzz(compare)
}

// FuzzStream reads streams of the fuzzer, in files with the right checksum if the stream can be read.
func FuzzStream(f *testing.F) {
	for _, content := range contents() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6} {
			packed := pack(f, content[:min(len(content), 500)], level)
			f.Add(packed[10 : len(packed)-8])
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		const most = 8 << 20
		want, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(stream)), most))
		if err == nil && len(want) < most {
			compare(t, member(stream, want))
			return
		}
		compare(t, member(stream, nil))
	})
}

// layer returns the program of this test as a gzip file, or the layer that LAYER names.
func layer(b *testing.B) []byte {
	file := os.Getenv("LAYER")
	if file == "" {
		var err error
		if file, err = os.Executable(); err != nil {
			b.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		data = pack(b, data, 6)
	}
	return data
}

// BenchmarkRead compares the libraries. They read the program of this test, or the layer that LAYER names.
func BenchmarkRead(b *testing.B) {
	data := layer(b)
	for _, way := range []struct {
		name string
		open func(io.Reader) (io.Reader, error)
	}{
		{"inflate", func(r io.Reader) (io.Reader, error) { return NewReader(r), nil }},
		{"klauspost", func(r io.Reader) (io.Reader, error) { return klauspost.NewReader(r) }},
		{"standard library", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			for b.Loop() {
				z, err := way.open(bytes.NewReader(data))
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, z)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(n)
			}
		})
	}
}

// TestEmptyBlocks checks that no file takes much longer than its size suggests. Empty blocks cost the most for their
// size.
func TestEmptyBlocks(t *testing.T) {
	w := new(bitWriter)
	for range 200_000 {
		w.bits(0, 1).bits(1, 2).code(0, 7)
	}
	w.bits(1, 1).bits(1, 2).code(0, 7)
	begin := time.Now()
	got, err := io.ReadAll(NewReader(bytes.NewReader(member(w.b, nil))))
	if err != nil || len(got) != 0 || time.Since(begin) > 10*time.Second {
		t.Errorf("%d bytes, %v after %v", len(got), err, time.Since(begin))
	}
}
