package rootfs_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

func read(t testing.TB, opt rootfs.Options, layers ...imagetest.Layer) *rootfs.Tree {
	t.Helper()
	tree, err := rootfs.Read(t.Context(), stack(t, layers), opt)
	if err != nil {
		t.Fatalf("Read = %v", err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return tree
}

func TestLookup(t *testing.T) {
	tree := read(t, rootfs.Options{}, imagetest.Files(
		imagetest.Dir("usr/bin"), imagetest.File("usr/bin/x", "x"), imagetest.Symlink("bin", "usr/bin"),
		imagetest.Symlink("abs", "/bin/x"), imagetest.Symlink("out", "../../../usr/../usr/bin/x"),
		imagetest.Symlink("loop", "loop"), imagetest.Symlink("gone", "nowhere"), imagetest.Symlink("self", ".")))
	for _, tc := range []struct{ path, want, lstat string }{
		{"", ".", "."},
		{"/", ".", "."},
		{"..", ".", "."},
		{"usr/bin/x", "usr/bin/x", "usr/bin/x"},
		{"/bin/x", "usr/bin/x", "usr/bin/x"},
		{"bin", "usr/bin", "bin"},
		{"bin/", "usr/bin", "bin"},
		{"abs", "usr/bin/x", "abs"},
		{"out", "usr/bin/x", "out"},
		{"self/self/abs", "usr/bin/x", "abs"},
		{"bin/../x", "", ""},
		{"bin/../bin/x", "usr/bin/x", "usr/bin/x"},
		{"loop", "", "loop"},
		{"gone", "", "gone"},
		{"abs/x", "", ""},
		{"usr/lib", "", ""},
	} {
		for _, op := range []struct {
			name string
			find func(string) (*rootfs.Node, error)
			want string
		}{{"Lookup", tree.Lookup, tc.want}, {"Lstat", tree.Lstat, tc.lstat}} {
			n, err := op.find(tc.path)
			got := ""
			if err == nil {
				got = n.Path
			}
			if got != op.want {
				t.Errorf("%s(%q) = %q, %v, want %q", op.name, tc.path, got, err, op.want)
			}
		}
	}
	if _, err := tree.Lookup("gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lookup of a dangling link = %v, want fs.ErrNotExist", err)
	}
	if names, err := tree.Names("/"); fmt.Sprint(names, err) != "[abs bin gone loop out self usr] <nil>" {
		t.Errorf("Names of the root = %v, %v", names, err)
	}
}

func TestOpen(t *testing.T) {
	layers := []imagetest.Layer{
		imagetest.Files(imagetest.File("a", "content of a"), imagetest.File("b", "content of b"),
			imagetest.File("empty", "")),
		{Entries: []imagetest.Entry{imagetest.File("c", "content of c"), imagetest.Link("d", "a"), imagetest.Dir("e")},
			Compression: imagetest.Zstd},
	}
	for _, form := range forms {
		tree := read(t, form.opt, layers...)
		for path, want := range map[string]string{"a": "content of a", "b": "content of b", "c": "content of c",
			"d": "content of a", "empty": ""} {
			n, err := tree.Lookup(path)
			if err != nil {
				t.Fatal(err)
			}
			r, err := tree.Open(t.Context(), n)
			if err != nil {
				t.Fatalf("%s: Open(%q) = %v", form.name, path, err)
			}
			if got, err := io.ReadAll(r); string(got) != want || err != nil {
				t.Errorf("%s: %q has %q, %v, want %q", form.name, path, got, err, want)
			}
			if err := r.Close(); err != nil {
				t.Errorf("%s: Close = %v", form.name, err)
			}
		}
		n, err := tree.Lookup("e")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tree.Open(t.Context(), n); err == nil {
			t.Errorf("%s: Open of a directory succeeds", form.name)
		}
	}
}

// TestWalkOrder checks the order that an unpacker relies on, and that contents come in the order of the layers.
func TestWalkOrder(t *testing.T) {
	layers := []imagetest.Layer{
		imagetest.Files(imagetest.File("z/z", "1"), imagetest.File("a/a", "2"), imagetest.Link("m", "z/z")),
		imagetest.Files(imagetest.File("b", "3"), imagetest.Symlink("a/s", "b"), imagetest.Dir("z/d/d")),
	}
	for _, form := range forms {
		var got []string
		err := read(t, form.opt, layers...).Walk(t.Context(), func(n *rootfs.Node, content io.Reader) error {
			s := n.Path
			if content != nil {
				b, err := io.ReadAll(content)
				if err != nil {
					return err
				}
				s += "=" + string(b)
			}
			got = append(got, s)
			return nil
		})
		if want := "[. a z z/d z/d/d m=1 z/z a/a=2 b=3 a/s]"; err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: Walk showed %v, %v, want %s", form.name, got, err, want)
		}
	}
}

