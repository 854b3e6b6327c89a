package rootfs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// some returns most of the numbers below n, the first one seldom.
func some(r *rand.Rand, n int) (list []int) {
	for i := range n {
		if (r.IntN(4) == 0) == (i == 0) {
			list = append(list, i)
		}
	}
	return list
}

// TestEarly makes the same tree whichever layers are read before the others, of the corpus and of random layers, and
// reads none twice but where something was taken for hidden that is not.
func TestEarly(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	spared, missed := 0, 0
	for _, layers := range stacks(800, 2) {
		var all, kept stores
		plain, err := rootfs.Read(t.Context(), stack(t, layers), rootfs.Options{Store: all.make})
		if err != nil {
			continue // random layers may be invalid
		}
		var again []int
		early := some(r, len(layers))
		tree, err := rootfs.Read(t.Context(), stack(t, layers), rootfs.Options{Store: kept.make, AtOnce: 1 + r.IntN(4),
			Early: early, Again: func(layer int) { again = append(again, layer) }})
		if err != nil {
			t.Fatalf("with the early layers %v Read = %v\n%s", early, err, imagetest.Describe(layers))
		}
		for _, d := range differences(t, plain, tree) {
			t.Errorf("early %v: %s\n%s", early, d, imagetest.Describe(layers))
		}
		if plain.Stat() != tree.Stat() || fmt.Sprint(plain.Formats()) != fmt.Sprint(tree.Formats()) {
			t.Errorf("early %v: %+v %v, want %+v %v\n%s", early, tree.Stat(), tree.Formats(), plain.Stat(),
				plain.Formats(), imagetest.Describe(layers))
		}
		if len(tree.Stores()) != len(layers)+len(again) {
			t.Errorf("early %v, again %v: there are %d stores of %d layers", early, again, len(tree.Stores()), len(layers))
		}
		for i, s := range tree.Stores() {
			if m := s.(*measured); !m.sealed || i >= len(layers) && m.bytes == 0 {
				t.Errorf("early %v: store %d of %d layers has %d bytes, sealed %v", early, i, len(layers), m.bytes, m.sealed)
			}
		}
		if n := kept.bytes(); n > all.bytes() || n < tree.Stat().Bytes {
			t.Errorf("early %v: %d bytes were kept, %d without, for a tree of %d\n%s", early, n, all.bytes(),
				tree.Stat().Bytes, imagetest.Describe(layers))
		} else if n < all.bytes() {
			spared++
		}
		if len(again) > 0 {
			missed++
		}
		tree.Close()
		plain.Close()
	}
	if spared < 30 || missed < 5 {
		t.Errorf("only %d stacks were spared a content, and %d had one that was taken for hidden", spared, missed)
	}
}

// TestHidden keeps of a lower layer what an upper one leaves of it, and nothing else, in one reading.
func TestHidden(t *testing.T) {
	file := func(path string) imagetest.Entry { return imagetest.File(path, "from "+path) }
	lower := []imagetest.Entry{file("a"), file("d/a"), file("d/e/b"), imagetest.Link("d/link", "a")}
	for name, c := range map[string]struct {
		upper []imagetest.Entry
		keeps string // of the lower layer
		again bool
	}{
		"nothing":                  {nil, "a d/a d/e/b", false},
		"a directory again":        {[]imagetest.Entry{imagetest.Dir("d"), imagetest.Dir("d/e")}, "a d/a d/e/b", false},
		"a file":                   {[]imagetest.Entry{file("d/a")}, "a d/e/b", false},
		"a link":                   {[]imagetest.Entry{imagetest.Symlink("d/a", "a")}, "a d/e/b", false},
		"a hard link":              {[]imagetest.Entry{file("x"), imagetest.Link("d/a", "x")}, "a d/e/b", false},
		"a directory over a file":  {[]imagetest.Entry{imagetest.Dir("d/a")}, "a d/e/b", false},
		"a file over a directory":  {[]imagetest.Entry{file("d/e")}, "a d/a", false},
		"a whiteout":               {[]imagetest.Entry{imagetest.Whiteout("d/a")}, "a d/e/b", false},
		"a directory's":            {[]imagetest.Entry{imagetest.Whiteout("d")}, "a", false},
		"an opaque directory":      {[]imagetest.Entry{imagetest.Opaque("d/e")}, "a d/a", false},
		"an opaque root":           {[]imagetest.Entry{imagetest.Opaque("")}, "", false},
		"one of two names":         {[]imagetest.Entry{imagetest.Whiteout("a")}, "a d/a d/e/b", true},
		"the other one":            {[]imagetest.Entry{imagetest.Whiteout("d/link")}, "a d/a d/e/b", false},
		"both":                     {[]imagetest.Entry{imagetest.Whiteout("a"), imagetest.Whiteout("d/link")}, "d/a d/e/b", false},
		"what is not there":        {[]imagetest.Entry{imagetest.Whiteout("b"), imagetest.Whiteout("e")}, "a d/a d/e/b", false},
		"beside, with that prefix": {[]imagetest.Entry{imagetest.Whiteout("d/aa"), imagetest.Whiteout("d/e/bb")}, "a d/a d/e/b", false},
	} {
		var s stores
		again := 0
		tree, err := rootfs.Read(t.Context(), stack(t, []imagetest.Layer{imagetest.Files(lower...), imagetest.Files(c.upper...)}),
			rootfs.Options{Store: s.make, Early: []int{1}, Again: func(int) { again++ }})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var want int64
		for path := range strings.FieldsSeq(c.keeps) {
			want += int64(len("from " + path))
		}
		var got int64
		for i, m := range tree.Stores() {
			if i != 1 {
				got += m.(*measured).bytes
			}
		}
		if got != want || (again > 0) != c.again {
			t.Errorf("%s: %d bytes of the lower layer were kept, want those of %q; %d layers were read again", name, got, c.keeps,
				again)
		}
		tree.Close()
	}
}

