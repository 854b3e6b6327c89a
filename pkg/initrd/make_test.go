package initrd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/uio/uio"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/newc"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"golang.org/x/sys/unix"
)

// kept is how many bytes of contents may be kept as they are. What Make begins with depends on that.
var kept = map[string]int64{"all": 0, "some": 20 << 10, "nothing": 1}

var compressions = []initrd.Compression{initrd.None, initrd.Gzip, initrd.Zstd, initrd.Mixed}

// keeping is like read, with a bound on what is kept as it is.
func keeping(t testing.TB, memory int64, layers []imagetest.Layer) (*rootfs.Tree, error) {
	t.Helper()
	return keepingBlobs(t, memory, blobs(t, layers))
}

// blobs returns layers as a registry stores them.
func blobs(t testing.TB, layers []imagetest.Layer) []rootfs.Layer {
	t.Helper()
	var out []rootfs.Layer
	for _, l := range layers {
		out = append(out, l.Blob(t))
	}
	return out
}

func keepingBlobs(t testing.TB, memory int64, layers []rootfs.Layer) (*rootfs.Tree, error) {
	t.Helper()
	tree, err := rootfs.Read(t.Context(), layers, rootfs.Options{Memory: memory})
	if err == nil {
		t.Cleanup(func() { tree.Close() })
	}
	return tree, err
}

// made makes an archive in memory and returns it uncompressed, without Options.Early, which has to be its beginning.
func made(t testing.TB, tree *rootfs.Tree, opt initrd.Options) []byte {
	t.Helper()
	f, res, err := initrd.Make(t.Context(), tree, opt)
	if err != nil {
		t.Fatalf("%v: Make = %v", opt.Compression, err)
	}
	defer f.Close()
	data, err := uio.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	data, ok := bytes.CutPrefix(data, opt.Early)
	if !ok {
		t.Fatalf("%v: the archive does not begin with Early", opt.Compression)
	}
	switch opt.Compression {
	case initrd.Gzip:
		data, err = oneMember(data)
	case initrd.Zstd:
		if opt.Single {
			data, err = oneFrame(data)
			break
		}
		data, err = allArchives(data, false)
	case initrd.Mixed:
		data, err = allArchives(data, true)
	}
	if err != nil {
		t.Fatalf("%v: %v", opt.Compression, err)
	}
	if int64(len(opt.Early)+len(data)) != res.Size {
		t.Errorf("%v: %d bytes unpacked, Make said %d", opt.Compression, len(data), res.Size)
	}
	return data
}

// allArchives unpacks frames in a row, each of which must be whole archives: the kernel does not go on in the next.
// With mixed, archives as they are and zeros may be between them.
func allArchives(b []byte, mixed bool) ([]byte, error) {
	zr, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer zr.Close()
	var all []byte
	for size := len(b); len(b) > 0; {
		if mixed && b[0] == 0 {
			b = b[1:]
			continue
		}
		if mixed && b[0] == '0' {
			if (size-len(b))%4 != 0 {
				return nil, fmt.Errorf("an archive at %d, which is no multiple of 4", size-len(b))
			}
			n, err := archiveSize(b)
			if err != nil {
				return nil, err
			}
			all, b = append(all, b[:n]...), b[n:]
			continue
		}
		var h zstd.Header
		if err := h.Decode(b); err != nil {
			return nil, err
		}
		if h.WindowSize > 128<<20 {
			return nil, fmt.Errorf("window of %d bytes", h.WindowSize)
		}
		n := h.HeaderSize
		for last := false; !last; { // RFC 8878, section 3.1.1.2
			block := int(b[n]) | int(b[n+1])<<8 | int(b[n+2])<<16
			size := block >> 3
			if block>>1&3 == 1 { // of a byte that repeats
				size = 1
			}
			last, n = block&1 == 1, n+3+size
		}
		if h.HasCheckSum {
			n += 4
		}
		data, err := zr.DecodeAll(b[:n], nil)
		if err != nil {
			return nil, err
		}
		if tree, err := boot(data); err != nil && !strings.Contains(err.Error(), "before its parent") &&
			!strings.Contains(err.Error(), "before the root") {
			return nil, fmt.Errorf("a frame that is no archive: %v, %w", tree, err)
		}
		all, b = append(all, data...), b[n:]
	}
	return all, nil
}