func TestWalkSkip(t *testing.T) {
	layers := []imagetest.Layer{imagetest.Files(imagetest.File("a", "1"), imagetest.Link("b", "a"),
		imagetest.Link("c", "a"), imagetest.Dir("d"))}
	stop := errors.New("stop")
	for _, form := range forms {
		var got []string
		err := read(t, form.opt, layers...).Walk(t.Context(), func(n *rootfs.Node, content io.Reader) error {
			got = append(got, fmt.Sprint(n.Path, content != nil))
			switch n.Path {
			case "a", "d":
				return rootfs.SkipName
			case "c":
				return stop
			}
			return nil
		})
		if want := "[.false dfalse atrue btrue cfalse]"; err != stop || fmt.Sprint(got) != want {
			t.Errorf("%s: Walk showed %v, %v, want %s and its visitor's error", form.name, got, err, want)
		}
	}
}

func TestStat(t *testing.T) {
	tree := read(t, rootfs.Options{},
		imagetest.Files(imagetest.File("a", strings.Repeat("x", 4097)), imagetest.Link("b", "a"),
			imagetest.File("c", "x"), imagetest.File("gone", "xxx")),
		imagetest.Files(imagetest.Whiteout("gone"), imagetest.Symlink("s", "c").Xattr("user.a", "1")))
	want := rootfs.Stat{Entries: 5, Inodes: 4, Bytes: 4098, Pages: 12288, Page: 4096, Xattrs: 1}
	if got := tree.Stat(); got != want {
		t.Errorf("Stat = %+v, want %+v", got, want)
	}
	want.Pages, want.Page = 2*64<<10, 64<<10
	if got := tree.StatIn(64 << 10); got != want {
		t.Errorf("Stat in pages of 64 KiB = %+v, want %+v", got, want)
	}
}

