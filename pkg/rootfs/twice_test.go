package rootfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// measured is a store that knows how many bytes it was given.
type measured struct {
	kept
	bytes int64
}

func (m *measured) Add(f spool.File, content io.Reader) (int64, error) {
	m.bytes += f.Size
	return m.kept.Add(f, content)
}

// stores makes stores, and knows how many bytes they were given.
type stores struct {
	mu   sync.Mutex
	list []*measured
}

func (s *stores) make() (rootfs.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, new(measured))
	return s.list[len(s.list)-1], nil
}

func (s *stores) bytes() (n int64) {
	for _, m := range s.list {
		n += m.bytes
	}
	return n
}

// stacks returns the layers of the corpus, and so many stacks of random ones.
func stacks(n, seed uint64) (list [][]imagetest.Layer) {
	for _, tc := range imagetest.Cases() {
		if tc.Refused == "" && !tc.Slow {
			list = append(list, tc.Layers)
		}
	}
	for i := range n {
		list = append(list, imagetest.Random(rand.New(rand.NewPCG(i, seed))))
	}
	return list
}

// differences returns how two trees differ.
func differences(t *testing.T, a, b *rootfs.Tree) []string {
	t.Helper()
	want, err := report.FromTree(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	got, err := report.FromTree(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return report.Diff(want, got, 10)
}

// TestTwiceKeepsWhatIsThere gives stores exactly the contents that the tree has: of each layer of the corpus, and of
// random ones.
func TestTwiceKeepsWhatIsThere(t *testing.T) {
	hidden := 0
	for _, layers := range stacks(300, 1) {
		var once, twice stores
		first, err := rootfs.Read(t.Context(), stack(t, layers), rootfs.Options{Store: once.make})
		if err != nil {
			continue // random layers may be invalid
		}
		var again []int
		tree, err := rootfs.Read(t.Context(), stack(t, layers), rootfs.Options{Store: twice.make, AtOnce: 1,
			Again: func(layer int) { again = append(again, layer) },
			Twice: func(first rootfs.First) error {
				if first.Bytes < first.Tree.Stat().Bytes {
					t.Errorf("%d bytes of layers hold a tree of %d", first.Bytes, first.Tree.Stat().Bytes)
				}
				if n := len(twice.list); n > 0 {
					t.Errorf("%d stores were made before the tree was known", n)
				}
				return nil
			}})
		if err != nil {
			t.Fatalf("Read = %v\n%s", err, imagetest.Describe(layers))
		}
		for _, d := range differences(t, first, tree) {
			t.Errorf("%s\n%s", d, imagetest.Describe(layers))
		}
		if n := tree.Stat().Bytes; twice.bytes() != n || first.Stat() != tree.Stat() {
			t.Errorf("%d bytes were kept of a tree with %d\n%s", twice.bytes(), n, imagetest.Describe(layers))
		}
		if len(tree.Stores()) != len(layers) || fmt.Sprint(first.Formats()) != fmt.Sprint(tree.Formats()) {
			t.Errorf("there are %d stores of %d layers, %v", len(tree.Stores()), len(layers), tree.Formats())
		}
		for i, s := range tree.Stores() {
			if m := s.(*measured); !m.sealed || (m.bytes > 0) != slices.Contains(again, i) {
				t.Errorf("of the layers %v that are read again, layer %d has %d bytes", again, i, m.bytes)
			}
		}
		if once.bytes() > twice.bytes() {
			hidden++
		}
		tree.Close()
		first.Close()
	}
	if hidden < 20 {
		t.Errorf("only %d stacks hide something", hidden)
	}
}

// TestTwiceUnder keeps what an image has that lies under another one, also where that covers it.
func TestTwiceUnder(t *testing.T) {
	lower := imagetest.Files(imagetest.File("boot/vmlinuz-6", "its kernel"), imagetest.File("gone", "it"))
	upper := imagetest.Files(imagetest.File("boot/vmlinuz-6", "another one"), imagetest.Whiteout("gone"))
	tree := read(t, rootfs.Options{Twice: anyway, Under: 1}, lower, upper)
	if got, want := files(t, tree.Under()), "boot/vmlinuz-6=its kernel gone=it"; got != want {
		t.Errorf("under it are %q, want %q", got, want)
	}
	if got, want := files(t, tree), "boot/vmlinuz-6=another one"; got != want {
		t.Errorf("the tree has %q, want %q", got, want)
	}
}

// TestTwiceRefused ends with the error of Twice, before a layer is read again, and shows it the tree.
func TestTwiceRefused(t *testing.T) {
	layer := &counting{Layer: imagetest.Files(imagetest.File("f", "content")).Blob(t)}
	no := errors.New("too little memory")
	once := 0
	_, err := rootfs.Read(t.Context(), []rootfs.Layer{layer}, rootfs.Options{
		Twice: func(first rootfs.First) error {
			once = layer.n
			tree := first.Tree
			n, err := tree.Lookup("f")
			if err != nil {
				t.Fatal(err)
			}
			r, err := tree.Open(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if b, err := io.ReadAll(r); err == nil {
				t.Errorf("the content is %q before it was read", b)
			}
			return no
		},
	})
	if !errors.Is(err, no) || layer.n != once || once == 0 {
		t.Errorf("Read = %v after %d bytes and %d", err, once, layer.n)
	}
}

// changing is a layer that is another one each time that it is opened.
type changing struct {
	rootfs.Layer // the first time
	opened       int
	then         func(context.Context) (io.ReadCloser, error)
}

func (c *changing) Open(ctx context.Context) (io.ReadCloser, error) {
	if c.opened++; c.opened == 1 {
		return c.Layer.Open(ctx)
	}
	return c.then(ctx)
}

// TestTwiceChanged reads layers that are others the second time.
func TestTwiceChanged(t *testing.T) {
	digest := errors.New("its digest is wrong")
	first := imagetest.Files(imagetest.File("a", "aaaa"), imagetest.File("hidden", "xxx"), imagetest.File("b", "bbbb"))
	files := func(entries ...imagetest.Entry) []byte { return imagetest.Files(entries...).Blob(t).Data }
	a, b := imagetest.File("a", "aaaa"), imagetest.File("b", "bbbb")
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"nothing":         {nil, "no gzip"},
		"no member":       {files(), "is not what it was"},
		"one less":        {files(a, b), "is not what it was"},
		"another name":    {files(a, a, imagetest.File("c", "bbbb")), "is not what it was"},
		"a longer one":    {files(a, a, imagetest.File("b", "bbbbb")), "is not what it was"},
		"a directory":     {files(a, a, imagetest.Dir("b")), "is not what it was"},
		"a link":          {files(a, a, imagetest.Symlink("b", "a")), "is not what it was"},
		"a hard link":     {files(a, a, imagetest.Link("b", "a")), "is not what it was"},
		"a whiteout":      {files(a, a, imagetest.Whiteout("b")), "is not what it was"},
		"no name":         {files(a, a, imagetest.Whiteout("..")), "is not what it was"},
		"garbage":         {[]byte("garbage"), ""},
		"half of it":      {first.Blob(t).Data[:100], ""},
		"a hidden change": {files(a, imagetest.Dir("x"), b), ""},
	} {
		for _, ends := range []error{io.EOF, digest} {
			l := &changing{Layer: broken{first.Blob(t).Data, io.EOF},
				then: func(context.Context) (io.ReadCloser, error) {
					return io.NopCloser(io.MultiReader(bytes.NewReader(c.data), failing{ends})), nil
				}}
			upper := imagetest.Files(imagetest.Whiteout("hidden")).Blob(t)
			tree, err := rootfs.Read(t.Context(), []rootfs.Layer{l, upper}, rootfs.Options{Twice: anyway})
			switch {
			case err == nil && name == "a hidden change" && ends == io.EOF: // the tree is the same
				tree.Close()
			case err == nil:
				t.Errorf("%s: Read succeeds", name)
				tree.Close()
			case ends == digest && !errors.Is(err, digest):
				t.Errorf("%s: Read = %v, want %v, which is the cause", name, err, digest)
			case ends == io.EOF && name != "nothing" && !strings.Contains(err.Error(), c.says):
				t.Errorf("%s: Read = %v, want %q", name, err, c.says)
			case !strings.HasPrefix(err.Error(), "the broken layer: "):
				t.Errorf("%s: Read = %v, which does not name the layer", name, err)
			}
		}
	}
}

// TestTwiceGone ends with the error of a layer that is not there any more.
func TestTwiceGone(t *testing.T) {
	gone := errors.New("404 Not Found")
	l := &changing{Layer: imagetest.Files(imagetest.File("a", "a")).Blob(t),
		then: func(context.Context) (io.ReadCloser, error) { return nil, gone }}
	var s stores
	_, err := rootfs.Read(t.Context(), []rootfs.Layer{l}, rootfs.Options{Twice: anyway, Store: s.make})
	if !errors.Is(err, gone) || len(s.list) != 1 || !s.list[0].closed {
		t.Errorf("Read = %v, with the stores %v", err, s.list)
	}
	no := errors.New("no room")
	_, err = rootfs.Read(t.Context(), []rootfs.Layer{imagetest.Files(imagetest.File("a", "a")).Blob(t)},
		rootfs.Options{Twice: anyway, Store: func() (rootfs.Store, error) { return nil, no }})
	if !errors.Is(err, no) {
		t.Errorf("without a store Read = %v", err)
	}
}

// FuzzTwice has a layer that is arbitrary bytes the second time. Reading must end, and what was accepted can be read.
func FuzzTwice(f *testing.F) {
	first := imagetest.Layer{Compression: imagetest.Plain, Entries: []imagetest.Entry{
		imagetest.File("a", "aaaa"), imagetest.File("b", strings.Repeat("b", 1000)), imagetest.Link("c", "a")}}
	archive, err := first.Archive()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(archive)
	f.Add(archive[:1024])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		l := &changing{Layer: first.Blob(t), then: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data)), nil
		}}
		tree, err := rootfs.Read(t.Context(), []rootfs.Layer{l},
			rootfs.Options{Twice: anyway, MaxBytes: 16 << 20, SkipDiffIDs: true})
		if err != nil {
			return
		}
		defer tree.Close()
		if got, err := report.FromTree(t.Context(), tree); err != nil || len(got) != 4 {
			t.Errorf("the tree has %d paths, %v", len(got), err)
		}
	})
}