// archiveSize returns how many bytes an archive has, its trailer included.
func archiveSize(b []byte) (int, error) {
	padded := func(n uint64) int { return int(n+3) &^ 3 }
	for at := 0; at+110 <= len(b); {
		name, err1 := strconv.ParseUint(string(b[at+94:at+102]), 16, 32)
		size, err2 := strconv.ParseUint(string(b[at+54:at+62]), 16, 32)
		next := at + padded(110+name) + padded(size)
		if err1 != nil || err2 != nil || next > len(b) {
			break
		}
		if string(b[at+110:at+110+int(name)]) == "TRAILER!!!\x00" {
			return next, nil
		}
		at = next
	}
	return 0, errors.New("an archive without an end")
}

// TestMakeCorpus compares the archive of each image with the image, for every way in which contents are kept.
func TestMakeCorpus(t *testing.T) {
	for _, tc := range imagetest.Cases() {
		if tc.Refused != "" || tc.Slow || strings.Contains(tc.NoDir, "GiB") {
			continue
		}
		t.Run(tc.Name, func(t *testing.T) {
			t.Parallel()
			layers := blobs(t, tc.Layers)
			for name, memory := range kept {
				for _, c := range compressions {
					tree, err := keepingBlobs(t, memory, layers)
					if err != nil {
						t.Fatal(err)
					}
					if tc.NotInitrd != "" {
						_, _, err := initrd.Make(t.Context(), tree, initrd.Options{Compression: c})
						if err == nil || !strings.Contains(err.Error(), tc.NotInitrd) {
							t.Errorf("%s kept, %v: Make = %v, want an error that says %q", name, c, err, tc.NotInitrd)
						}
						continue
					}
					want, err := report.FromTree(t.Context(), tree)
					if err != nil {
						t.Fatal(err)
					}
					got, err := boot(made(t, tree, initrd.Options{Compression: c, Plain: 10 << 10}))
					if err != nil {
						t.Fatalf("%s kept, %v: %v", name, c, err)
					}
					for _, d := range report.Diff(want.Map(carried), got, 10) {
						t.Errorf("%s kept, %v: %s", name, c, d)
					}
				}
			}
		})
	}
}

// FuzzMake makes archives of random stacks. One layer has enough that is not replaced, so that the archive can be
// made in its place.
func FuzzMake(f *testing.F) {
	for seed := range uint64(150) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		layers := imagetest.Random(r)
		l := &layers[r.IntN(len(layers))]
		l.Entries = append(l.Entries, imagetest.File("large", strings.Repeat("large ", r.IntN(400_000))),
			imagetest.Dir("z"), imagetest.File("z/z", "z"))
		c, memory := compressions[r.IntN(len(compressions))], r.Int64N(3)*r.Int64N(100_000)
		tree, err := keeping(t, memory, layers)
		if err != nil {
			return
		}
		want, err := report.FromTree(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		opt := initrd.Options{Compression: c, Plain: r.Int64N(2) * r.Int64N(1_000_000),
			Extra: []initrd.File{dir(".w"), file(".w/f", "first")}, Last: []initrd.File{file(".last", "last")}}
		skip := []string{"", "a", "b/a", "large"}[r.IntN(4)]
		opt.Skip = func(n *rootfs.Node) bool { return n.Path == skip && !n.Dir() }
		if n, err := tree.Lstat("c"); err == nil && !n.Dir() {
			opt.Move = map[string]string{"c": "moved"}
		}
		opt.Early = newc.Trailer(nil)[:newc.TrailerSize*r.IntN(2)]
		opt.Single = r.IntN(4) == 0 && c != initrd.Mixed
		data := made(t, tree, opt)
		if n := bytes.Count(data, []byte("TRAILER!!!")); opt.Single && n != 1 {
			t.Errorf("%d archives, want one", n)
		}
		got, err := boot(data)
		if err != nil {
			t.Fatalf("%v, %d kept: %v\n%s", c, memory, err, imagetest.Describe(layers))
		}
		if names := order(t, data); names[len(names)-1] != ".last" {
			t.Errorf("%q comes last", names[len(names)-1])
		}
		for _, path := range []string{".w", ".w/f", ".last"} {
			if _, ok := got[path]; !ok {
				t.Errorf("%s is missing", path)
			}
			delete(got, path)
		}
		want = rename(want.Map(carried), skip, opt.Move)
		if diffs := report.Diff(named(want), named(got), 10); len(diffs) > 0 {
			t.Errorf("%v, %d kept: %q\n%s", c, memory, diffs, imagetest.Describe(layers))
		}
	})
}

