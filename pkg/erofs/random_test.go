package erofs_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// layersOf returns random layers, whose files collide often and have holes now and then.
func layersOf(a, b uint64) []imagetest.Layer {
	r := rand.New(rand.NewPCG(a, b))
	if a%4 == 3 {
		return imagetest.Odd(r)
	}
	layers := imagetest.Random(r)
	for i := range layers {
		for range r.IntN(30) {
			text := random(byte(r.IntN(20)), r.IntN(1<<r.IntN(19)))
			if r.IntN(8) == 0 {
				text += string(make([]byte, 1<<20+r.IntN(1<<20))) + text[:len(text)/2]
			}
			layers[i].Entries = append(layers[i].Entries, imagetest.File(fmt.Sprint(r.IntN(40)), text))
		}
	}
	return layers
}

// FuzzImage makes images of layers of random files.
func FuzzImage(f *testing.F) {
	for i := range uint64(20) {
		f.Add(i, i*7)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		layers := layersOf(a, b)
		p, tree, err := attempt(t, layers)
		if err != nil {
			return
		}
		want, err := report.FromTree(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		image, err := os.ReadFile(write(t, p, tree, nil))
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(image, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, imagetest.Describe(layers))
		}
		// What upper layers have replaced leaves no gaps.
		var pages int64
		for n, err := range tree.All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			pages += (n.Size + blockSize - 1) &^ (blockSize - 1)
			for _, name := range p.Lost(n) {
				delete(want[n.Path].Xattrs, name)
			}
		}
		for _, d := range report.Diff(want, got, 20) {
			t.Errorf("%s\n%s", d, imagetest.Describe(layers))
		}
		if size := int64(len(image)); size > pages+pages/64+1<<20 {
			t.Errorf("files of %d bytes became an image of %d", pages, size)
		}
	})
}

// TestUnpacked reads contents as an initramfs does, which is made of them if the kernel cannot mount the image: once,
// in the order of the layer, in steps of any size, while their memory is given back.
func TestUnpacked(t *testing.T) {
	p, _ := read(t)
	store, err := p.Store()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var all strings.Builder
	var places []int64
	var texts []string
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		text := random(byte(i%25), r.IntN(1<<r.IntN(20))) // some are equal
		if i%10 == 0 {
			text = string(make([]byte, 2<<20)) + text
		}
		off, err := store.Add(spool.File{Size: int64(len(text))}, strings.NewReader(text))
		if err != nil || off != int64(all.Len()) {
			t.Fatalf("Add = %d, %v, want %d", off, err, all.Len())
		}
		places, texts = append(places, off), append(texts, text)
		all.WriteString(text)
	}
	if err := store.Seal(); err != nil {
		t.Fatal(err)
	}
	for _, release := range []bool{false, true} {
		var reader rootfs.Reader = store.Open(release)
		for i, text := range texts {
			got := make([]byte, len(text))
			for at := 0; at < len(got); {
				n := min(len(got)-at, 1+r.IntN(100_000))
				if _, err := reader.ReadAt(got[at:at+n], places[i]+int64(at)); err != nil {
					t.Fatal(err)
				}
				at += n
			}
			if string(got) != text {
				t.Errorf("content %d of %d bytes differs, with release: %v", i, len(text), release)
			}
		}
		if n, err := reader.ReadAt(make([]byte, 10), int64(all.Len())-3); n != 3 || err != io.EOF {
			t.Errorf("ReadAt at the end = %d, %v", n, err)
		}
	}
}

// TestLarge has a file that needs 64 bits for its size, and much less memory. Only its last bytes are compared.
func TestLarge(t *testing.T) {
	t.Parallel()
	const size = 5<<30 + 5
	p, tree := read(t, imagetest.Files(imagetest.PAXSparse("f", "end", size-3, size), imagetest.File("g", "x")))
	image, err := os.ReadFile(write(t, p, tree, nil))
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(image, func(path string) bool { return path == "f" })
	if err != nil {
		t.Fatal(err)
	}
	if got["f"].Size != size || len(image) > 4<<20+64<<10 {
		t.Errorf("the file has %d bytes, and the image %d", got["f"].Size, len(image))
	}
	if !strings.Contains(string(image), "\x00end\x00") {
		t.Error("the image does not have the end of the file")
	}
}
