package squashfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/squashfs"
)

// noise returns bytes that cannot be compressed.
func noise(seed uint64, n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b)
	return string(b)
}

// forms are options that differ in everything that an image's form depends on.
func forms() []squashfs.Options {
	return []squashfs.Options{
		{},
		{BlockSize: 4 << 10, Level: 1},
		{BlockSize: 1 << 20, Level: 9},
		{Compression: squashfs.Gzip, BlockSize: 8 << 10, Level: 9},
	}
}

// check makes an image of layers, reads it and compares every path.
func check(t testing.TB, opt squashfs.Options, lookups bool, layers ...imagetest.Layer) ([]byte, result) {
	t.Helper()
	p, tree := read(t, opt, layers...)
	want, err := report.FromTree(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	file, r := write(t, p, tree, nil)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(b, lookups)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range report.Diff(stored(want), got, 20) {
		t.Error(d)
	}
	return b, r
}

// TestForms makes images of the corpus in all forms.
func TestForms(t *testing.T) {
	for _, tc := range imagetest.Cases() {
		if tc.Refused != "" || tc.Slow || strings.HasPrefix(tc.NoDir, "no file system takes") {
			continue
		}
		t.Run(tc.Name, func(t *testing.T) {
			t.Parallel()
			for _, opt := range forms() {
				check(t, opt, true, tc.Layers...)
			}
		})
	}
}

// TestSizes stores contents of sizes around those of blocks, and files that share a content.
func TestSizes(t *testing.T) {
	t.Parallel()
	for _, opt := range forms() {
		block := opt.BlockSize
		if block == 0 {
			block = 128 << 10
		}
		var e []imagetest.Entry
		for i, size := range []int{
			0, 1, block/2 - 1, block / 2, block - 1, block, block + 1, 2*block - 1, 2 * block, 7*block + 5,
		} {
			text := strings.Repeat("some text ", size/10+1)[:size]
			e = append(e, imagetest.File(fmt.Sprint("text", size), text),
				imagetest.File(fmt.Sprint("noise", size), noise(uint64(i), size)),
				imagetest.File(fmt.Sprint("same", size), noise(uint64(i), size)),
				imagetest.File(fmt.Sprint("zeros", size), strings.Repeat("\x00", size)),
				imagetest.File(fmt.Sprint("more", size), strings.Repeat("\x00", size)),
				imagetest.File(fmt.Sprint("end", size), strings.Repeat("\x00", size)+"end"),
				imagetest.File(fmt.Sprint("begin", size), "begin"+strings.Repeat("\x00", size)))
		}
		check(t, opt, true, imagetest.Files(e...))
	}
}

// TestSame counts a content that is there several times once.
func TestSame(t *testing.T) {
	t.Parallel()
	one := func(size int) imagetest.Entry { return imagetest.File("a", noise(1, size)) }
	for _, size := range []int{1000, 300 << 10} {
		var many []imagetest.Entry
		for i := range 50 {
			many = append(many, imagetest.File(fmt.Sprint("b", i), noise(1, size)),
				imagetest.File(fmt.Sprint("c", i), noise(2, 200<<10+i))) // what lies between them is written already
		}
		alone, _ := check(t, squashfs.Options{}, false, imagetest.Files(many...))
		var others []imagetest.Entry
		for i := range 50 {
			others = append(others, many[2*i+1])
		}
		without, _ := check(t, squashfs.Options{}, false, imagetest.Files(append(others, one(size))...))
		if more := len(alone) - len(without); more > 4096 {
			t.Errorf("49 more files with the same %d bytes take %d bytes", size, more)
		}
	}
}

// TestReplaced looks for what upper layers replace.
func TestReplaced(t *testing.T) {
	t.Parallel()
	for _, opt := range forms() {
		var lower, middle, upper []imagetest.Entry
		for i := range 240 {
			name, size := fmt.Sprint("f", i), 1+i*i
			lower = append(lower, imagetest.File(name, "removed "+noise(uint64(i), size)))
			switch i % 4 {
			case 0:
				middle = append(middle, imagetest.Whiteout(name))
			case 1:
				middle = append(middle, imagetest.File(name, "replaced "+noise(uint64(1000+i), size/2)))
			case 2:
				upper = append(upper, imagetest.Link(name+"link", name))
			}
		}
		for i := range 50 {
			upper = append(upper, imagetest.File(fmt.Sprint("g", i), noise(uint64(2000+i), 50*i*i)))
		}
		layers := []imagetest.Layer{imagetest.Files(lower...), imagetest.Files(middle...), imagetest.Files(upper...)}
		b, _ := check(t, opt, true, layers...)
		for i := 0; i < 240; i += 4 {
			// A block that cannot be compressed is in the image as it is. Small files share blocks with others.
			if text := noise(uint64(i), 1+i*i); len(text) > 30<<10 && bytes.Contains(b, []byte(text[len(text)-2000:])) {
				t.Errorf("%+v: the removed file %d is still in the image", opt, i)
			}
		}
		// One layer with the same files is not much smaller.
		_, tree := read(t, opt, layers...)
		var flat []imagetest.Entry
		err := tree.Walk(t.Context(), func(n *rootfs.Node, content io.Reader) error {
			if content == nil {
				return nil
			}
			text, err := io.ReadAll(content)
			flat = append(flat, imagetest.File(n.Path, string(text)))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		single, _ := check(t, opt, true, imagetest.Files(flat...))
		if len(b) > len(single)+len(single)/100 {
			t.Errorf("%+v: three layers become %d bytes, one with the same files %d", opt, len(b), len(single))
		}
	}
}

// TestSameBytes makes the same image twice, with other numbers of processors.
func TestSameBytes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	layers := imagetest.Random(rand.New(rand.NewPCG(1, 2)))[:0]
	for l := range 3 {
		var e []imagetest.Entry
		for i := range 100 {
			e = append(e, imagetest.File(fmt.Sprintf("d%d/f%d", l, i*l), strings.Repeat(fmt.Sprint(i), i*i)),
				imagetest.File(fmt.Sprint("n", i*(l+1)), noise(uint64(i*l), i*100)).
					Xattr("user.x", fmt.Sprint(i)).Xattr("user.a", "b"))
		}
		layers = append(layers, imagetest.Files(e...))
	}
	for _, opt := range forms() {
		var first []byte
		for _, n := range []int{1, 2, 7} {
			runtime.GOMAXPROCS(n)
			b, _ := check(t, opt, false, layers...)
			if first == nil {
				first = b
			}
			if !bytes.Equal(b, first) {
				t.Errorf("%+v: with %d processors the image differs", opt, n)
			}
		}
	}
}

// TestRandom makes images of random layers, some of which are read twice.
func TestRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		layers := imagetest.Random(r)
		if seed%3 == 2 {
			layers = imagetest.Odd(r)
		}
		var how rootfs.Options
		if seed/4%2 == 1 {
			how.Twice = func(rootfs.First) error { return nil }
		}
		p, tree, err := attempt(t, forms()[seed%4], how, layers)
		if err != nil {
			continue
		}
		want, err := report.FromTree(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		file, _ := write(t, p, tree, nil)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(b, true)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, imagetest.Describe(layers))
		}
		for _, d := range report.Diff(stored(want), got, 20) {
			t.Errorf("seed %d: %s\n%s", seed, d, imagetest.Describe(layers))
		}
	}
}