// TestHiddenThroughLink keeps a file whose directory an upper layer hides under the name of a link.
func TestHiddenThroughLink(t *testing.T) {
	tree := read(t, rootfs.Options{Early: []int{2}},
		imagetest.Files(imagetest.Dir("usr/lib"), imagetest.Symlink("lib", "usr/lib")),
		imagetest.Files(imagetest.File("lib/a", "a"), imagetest.File("lib/b", "b")),
		imagetest.Files(imagetest.Whiteout("lib")))
	if got, want := files(t, tree), "usr/lib/a=a usr/lib/b=b"; got != want {
		t.Errorf("the tree has %q, want %q", got, want)
	}
}

// TestEarlyUnder keeps what an image has that lies under another one, also where an early layer of that covers it, and
// what is read of it later.
func TestEarlyUnder(t *testing.T) {
	lowest := imagetest.Files(imagetest.File("boot/vmlinuz-6", "its kernel"), imagetest.File("gone", "it"),
		imagetest.Link("stays", "gone"))
	lower := imagetest.Files(imagetest.Whiteout("gone"))
	upper := imagetest.Files(imagetest.File("boot/vmlinuz-6", "another one"), imagetest.Whiteout("stays"))
	again := 0
	tree := read(t, rootfs.Options{Early: []int{1, 2}, Under: 2, Again: func(int) { again++ }}, lowest, lower, upper)
	if got, want := files(t, tree.Under()), "boot/vmlinuz-6=its kernel stays=it"; got != want {
		t.Errorf("under it are %q, want %q", got, want)
	}
	if got, want := files(t, tree), "boot/vmlinuz-6=another one"; got != want {
		t.Errorf("the tree has %q, want %q", got, want)
	}
	if again != 1 {
		t.Errorf("%d layers were read again", again)
	}
}

// TestEarlyFails ends with the error of the early layer that the others wait for, of one that is read again, and with
// the context.
func TestEarlyFails(t *testing.T) {
	gone := errors.New("404 Not Found")
	lower := imagetest.Files(imagetest.File("a", "a"), imagetest.Link("b", "a"))
	whiteout := imagetest.Files(imagetest.Whiteout("a")).Blob(t)
	var s stores
	_, err := rootfs.Read(t.Context(), []rootfs.Layer{lower.Blob(t), broken{nil, gone}},
		rootfs.Options{Early: []int{1}, Store: s.make})
	if !errors.Is(err, gone) || !strings.HasPrefix(err.Error(), "the broken layer: ") {
		t.Errorf("Read = %v, want that of the early layer", err)
	}
	changing := func() rootfs.Layer {
		return &changing{Layer: lower.Blob(t), then: func(context.Context) (io.ReadCloser, error) { return nil, gone }}
	}
	_, err = rootfs.Read(t.Context(), []rootfs.Layer{changing(), whiteout}, rootfs.Options{Early: []int{1}, Store: s.make})
	if !errors.Is(err, gone) {
		t.Errorf("Read = %v, want that of the second reading", err)
	}
	no := errors.New("no room")
	_, err = rootfs.Read(t.Context(), []rootfs.Layer{lower.Blob(t), whiteout}, rootfs.Options{Early: []int{1},
		Store: func() (rootfs.Store, error) {
			if len(s.list) == 5 {
				return nil, no
			}
			return s.make()
		}})
	if n := len(s.list); !errors.Is(err, no) || n != 5 {
		t.Errorf("without a third store Read = %v, with %d stores", err, n)
	}
	if i := slices.IndexFunc(s.list, func(m *measured) bool { return !m.closed }); i >= 0 {
		t.Errorf("store %d stays open", i)
	}

	ctx, cancel := context.WithCancel(t.Context())
	opened := make(chan struct{})
	go func() {
		<-opened
		cancel()
	}()
	_, err = rootfs.Read(ctx, []rootfs.Layer{lower.Blob(t), opening{hanging{}, opened}}, rootfs.Options{Early: []int{1}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %v while a layer hangs", err)
	}
}

// opening is a layer that tells when it is opened.
type opening struct {
	hanging
	opened chan struct{}
}

func (o opening) Open(ctx context.Context) (io.ReadCloser, error) {
	close(o.opened)
	return o.hanging.Open(ctx)
}

// TestEarlyBomb counts the names of early layers, and the bytes of layers that are read again, as all others.
func TestEarlyBomb(t *testing.T) {
	lower := imagetest.Files(imagetest.File("a", strings.Repeat("a", 3<<20)), imagetest.Link("b", "a"))
	upper := imagetest.Files(imagetest.Whiteout("a"))
	for limit, ok := range map[int64]bool{5 << 20: true, 2 << 20: false} {
		tree, err := rootfs.Read(t.Context(), stack(t, []imagetest.Layer{lower, upper}),
			rootfs.Options{Early: []int{1}, MaxBytes: limit})
		if (err == nil) != ok {
			t.Errorf("with a limit of %d Read = %v", limit, err)
		}
		if err == nil {
			tree.Close()
		}
	}
}
