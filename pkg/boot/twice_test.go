package boot

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

const readsTwice = "memory is tight: reading the layers twice"

// hiding is an image of some 12 MiB, of which the lowest layer has 18 MiB more that the topmost one deletes. Another
// layer has nothing else.
func (w *world) hiding() *image.Image {
	w.t.Helper()
	noise := make([]byte, 18<<20) // a larger layer is asked for in parts
	rand.NewChaCha8([32]byte{1}).Read(noise)
	lower := bootable(imagetest.File("boot/config-"+version, mounts), imagetest.File("gone", string(noise)))
	lower.Compression = imagetest.Plain
	ref := w.registry.Push(w.t, "hiding", imagetest.Image(w.t, lower, imagetest.Files(imagetest.File("also", "gone")),
		imagetest.Files(imagetest.File("upper", "stays"), imagetest.Whiteout("gone"), imagetest.Whiteout("also"))))
	source := &image.Source{Insecure: func(string) bool { return true }, Tries: 1, Backoff: time.Millisecond}
	img, err := source.Resolve(w.t.Context(), ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return img
}

// asked returns how often the registry was asked for each layer.
func (w *world) asked(img *image.Image) (times []int) {
	for _, l := range img.Layers {
		n := 0
		for _, r := range w.registry.Requests() {
			if strings.HasPrefix(r, http.MethodGet) && strings.Contains(r, l.Digest.String()) {
				n++
			}
		}
		times = append(times, n)
	}
	return times
}

// TestTwice reads layers twice where they would not fit all together, and nowhere else.
func TestTwice(t *testing.T) {
	for name, row := range map[string]struct {
		root      bundle.Root
		available int64 // MiB
		want      []int // how often each layer is read
	}{
		"plenty":                       {bundle.SquashFS, 1024, []int{1, 1, 1}},
		"tight":                        {bundle.SquashFS, 100, []int{2, 1, 2}},
		"tight, for an unpacked root":  {bundle.Tmpfs, 100, []int{1, 1, 1}},
		"enough, compressed":           {bundle.SquashFS, 150, []int{1, 1, 1}},
		"tight, not compressed":        {bundle.EROFS, 150, []int{2, 1, 2}},
		"plenty, not compressed":       {bundle.EROFS, 1024, []int{1, 1, 1}},
		"less than its layers":         {bundle.SquashFS, 72, []int{2, 1, 2}},
		"less than a quarter of these": {bundle.SquashFS, 50, []int{0, 0, 0}},
	} {
		for user, budget := range users() {
			w := newWorld(t, budget)
			w.Budget.Reserve = 0
			w.Root = row.root
			w.available.Store(row.available << 20)
			var again int64
			w.Again = func(n int64) { again += n }
			img := w.hiding()
			tree, err := w.Read(t.Context(), img)
			if refused := row.want[0] == 0; refused != (err != nil) || refused != short(err) {
				t.Errorf("%s, %s: Read = %v", name, user, err)
				continue
			}
			const refusal = "too little memory: to hold even a quarter of the image's layers takes "
			if err != nil && (!strings.Contains(err.Error(), refusal) ||
				!strings.HasSuffix(err.Error(), " while the kernel loads it) and this machine has 50 MiB free; "+budget.Remedy)) {
				t.Errorf("%s, %s: Read = %v", name, user, err)
			}
			if got := w.asked(img); !slices.Equal(got, row.want) {
				t.Errorf("%s, %s: the layers were read %v times, want %v", name, user, got, row.want)
			}
			if err != nil {
				continue
			}
			tree.Close()
			wantAgain := int64(0)
			if row.want[0] == 2 {
				wantAgain = img.Layers[0].Size + img.Layers[2].Size
			}
			said := slices.ContainsFunc(w.said, func(s string) bool { return strings.HasPrefix(s, readsTwice) })
			if said != (wantAgain > 0) || again != wantAgain {
				t.Errorf("%s, %s: it said %q, and that %d bytes come again; want %d", name, user, w.said, again, wantAgain)
			}
		}
	}
}

// TestTwiceOne reads a single layer once, also below one of this machine's own.
func TestTwiceOne(t *testing.T) {
	w := newWorld(t, users()["wyrboot"])
	w.Root = bundle.SquashFS
	w.available.Store(100 << 20)
	img := w.push(bootable(imagetest.File("boot/config-"+version, mounts)))
	tree, err := w.Read(t.Context(), img, imagetest.Files(imagetest.File("own", "of this machine")).Blob(t))
	if err != nil {
		t.Fatal(err)
	}
	tree.Close()
	if got := w.asked(img); !slices.Equal(got, []int{1}) || len(w.said) > 0 {
		t.Errorf("the layer was read %v times; it said %q", got, w.said)
	}
}

// TestTwiceBoots loads the same files as if the layers had been read once, and needs no more memory.
func TestTwiceBoots(t *testing.T) {
	sizes := map[int64]int{}
	for _, available := range []int64{1024, 100} {
		w := newWorld(t, users()["wyrboot"])
		w.Root, w.leaves = bundle.SquashFS, true
		w.available.Store(available << 20)
		w.beforeLoad = func() { w.available.Store(1 << 30) }
		noise := make([]byte, 20<<20)
		rand.NewChaCha8([32]byte{1}).Read(noise)
		lower := bootable(imagetest.File("boot/config-"+version, mounts+"CONFIG_BLK_DEV_PMEM=y\nCONFIG_X86_PMEM_LEGACY=y\n"),
			imagetest.File("gone", string(noise)))
		lower.Compression = imagetest.Plain
		img := w.push(lower, imagetest.Files(imagetest.Whiteout("gone")))
		if step, err := w.run(t.Context(), img); err != nil {
			t.Fatalf("with %d MiB: %s = %v", available, step, err)
		}
		if !strings.HasPrefix(w.image, "hsqs") || len(w.image) > 13<<20 {
			t.Errorf("with %d MiB the image has %d bytes", available, len(w.image))
		}
		sizes[available] = len(w.image)
	}
	if apart := sizes[100] - sizes[1024]; max(apart, -apart) > 64<<10 {
		t.Errorf("the images have %v bytes", sizes)
	}
}

// TestTwiceLate begins again where the layers turn out to take more memory than they should.
func TestTwiceLate(t *testing.T) {
	w := newWorld(t, users()["wyrboot"])
	w.Root = bundle.SquashFS
	img := w.hiding()
	reads, spared, again := 0, 0, int64(0)
	w.Budget.Read = func() (memory.Info, error) {
		if reads++; reads == 10 {
			return memory.Info{Total: 2 << 30, Available: 20 << 20}, nil
		}
		return memory.Info{Total: 2 << 30, Available: w.available.Load()}, nil
	}
	w.Spare = func() { spared++ }
	w.Again = func(n int64) { again += n }
	tree, err := w.Read(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	want := img.Size() + img.Layers[0].Size + img.Layers[2].Size
	if again != want || spared != 1 || !strings.HasPrefix(strings.Join(w.said, "\n"), readsTwice) {
		t.Errorf("%d bytes came again, want %d; memory was given up %d times; it said %q", again, want, spared, w.said)
	}
}

// TestTwiceTooMuch refuses, before anything is downloaded again, files that the memory cannot hold and load however they
// are packed.
func TestTwiceTooMuch(t *testing.T) {
	w := newWorld(t, users()["wyrboot"])
	w.Root = bundle.SquashFS
	w.available.Store(57 << 20)
	img := w.push(bootable(), imagetest.Files(imagetest.File("upper", "stays")))
	_, err := w.Read(t.Context(), img)
	const want = "too little memory: to hold the image's files, of 13 MiB, takes 60 MiB or more, even packed " +
		"(with a copy while the kernel loads it), and this machine has 57 MiB free; use a smaller image or add memory"
	if !short(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("Read = %v, want %q", err, want)
	}
	if got := w.asked(img); !slices.Equal(got, []int{1, 1}) {
		t.Errorf("the layers were read %v times", got)
	}
}

// TestTwiceHostile has a registry that sends something else the second time, or nothing.
func TestTwiceHostile(t *testing.T) {
	for name, row := range map[string]struct {
		do    imagetest.Effect
		says  string
		heals bool
	}{
		"other bytes": {imagetest.Flip(1 << 20), "its bytes are wrong: their digest is", true},
		"not there":   {imagetest.Status(http.StatusNotFound, ""), "does not have it", false},
		"too busy":    {imagetest.Status(http.StatusServiceUnavailable, ""), "503", true},
	} {
		w := newWorld(t, users()["wyrboot"])
		w.Root = bundle.SquashFS
		w.available.Store(100 << 20)
		img := w.hiding()
		lowest := v1.Hash(img.Layers[0].Digest)
		w.registry.Fail(imagetest.Fault{Path: lowest.String(), Skip: 1, Do: row.do})
		tree, err := w.Read(t.Context(), img)
		if err == nil {
			tree.Close()
			t.Errorf("%s: Read succeeds", name)
			continue
		}
		if short(err) || !strings.Contains(err.Error(), row.says) || image.Heals(err) != row.heals {
			t.Errorf("%s: Read = %v, which heals: %v; want %q", name, err, image.Heals(err), row.says)
		}
		w.registry.Heal()
		if tree, err = w.Read(t.Context(), img); err != nil {
			t.Errorf("%s: the next time Read = %v", name, err)
			continue
		}
		tree.Close()
	}
}