// TestManyNames has a directory that needs an index, whose names have all lengths, and inodes in many blocks.
func TestManyNames(t *testing.T) {
	t.Parallel()
	var e []imagetest.Entry
	for i := range 1500 {
		e = append(e, imagetest.File(fmt.Sprintf("d/%s%d", strings.Repeat("n", i%250), i), fmt.Sprint(i)),
			imagetest.Dir(fmt.Sprintf("d/%sdir", strings.Repeat("d", i%250))))
	}
	// The numbers of these directories are further apart than an entry can say.
	for i := range 2 {
		e = append(e, imagetest.Dir(fmt.Sprintf("far/%d", i)))
		for j := range 35000 {
			e = append(e, imagetest.FIFO(fmt.Sprintf("far/%d/%d", i, j)))
		}
	}
	check(t, squashfs.Options{}, false, imagetest.Files(e...))
	check(t, squashfs.Options{Level: 1}, true, imagetest.Files(e[:3000]...))
}

// TestHugeDirectory has as many names in a directory as a hostile image may.
func TestHugeDirectory(t *testing.T) {
	t.Parallel()
	imagetest.NeedsPrograms(t, "unsquashfs")
	const names = 200000
	var e []imagetest.Entry
	for i := range names {
		e = append(e, imagetest.Symlink(fmt.Sprintf("d/name-%d", i), "x"))
	}
	p, tree := read(t, squashfs.Options{}, imagetest.Files(e...))
	file, r := write(t, p, tree, nil)
	if r.inodes != names+2 {
		t.Errorf("the image has %d inodes, want %d", r.inodes, names+2)
	}
	out, err := exec.Command("unsquashfs", "-ls", file).Output()
	if n := bytes.Count(out, []byte("squashfs-root/d/name-")); n != names || err != nil {
		t.Errorf("unsquashfs lists %d names (%v), want %d", n, err, names)
	}
}