func TestBounds(t *testing.T) {
	var many []imagetest.Entry
	for i := range 20 {
		many = append(many, imagetest.File(fmt.Sprint("f", i), ""))
	}
	zeros := make([]byte, 4<<20)
	var small, empty []imagetest.Entry
	for i := range 100 {
		small = append(small, imagetest.File(fmt.Sprint("small", i), string(zeros[:100<<10])))
	}
	for i := range 3000 {
		empty = append(empty, imagetest.File(fmt.Sprint("empty", i), ""))
	}
	mib := rootfs.Options{MaxBytes: 1 << 20}
	for _, tc := range []struct {
		name   string
		opt    rootfs.Options
		layers []imagetest.Layer
		want   string
	}{
		{"entries of a layer", rootfs.Options{MaxEntries: 10}, []imagetest.Layer{imagetest.Files(many...)},
			"more than 10 entries"},
		{"entries of the tree", rootfs.Options{MaxEntries: 22},
			[]imagetest.Layer{imagetest.Files(many...),
				imagetest.Files(imagetest.File("x/y", ""))}, "more than 22 entries"},
		{"bomb in a file", mib, []imagetest.Layer{imagetest.Files(imagetest.File("big", string(zeros)))},
			`"big" is too much: the layers of the image hold more than 1 MiB uncompressed, the limit for them`},
		{"bomb by what its header says", rootfs.Options{MaxBytes: 6 << 30},
			[]imagetest.Layer{{Tar: head(announced("big", 6<<30+2<<20))}},
			`"big" is too much: the layers of the image hold more than 6144 MiB uncompressed, the limit for them`},
		{"bomb behind the archive", mib, []imagetest.Layer{{Tar: zeros}},
			": is too much: the layers of the image hold more than 1 MiB uncompressed, the limit for them"},
		{"bomb of small files", mib, []imagetest.Layer{imagetest.Files(small...)},
			`" is too much: the layers of the image hold more than 1 MiB uncompressed, the limit for them`},
		{"bomb of empty files", mib, []imagetest.Layer{imagetest.Files(empty...)},
			" is too much: the layers of the image hold more than 1 MiB uncompressed, the limit for them"},
		{"bomb of holes", mib, []imagetest.Layer{imagetest.Files(imagetest.PAXSparse("s", "x", 0, 1<<40))},
			`"s" is too much: the layers of the image hold more than 1 MiB uncompressed, the limit for them`},
		{"bomb of layers", rootfs.Options{MaxBytes: 5 << 20},
			[]imagetest.Layer{imagetest.Files(imagetest.File("a", string(zeros))),
				imagetest.Files(imagetest.File("b", string(zeros)))},
			" is too much: the layers of the image hold more than 5 MiB uncompressed, the limit for them"},
	} {
		for _, memory := range []int64{0, 1} {
			tc.opt.Memory = memory
			tree, err := rootfs.Read(t.Context(), stack(t, tc.layers), tc.opt)
			if err == nil {
				tree.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s, memory %d: Read = %v, want an error that says %q", tc.name, memory, err, tc.want)
			}
		}
	}
}

// announced is a file whose header says that it has a size.
func announced(name string, size int64) imagetest.Entry {
	e := imagetest.File(name, "")
	e.Header.Size = size
	return e
}

