package initrd

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// describe returns the pieces of a layout as text.
func describe(l *layout) string {
	var all []string
	for _, p := range l.pieces {
		s := ""
		switch p := p.(type) {
		case early:
			s = fmt.Sprint("early ", len(p))
		case records:
			s = fmt.Sprint("records ", p.from, "-", p.to)
		case large:
			s = fmt.Sprint("large ", p.from, "-", p.to, map[bool]string{true: " plain"}[p.plain])
		case trailer:
			s = "trailer" + map[bool]string{true: " plain"}[p.plain]
		case packed:
			s = fmt.Sprint("packed ", p.frame.Records)
		case kept:
			s = fmt.Sprint("kept ", p.bytes)
		case filler:
			s = fmt.Sprint("filler ", p.bytes)
		}
		all = append(all, s)
	}
	return strings.Join(all, ", ")
}

// TestLayout lays out one image in all forms. Nothing is written: what an initrd is made of is known before.
func TestLayout(t *testing.T) {
	noise := make([]byte, 6<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	some := string(noise[:1<<20])
	layers := []imagetest.Layer{
		imagetest.Files(imagetest.File("a", some), imagetest.File("b", some), imagetest.File("gone", "12345678"),
			imagetest.File("c", some), imagetest.Link("d", "c"), imagetest.File("large", string(noise)),
			imagetest.Symlink("link", "a"), imagetest.File("e", some)),
		imagetest.Files(imagetest.Whiteout("gone"), imagetest.File("upper", "x")),
	}
	const header, trailer = 112, 124 // of a path with one letter
	const mib = 1 << 20
	first, most := make([]byte, 512), make([]byte, spool.Front)
	for _, c := range []struct {
		name   string
		memory int64
		opt    Options
		want   string
	}{
		// Entries: the root; a, b, c and d, large, link, e, upper.
		{"single", 0, Options{Single: true}, "records 0-9, trailer"},
		{"gzip", 1, Options{Compression: Gzip}, "records 0-9, trailer"},
		{"packed and not compressed", 1, Options{}, "records 0-9, trailer"},
		// a and b stay where they are, and large and e. gone and c go: c has two names.
		{"in place", 0, Options{}, fmt.Sprint("records 0-1, filler ", spool.Front-header,
			", kept ", 2*(header+mib), ", filler ", 116+8+header+mib,
			", kept ", 116+6*mib+header+mib, ", records 1-5, trailer")},
		// c and d share an archive with a and b, as all four fit; large has one for itself.
		{"zstd", 0, Options{Compression: Zstd},
			"records 0-1, trailer, records 1-5, trailer, large 5-6, records 6-9, trailer"},
		{"mixed", 0, Options{Compression: Mixed, Plain: 7 << 20},
			"records 0-1, trailer plain, records 1-5, trailer plain, large 5-6, records 6-9, trailer plain"},
		{"mixed, all of it", 0, Options{Compression: Mixed, Plain: 20 << 20},
			"records 0-1, trailer plain, records 1-5, trailer plain, large 5-6 plain, records 6-9, trailer plain"},
		// Whole frames go over. gone is in a frame for itself, and c in one that nobody wants as it is.
		{"packed", 1, Options{Compression: Zstd},
			"records 0-1, trailer, packed 1, packed 1, records 1-3, packed 1, records 3-4, packed 1, packed 1, trailer"},
		// What comes first takes of the room before the stream; what has no room there is followed by a new archive.
		{"early, single", 0, Options{Single: true, Early: first}, "early 512, records 0-9, trailer"},
		{"early, in place", 0, Options{Early: first}, fmt.Sprint("early 512, records 0-1, filler ", spool.Front-header-512,
			", kept ", 2*(header+mib), ", filler ", 116+8+header+mib,
			", kept ", 116+6*mib+header+mib, ", records 1-5, trailer")},
		{"early, no room", 0, Options{Early: most}, fmt.Sprint("early ", spool.Front, ", records 0-9, trailer")},
		{"early, packed", 1, Options{Compression: Zstd, Early: first}, "early 512, records 0-1, trailer, packed 1, " +
			"packed 1, records 1-3, packed 1, records 3-4, packed 1, packed 1, trailer"},
		{"early, mixed", 0, Options{Compression: Mixed, Plain: 7 << 20, Early: first}, "early 512, records 0-1, " +
			"trailer plain, records 1-5, trailer plain, large 5-6, records 6-9, trailer plain"},
	} {
		var in []rootfs.Layer
		for _, l := range layers {
			in = append(in, l.Blob(t))
		}
		tree, err := rootfs.Read(t.Context(), in, rootfs.Options{Memory: c.memory})
		if err != nil {
			t.Fatal(err)
		}
		defer tree.Close()
		l, err := layOut(t.Context(), tree, newRules(c.opt))
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(l); got != c.want {
			t.Errorf("%s: laid out as\n%s, want\n%s", c.name, got, c.want)
		}
		if l.result.Records != 9 {
			t.Errorf("%s: %d records, want 9", c.name, l.result.Records)
		}
		f, result, err := Make(t.Context(), tree, c.opt)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if result != l.result || c.opt.Compression == None && info.Size() != result.Size {
			t.Errorf("%s: Make has made %+v in a file of %d bytes, laid out was %+v", c.name, result, info.Size(), l.result)
		}
		f.Close()
	}
}
