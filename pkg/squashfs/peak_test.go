package squashfs

import (
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// TestPeak makes images of layers in which much is hidden. At no moment they have more memory than when the last layer
// had arrived, but for a window; and soon much less.
func TestPeak(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	noise := func(size int) string {
		b := make([]byte, size)
		random.Read(b)
		return string(b)
	}
	many := func(prefix string, n, size int) (list []imagetest.Entry) {
		for i := range n {
			list = append(list, imagetest.File(fmt.Sprint(prefix, i), noise(size)))
		}
		return list
	}
	hide := func(prefix string, n, each int) (list []imagetest.Entry) {
		for i := 0; i < n; i += each {
			list = append(list, imagetest.Whiteout(fmt.Sprint(prefix, i)))
		}
		return list
	}
	const window = 3 << 20
	for name, c := range map[string]struct {
		layers []imagetest.Layer
		end    int64 // MiB in the image
	}{
		"small files": {[]imagetest.Layer{
			imagetest.Files(many("a", 1600, 20<<10)...), imagetest.Files(hide("a", 1600, 5)...)}, 25},
		"small files of two layers": {[]imagetest.Layer{imagetest.Files(many("a", 1000, 20<<10)...),
			imagetest.Files(many("b", 800, 20<<10)...),
			imagetest.Files(append(hide("a", 1000, 4), hide("b", 800, 4)...)...)}, 26},
		"large files": {[]imagetest.Layer{imagetest.Files(many("a", 20, 1<<20)...),
			imagetest.Files(many("b", 30, 1<<20)...),
			imagetest.Files(append(hide("a", 20, 2), hide("b", 30, 3)...)...)}, 30},
		"a large one in front": {[]imagetest.Layer{
			imagetest.Files(append(many("a", 1, 10<<20), many("b", 20, 1<<20)...)...),
			imagetest.Files(imagetest.Whiteout("a0"))}, 20},
	} {
		var mu sync.Mutex
		var layers []*Layer
		held := func() (n int64) {
			mu.Lock()
			defer mu.Unlock()
			for _, l := range layers {
				var st unix.Stat_t
				if err := unix.Fstat(int(l.f.Fd()), &st); err != nil {
					t.Error(err)
				}
				n += st.Blocks * 512
			}
			return n
		}
		most := int64(0)
		p, err := New(Options{Grow: func() error { most = max(most, held()); return nil }})
		if err != nil {
			t.Fatal(err)
		}
		var in []rootfs.Layer
		for _, l := range c.layers {
			l.Compression = imagetest.Plain
			in = append(in, l.Blob(t))
		}
		tree, err := rootfs.Read(t.Context(), in, rootfs.Options{AtOnce: 1, Store: func() (rootfs.Store, error) {
			s, err := p.Store()
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				layers = append(layers, s.(*Layer))
			}
			return s, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		before := held()
		most = 0
		f, err := p.Image(t.Context(), tree, time.Unix(0, 0), nil)
		if err != nil {
			t.Fatal(err)
		}
		if most > before+window {
			t.Errorf("%s: the layers had %d KiB, and while the image was made %d", name, before>>10, most>>10)
		}
		if end := held(); end > c.end<<20+window {
			t.Errorf("%s: the image has %d KiB", name, end>>10)
		}
		size, err := f.Seek(0, io.SeekEnd)
		if err != nil || size < c.end<<20-window {
			t.Errorf("%s: the image has %d bytes, %v", name, size, err)
		}
		f.Close()
		tree.Close()
	}
}