// head is the header of an archive's only member, without the content.
func head(e imagetest.Entry) []byte {
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&e.Header); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// TestGrow checks that reading ends with the error of Grow when no memory is left, and that the rest of the layer is
// not read for its digest.
func TestGrow(t *testing.T) {
	full := errors.New("too little memory: 3 MiB of 4 are left")
	noise := make([]byte, 20<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	for _, memory := range []int64{0, 1} {
		layer := &counting{Layer: imagetest.Files(imagetest.File("f", string(noise)),
			imagetest.File("g", string(noise))).Blob(t)}
		_, err := rootfs.Read(t.Context(), []rootfs.Layer{layer},
			rootfs.Options{Memory: memory, Grow: func() error { return full }})
		if !errors.Is(err, full) || !strings.Contains(err.Error(), "cannot be kept: too little memory") ||
			rootfs.TooMuch(err) {
			t.Errorf("memory %d: Read = %v, want the error of Grow", memory, err)
		}
		if layer.n > 16<<20 {
			t.Errorf("memory %d: it read %d bytes", memory, layer.n)
		}
	}
	_, err := rootfs.Read(t.Context(), []rootfs.Layer{imagetest.Files(imagetest.File("f", string(noise))).Blob(t)},
		rootfs.Options{MaxBytes: 1 << 20})
	if !rootfs.TooMuch(err) || strings.Contains(err.Error(), "intact") {
		t.Errorf("Read = %v, which TooMuch does not report", err)
	}
}

// TestGrowNames has files without contents, whose names take memory: while layers are read, and in the tree. A
// few paths can stand for many directories.
func TestGrowNames(t *testing.T) {
	full := errors.New("too little memory")
	var files, deep []imagetest.Entry
	for i := range 5000 {
		files = append(files, imagetest.File(fmt.Sprint("f", i), ""))
	}
	long := strings.Repeat("d/", 1000)
	for i := range 8 {
		deep = append(deep, imagetest.File(fmt.Sprint(i, "/", long, "f"), ""))
	}
	for _, tc := range []struct {
		name    string
		entries []imagetest.Entry
		calls   int
	}{{"while a layer is read", files, 1}, {"in the tree", files, 2}, {"directories that no layer has", deep, 1}} {
		calls := 0
		tree, err := rootfs.Read(t.Context(), []rootfs.Layer{imagetest.Files(tc.entries...).Blob(t)},
			rootfs.Options{Grow: func() error {
				if calls++; calls == tc.calls {
					return full
				}
				return nil
			}})
		if err == nil {
			tree.Close()
		}
		if !errors.Is(err, full) || rootfs.TooMuch(err) || !strings.Contains(err.Error(), "cannot be kept: too little") {
			t.Errorf("%s: Read = %v, want the error of Grow at call %d", tc.name, err, tc.calls)
		}
	}
}

// counting counts the bytes that are read of a layer.
type counting struct {
	rootfs.Layer
	n int
}

func (c *counting) Open(ctx context.Context) (io.ReadCloser, error) {
	r, err := c.Layer.Open(ctx)
	return &countingReader{r, c}, err
}

type countingReader struct {
	io.ReadCloser
	c *counting
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.c.n += n
	return n, err
}

// broken is a layer whose Open or Read fails.
type broken struct {
	data []byte
	err  error // of Read at the end of data, or of Open if data is nil
}

func (b broken) Open(context.Context) (io.ReadCloser, error) {
	if b.data == nil {
		return nil, b.err
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(b.data), failing{b.err})), nil
}
func (b broken) String() string          { return "the broken layer" }
func (broken) Digests() (string, string) { return "", "" }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestCause checks that the error of the source comes through. It decides whether to try again, and it is the cause
// where the decompressor sees only garbage.
func TestCause(t *testing.T) {
	cause := errors.New("digest is wrong")
	whole := imagetest.Files(imagetest.File("f", strings.Repeat("some content ", 1000))).Blob(t).Data
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 0x10
	for _, tc := range []struct {
		name string
		data []byte
	}{
		{"on open", nil},
		{"at once", []byte{}},
		{"in the middle", whole[:len(whole)/2]},
		{"after all", whole},
		{"after garbage", flipped},
		{"after the wrong magic", []byte("BZh9")},
	} {
		for _, memory := range []int64{0, 1} {
			good := imagetest.Files(imagetest.File("g", "g")).Blob(t)
			tree, err := rootfs.Read(t.Context(), []rootfs.Layer{good, broken{tc.data, cause}},
				rootfs.Options{Memory: memory})
			if err == nil {
				tree.Close()
			}
			if !errors.Is(err, cause) || !strings.HasPrefix(err.Error(), "the broken layer: ") {
				t.Errorf("%s: Read = %v, want %q of the layer", tc.name, err, cause)
			}
		}
	}
}

// hanging is a layer whose source blocks until the context is done.
type hanging struct{}

func (hanging) Open(ctx context.Context) (io.ReadCloser, error) {
	return io.NopCloser(blocked{ctx}), nil
}
func (hanging) String() string            { return "the hanging layer" }
func (hanging) Digests() (string, string) { return "", "" }

type blocked struct{ ctx context.Context }

func (b blocked) Read([]byte) (int, error) { <-b.ctx.Done(); return 0, b.ctx.Err() }

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	go func() { <-started; cancel() }()
	close(started)
	if _, err := rootfs.Read(ctx, []rootfs.Layer{hanging{}}, rootfs.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %v, want context.Canceled", err)
	}
	// If one layer fails, the others end.
	cause := errors.New("no such blob")
	if _, err := rootfs.Read(t.Context(), []rootfs.Layer{hanging{}, broken{err: cause}},
		rootfs.Options{}); !errors.Is(err, cause) {
		t.Errorf("Read = %v, want %v", err, cause)
	}
	tree := read(t, rootfs.Options{}, imagetest.Files(imagetest.File("f", "f")))
	f, err := tree.Lookup("f")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Open(ctx, f); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v, want context.Canceled", err)
	}
	if _, _, err := tree.Order(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Order = %v, want context.Canceled", err)
	}
	if err := tree.Walk(ctx, func(*rootfs.Node, io.Reader) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Walk = %v, want context.Canceled", err)
	}
}
