package boot

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestEarlyLayers chooses the small layers, which are an eighth of all bytes together at most.
func TestEarlyLayers(t *testing.T) {
	for _, c := range []struct {
		sizes []int64
		want  []int
	}{
		{nil, nil},
		{[]int64{100}, nil},
		{[]int64{0}, []int{0}},
		{[]int64{100, 100}, nil},
		{[]int64{100, 1}, []int{1}},
		{[]int64{1, 100, 2}, []int{0, 2}},
		{[]int64{50, 60, 0, 1, 26, 1}, []int{2, 5, 3}},
		{[]int64{100, -1, 1}, []int{2}}, // nobody knows how large the second one is
		{[]int64{8, 8, 8, 8, 8, 8, 8, 8, 8}, []int{8}},
	} {
		if got := early(c.sizes); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("early(%v) = %v, want %v", c.sizes, got, c.want)
		}
	}
}

// TestEarlyOnce downloads each layer once, and makes the same image of the root each time, which has nothing of what
// the topmost layer deletes. A file that has another name than the deleted one is downloaded once more.
func TestEarlyOnce(t *testing.T) {
	noise := make([]byte, 18<<20) // a larger layer is asked for in parts
	rand.NewChaCha8([32]byte{1}).Read(noise)
	for _, c := range []struct {
		more []imagetest.Entry
		want []int // how often each layer is downloaded
		mib  int   // in the image, at most
	}{
		{nil, []int{1, 1}, 13},
		{[]imagetest.Entry{imagetest.Link("stays", "gone")}, []int{2, 1}, 31},
	} {
		var first string
		for range 2 {
			w := newWorld(t, users()["wyrboot"])
			w.Root, w.leaves = bundle.SquashFS, true
			var again int64
			w.Again = func(n int64) { again += n }
			lower := bootable(append(c.more, imagetest.File("boot/config-"+version, mounts+
				"CONFIG_BLK_DEV_PMEM=y\nCONFIG_X86_PMEM_LEGACY=y\n"), imagetest.File("gone", string(noise)))...)
			lower.Compression = imagetest.Plain
			img := w.push(lower, imagetest.Files(imagetest.Whiteout("gone")))
			if step, err := w.run(t.Context(), img); err != nil {
				t.Fatalf("%s = %v", step, err)
			}
			if got := w.asked(img); !slices.Equal(got, c.want) || again != int64(c.want[0]-1)*img.Layers[0].Size {
				t.Errorf("the layers were read %v times, %d bytes again; want %v", got, again, c.want)
			}
			if n := len(w.image); n > c.mib<<20 || n < (c.mib-3)<<20 || first != "" && w.image != first {
				t.Errorf("the image has %d bytes; it is the same as the first time: %v", n, w.image == first)
			}
			first = w.image
		}
	}
}