// TestXattrs stores attributes of all kinds of files, alike and not, and tells which it cannot store.
func TestXattrs(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("value", 1000)
	type lost struct{ path, what string }
	var losses []lost
	opt := squashfs.Options{Lost: func(n *rootfs.Node, what string, why error) {
		losses = append(losses, lost{n.Path, what + ": " + why.Error()})
	}}
	var e []imagetest.Entry
	for i := range 100 {
		name := fmt.Sprint(i)
		e = append(e, imagetest.File("f"+name, "").Xattr("user.long", long).Xattr("user.own", name),
			imagetest.File("g"+name, "").Xattr("user.long", long).Xattr("trusted.a", "").Xattr("security.b", name),
			imagetest.Dir("d"+name).Xattr("user.long", long), imagetest.Symlink("l"+name, "x").Xattr("trusted.l", name),
			imagetest.FIFO("p"+name).Xattr("trusted.long", long), imagetest.Char("c"+name, 1, 2).Xattr("trusted.c", "c"))
	}
	e = append(e, imagetest.File("max", "").Xattr("user.max", strings.Repeat("m", 64<<10)).
		Xattr("user."+strings.Repeat("n", 250), "x"))
	b, _ := check(t, opt, false, imagetest.Files(e...))
	if len(losses) > 0 {
		t.Errorf("lost %v, want nothing", losses)
	}
	if len(b) > 64<<10 {
		t.Errorf("the image has %d bytes: attributes do not share values", len(b))
	}

	p, tree := read(t, opt, imagetest.Files(
		imagetest.File("acl", "").Xattr("system.posix_acl_access", "acl").Xattr("user.kept", "x"),
		imagetest.File("big", "").Xattr("user.big", strings.Repeat("b", 64<<10+1)),
		imagetest.File("name", "").Xattr("user."+strings.Repeat("n", 251), "x"),
		imagetest.File("empty", "").Xattr("user.", "x")))
	file, _ := write(t, p, tree, nil)
	want := []lost{
		{"acl", `the attribute "system.posix_acl_access": SquashFS has only user, trusted and security attributes`},
		{"big", `the attribute "user.big": its value has 65537 bytes; Linux takes 65536`},
		{"empty", `the attribute "user.": it has no name behind its namespace`},
		{"name", `the attribute "user.` + strings.Repeat("n", 75) + `"..."` + strings.Repeat("n", 40) +
			`": its name has 256 bytes; Linux takes 255`},
	}
	if fmt.Sprint(losses) != fmt.Sprint(want) {
		t.Errorf("lost\n%v\nwant\n%v", losses, want)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(b, false)
	if err != nil || fmt.Sprint(got["acl"].Xattrs) != "map[user.kept:x]" || len(got["big"].Xattrs) > 0 {
		t.Errorf("the image has %v, %v, %v", got["acl"].Xattrs, got["big"].Xattrs, err)
	}
}

// TestRefused makes images of what the format cannot hold.
func TestRefused(t *testing.T) {
	t.Parallel()
	var owners []imagetest.Entry
	for i := range 65536 {
		owners = append(owners, imagetest.File(fmt.Sprint(i), "").Owner(i, i))
	}
	long := strings.Repeat("n", 256)
	for name, c := range map[string]struct {
		entries []imagetest.Entry
		want    string // a part of the error; empty is none
	}{
		"owners":       {owners, "one too many: a SquashFS image has at most 65535 of them"},
		"fewer owners": {owners[:65535], ""},
		"name":         {[]imagetest.Entry{imagetest.File("d/"+long, "")}, "has a name of 256 bytes; Linux takes 255"},
		"directory":    {[]imagetest.Entry{imagetest.Dir(long)}, "has a name of 256 bytes; Linux takes 255"},
		"longest name": {[]imagetest.Entry{imagetest.File(long[1:], "")}, ""},
		"target": {[]imagetest.Entry{imagetest.Symlink("s", strings.Repeat("t", 4096))},
			"a path of 4096 bytes; Linux takes 4095"},
		"longest target": {[]imagetest.Entry{imagetest.Symlink("s", strings.Repeat("t", 4095))}, ""},
		"deep":           {[]imagetest.Entry{imagetest.File(strings.Repeat("d/", 4000)+"f", "x")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.want == "" {
				check(t, squashfs.Options{}, false, imagetest.Files(c.entries...))
				return
			}
			p, tree := read(t, squashfs.Options{}, imagetest.Files(c.entries...))
			f, err := p.Image(t.Context(), tree, imagetest.Epoch, nil)
			if err == nil {
				f.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		})
	}
	for _, size := range []int{1, 2 << 10, 5 << 10, 2 << 20, -4096} {
		if _, err := squashfs.New(squashfs.Options{BlockSize: size}); err == nil {
			t.Errorf("blocks of %d bytes: want an error", size)
		}
	}
	if _, err := squashfs.New(squashfs.Options{Compression: squashfs.Gzip, Level: 10}); err == nil {
		t.Error("gzip -10: want an error")
	}
}

// TestTrouble ends packing where there is no room, and where nobody waits for it any more.
func TestTrouble(t *testing.T) {
	t.Parallel()
	full := errors.New("no room")
	layer := imagetest.Files(imagetest.File("a", noise(1, 8<<20)), imagetest.File("b", "b"))
	p, err := squashfs.New(squashfs.Options{Grow: func() error { return full }})
	if err != nil {
		t.Fatal(err)
	}
	in := []rootfs.Layer{layer.Blob(t)}
	if _, err := rootfs.Read(t.Context(), in, rootfs.Options{Store: p.Store}); !errors.Is(err, full) {
		t.Errorf("without room the error is %v", err)
	}
	p, err = squashfs.New(squashfs.Options{File: func() (*os.File, error) {
		return os.OpenFile("/dev/full", os.O_RDWR, 0)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rootfs.Read(t.Context(), in, rootfs.Options{Store: p.Store}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("on a full disk the error is %v", err)
	}
	p, tree := read(t, squashfs.Options{}, layer)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Image(ctx, tree, imagetest.Epoch, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context the error is %v", err)
	}
	other, err := squashfs.New(squashfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Image(t.Context(), tree, imagetest.Epoch, nil); err == nil {
		t.Error("an image of another packer's tree: want an error")
	}
}

// TestReading reads parts of contents in any order, as bundle does before an image is made.
func TestReading(t *testing.T) {
	t.Parallel()
	for _, opt := range forms() {
		texts := map[string]string{"small": noise(1, 3000), "large": noise(2, 3<<20) + strings.Repeat("\x00", 3<<20) + "end"}
		_, tree := read(t, opt, imagetest.Files(imagetest.File("small", texts["small"]),
			imagetest.File("large", texts["large"])))
		r := rand.New(rand.NewPCG(1, 1))
		for name, text := range texts {
			n, err := tree.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			store, off := tree.Stored(n)
			in := store.Open(false)
			for range 200 {
				at := r.IntN(len(text))
				buf := make([]byte, r.IntN(min(300<<10, len(text)-at))+1)
				if k, err := in.ReadAt(buf, off+int64(at)); k != len(buf) || string(buf) != text[at:at+k] {
					t.Fatalf("%+v: %d bytes of %s at %d are read as %d (%v), or differ", opt, len(buf), name, at, k, err)
				}
			}
		}
	}
}

// TestLargest has a file that needs 64 bits for its size. Only its last block is compared.
func TestLargest(t *testing.T) {
	t.Parallel()
	const size = 1<<32 + 5
	p, tree := read(t, squashfs.Options{}, imagetest.Files(imagetest.PAXSparse("f", "end", size-3, size)))
	file, r := write(t, p, tree, nil)
	if r.size > 1<<20 {
		t.Errorf("4 GiB of zeros become %d bytes", r.size)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := (&reader{b: b, tails: true}).all()
	if err != nil {
		t.Fatal(err)
	}
	sum := report.Sum([]byte("\x00\x00end"))
	if f := got["f"]; f.Size != size || f.Sum != sum {
		t.Errorf("the file has %d bytes and its end the sum %s, want %d, %s", f.Size, f.Sum, int64(size), sum)
	}
}

// TestDisk makes an image in files of a disk.
func TestDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opt := squashfs.Options{File: func() (*os.File, error) { return os.CreateTemp(dir, "") }}
	var lower []imagetest.Entry
	for i := range 50 {
		lower = append(lower, imagetest.File(fmt.Sprint(i), noise(uint64(i), 100*i*i)))
	}
	check(t, opt, false, imagetest.Files(lower...), imagetest.Files(imagetest.Whiteout("3"), imagetest.Whiteout("49"),
		imagetest.File("40", noise(99, 100000)), imagetest.File("41", "x")))
}

// FuzzImage makes images of layers of random files in random forms.
func FuzzImage(f *testing.F) {
	for i := range uint64(4) {
		f.Add(i, i*7)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		r := rand.New(rand.NewPCG(a, b))
		opt := forms()[r.IntN(4)]
		layers := imagetest.Random(r)
		for i := range layers {
			for range r.IntN(30) {
				size := r.IntN(1 << r.IntN(18))
				text := noise(r.Uint64N(1<<10), size)
				if r.IntN(2) == 0 {
					text = strings.Repeat(noise(r.Uint64N(1<<10), 1+r.IntN(100)), size/50)
				}
				layers[i].Entries = append(layers[i].Entries, imagetest.File(fmt.Sprint(r.IntN(40)), text))
			}
		}
		p, tree, err := attempt(t, opt, rootfs.Options{}, layers)
		if err != nil {
			return
		}
		want, err := report.FromTree(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		file, _ := write(t, p, tree, nil)
		image, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(image, true)
		if err != nil {
			t.Fatalf("%v\n%s", err, imagetest.Describe(layers))
		}
		for _, d := range report.Diff(stored(want), got, 20) {
			t.Errorf("%s\n%s", d, imagetest.Describe(layers))
		}
	})
}