// rename changes the expected tree as Skip and Move change the archive.
func rename(tree report.Tree, skip string, move map[string]string) report.Tree {
	out := report.Tree{}
	for path, f := range tree {
		if path == skip && f.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		if to, ok := move[path]; ok {
			path = to
		}
		out[path] = f
	}
	return out
}

// named makes all names of a file links of the least name.
func named(tree report.Tree) report.Tree {
	least := map[string]string{}
	for path, f := range tree {
		if l, ok := least[f.Same]; !ok || path < l {
			least[f.Same] = path
		}
	}
	return tree.Map(func(_ string, f *report.File) { f.Same = least[f.Same] })
}

// TestMakeInPlace looks at the file of an uncompressed archive: the contents of the largest layer are where they
// were, and what upper layers replace takes no memory.
func TestMakeInPlace(t *testing.T) {
	const mib = 1 << 20
	layers := []imagetest.Layer{
		imagetest.Files(imagetest.File("small", noise(mib))),
		imagetest.Files(imagetest.File("large", noise(28*mib)), imagetest.File("gone", noise(mib)),
			imagetest.File("b", noise(2*mib)), imagetest.Link("c", "b")),
		imagetest.Files(imagetest.Whiteout("gone")),
	}
	tree, err := keeping(t, 0, layers)
	if err != nil {
		t.Fatal(err)
	}
	n, err := tree.Lstat("large")
	if err != nil {
		t.Fatal(err)
	}
	place, ok := tree.Place(n)
	if !ok || !place.Intact {
		t.Fatalf("Place = %+v, %v, want an intact one", place, ok)
	}
	f, res, err := initrd.Make(t.Context(), tree, initrd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 100)
	if _, err := f.ReadAt(got, 4*mib+place.Off); err != nil || string(got) != noise(28 * mib)[:100] {
		t.Errorf("the content of the large file was moved, %v", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if used := st.Blocks * 512; st.Size != res.Size || used > 31*mib+mib/4 || used < 31*mib {
		t.Errorf("the file has %d bytes in %d of memory, want %d in little more than 31 MiB", st.Size, used, res.Size)
	}
}

// TestMakeGrow runs out of memory on the way.
func TestMakeGrow(t *testing.T) {
	full := errors.New("no memory left")
	text := strings.Repeat("some text ", 500_000)
	for _, c := range compressions {
		for name, memory := range kept {
			tree, err := keeping(t, memory, []imagetest.Layer{
				imagetest.Files(imagetest.File("a", text), imagetest.File("b", "b")),
				imagetest.Files(imagetest.File("c", text+noise(3<<20)), imagetest.File("d", "d")),
			})
			if err != nil {
				t.Fatal(err)
			}
			asked := false
			f, _, err := initrd.Make(t.Context(), tree,
				initrd.Options{Compression: c, Plain: 1 << 20, Grow: func() error { asked = true; return full }})
			if !asked || !errors.Is(err, full) {
				t.Errorf("%v, %s kept: asked %v, Make = %v, want %v", c, name, asked, err, full)
			}
			if err == nil {
				f.Close()
			}
		}
	}
}

// TestWaiting compares the estimate with an archive in which nothing more is packed.
func TestWaiting(t *testing.T) {
	text := strings.Repeat("some text ", 500_000)
	for name, memory := range kept {
		tree, err := keeping(t, memory, []imagetest.Layer{
			imagetest.Files(imagetest.File("a", text), imagetest.File("b", noise(100_000)),
				imagetest.File("c", "replaced")),
			imagetest.Files(imagetest.Dir("d"), imagetest.File("c", text+noise(3<<20)), imagetest.File("d/d", "d"),
				imagetest.Symlink("e", "d/d")),
		})
		if err != nil {
			t.Fatal(err)
		}
		packed, loose, held, err := initrd.Waiting(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		f, _, err := initrd.Make(t.Context(), tree, initrd.Options{Compression: initrd.Mixed, Plain: 2 * loose})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if held < packed || name == "all" && held < loose-1000 {
			t.Errorf("%s kept: %d bytes packed, %d loose, but %d held", name, packed, loose, held)
		}
		// At most eight archives end, each with a record of 124 bytes. b was packed together with what was replaced.
		if extra := size(t, f) - packed - loose; extra < 0 || extra > 1000 || name == "all" && packed > 0 ||
			name == "nothing" && loose > 101_000 {
			t.Errorf("%s kept: %d bytes packed, %d loose, and %d more", name, packed, loose, extra)
		}
	}
}

// noise returns n bytes that cannot be compressed.
func noise(n int) string {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func size(t *testing.T, f interface{ Stat() (fs.FileInfo, error) }) int64 {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
