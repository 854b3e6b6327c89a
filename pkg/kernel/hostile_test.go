package kernel

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// linuxAt returns a PE file of n bytes with a section .linux of that offset and size in the file.
func linuxAt(n int, off, size uint32) []byte {
	b := make([]byte, n)
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[0x46:], 1)
	copy(b[0x58:], ".linux")
	binary.LittleEndian.PutUint32(b[0x58+16:], size)
	binary.LittleEndian.PutUint32(b[0x58+20:], off)
	return b
}

// Parse refuses kernels that contain themselves or each other, and does so at once.
func TestNested(t *testing.T) {
	self := linuxAt(1024, 0, 1024)
	shrinking := linuxAt(1024, 0, 512)
	// Two images that contain each other: the section of the second one begins before it.
	pair := append(linuxAt(512, 512, 512), linuxAt(512, 0, 512)...)
	virtual := bytes.Clone(self)
	binary.LittleEndian.PutUint32(virtual[0x58+8:], 700)
	zbootOfSelf := linuxAt(1024, 0, 1024)
	copy(zbootOfSelf[4:], "zimg")
	binary.LittleEndian.PutUint32(zbootOfSelf[12:], 1024)
	copy(zbootOfSelf[24:], "gzip")
	deep := imagetest.BzImage("6.1")
	for range 1000 {
		deep = efi(map[string][]byte{".linux": deep})
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"itself":              {self, "inside another"},
		"its own beginning":   {shrinking, "inside another"},
		"by its virtual size": {virtual, "inside another"},
		"one after the other": {pair, "inside another"},
		"a thousand of them":  {deep, "inside another"},
		"a zboot of itself":   {zbootOfSelf, "damaged"},
		"gzip in gzip":        {gzipped(gzipped(imagetest.Arm64Image("6.1"))), "no kernel"},
		"a zboot in a zboot":  {zboot("gzip", gzipped(zboot("gzip", gzipped(imagetest.Arm64Image("6.1"))))), "no kernel"},
		"a UKI in a zboot": {zboot("gzip", gzipped(efi(map[string][]byte{".linux": imagetest.BzImage("6.1")}))),
			"no kernel"},
		"a UKI in a gzip file": {gzipped(efi(map[string][]byte{".linux": imagetest.BzImage("6.1")})), "no kernel"},
		"an EFI program in one": {efi(map[string][]byte{".linux": efi(map[string][]byte{".text": {1}})}),
			"EFI program again"},
	} {
		k, err := Parse(bytes.NewReader(c.file), int64(len(c.file)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Parse = %+v, %v, want an error with %q", name, k, err, c.want)
		}
	}
}

// image returns an arm64 Image of n bytes, almost all of them zero.
func image(n int) []byte {
	b := make([]byte, n)
	copy(b[56:], "ARM\x64")
	return b
}

// windowed compresses b with a window of that size, which is stated in the frame's header (RFC 8878 section 3.1.1.1.2).
func windowed(t *testing.T, window int, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(window), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Parse refuses what decompresses to more than maxImage, in each wrapper, alone and in a unified kernel image.
func TestBombs(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test takes hundreds of MiB apart")
	}
	bomb, fits := image(maxImage+1), image(maxImage)
	gzipBomb := gzipped(bomb)
	for name, c := range map[string]struct {
		file []byte
		want string // "" is a kernel
	}{
		"gzip":              {gzipBomb, "more than 256 MiB"},
		"zboot gzip":        {zboot("gzip", gzipBomb), "more than 256 MiB"},
		"zboot zstd":        {zboot("zstd22", zstded(bomb)), "more than 256 MiB"},
		"the largest":       {zboot("zstd", zstded(fits)), ""},
		"gzip, no kernel":   {gzipped(make([]byte, 300<<20)), "no kernel"},
		"zstd, no kernel":   {zboot("zstd", zstded(make([]byte, 300<<20))), "no kernel"},
		"a window too wide": {zboot("zstd", windowed(t, 256<<20, append(image(1<<20), make([]byte, 300<<20)...))), "window"},
		"a wide window":     {zboot("zstd", windowed(t, 128<<20, image(1<<20))), ""},
	} {
		for _, form := range []string{"alone", "in a UKI"} {
			t.Run(name+" "+form, func(t *testing.T) {
				t.Parallel()
				file := c.file
				if form != "alone" {
					file = efi(map[string][]byte{".linux": file})
				}
				k, err := Parse(bytes.NewReader(file), int64(len(file)))
				if err == nil {
					k.Image.Close()
				}
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("Parse = %+v, %v, want an error with %q", k, err, c.want)
				}
			})
		}
	}
}

// Parse refuses a file that is too large before it reads it.
func TestTooLarge(t *testing.T) {
	zeros := io.NewSectionReader(zeroes{}, 0, 1<<62)
	if _, err := Parse(zeros, MaxFile+1); err == nil || !strings.Contains(err.Error(), "1024 MiB") {
		t.Errorf("a file larger than any kernel: %v", err)
	}
	uki := linuxAt(0x400, 0x200, maxImage+0x1000)
	large := &overlaid{uki, imagetest.BzImage("6.1"), 0x200}
	if _, err := Parse(large, MaxFile); err == nil || !strings.Contains(err.Error(), "more than 256 MiB") {
		t.Errorf("a unified kernel image with a kernel that is too large: %v", err)
	}
}

type zeroes struct{}

func (zeroes) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

// overlaid is a file of zeros with two pieces in it: first at the beginning, second at offset at.
type overlaid struct {
	first, second []byte
	at            int64
}

func (o *overlaid) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(o.first)) {
		copy(p, o.first[off:])
	}
	if end := off + int64(len(p)); end > o.at && off <= o.at {
		copy(p[o.at-off:], o.second)
	}
	if off > o.at && off < o.at+int64(len(o.second)) {
		copy(p, o.second[off-o.at:])
	}
	return len(p), nil
}

// Parse does not read relocations. Here many sections share one large table of them.
func TestSharedTables(t *testing.T) {
	bz := imagetest.BzImage("6.1")
	const many = 20000
	b := make([]byte, 0x58+40*many, 2<<20)
	copy(b, linuxAt(0x80, 0, 0))
	binary.LittleEndian.PutUint16(b[0x46:], many)
	le := binary.LittleEndian
	for i := range many {
		h := b[0x58+40*i:]
		copy(h, ".reloc\x00\x00")
		le.PutUint32(h[24:], 0x58) // PointerToRelocations
		le.PutUint16(h[32:], 65535)
	}
	copy(b[0x58:], ".linux\x00\x00")
	le.PutUint32(b[0x58+16:], uint32(len(bz)))
	le.PutUint32(b[0x58+20:], uint32(len(b)))
	b = append(b, bz...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	k, err := Parse(bytes.NewReader(b), int64(len(b)))
	if err != nil || k.Version != "6.1" {
		t.Fatalf("Parse = %+v, %v", k, err)
	}
	k.Image.Close()
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
		t.Errorf("Parse took %d MiB and %v", used>>20, time.Since(begin))
	}
	if _, err := pe.NewFile(bytes.NewReader(efi(map[string][]byte{".linux": bz}))); err != nil {
		t.Errorf("debug/pe cannot read the file that this test makes: %v", err)
	}
}
