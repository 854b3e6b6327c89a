package erofs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/erofs"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// check makes an image of layers, reads it, compares every path, and has fsck.erofs look at it.
func check(t testing.TB, layers ...imagetest.Layer) []byte {
	t.Helper()
	p, tree := read(t, layers...)
	return compare(t, p, tree, nil)
}

func compare(t testing.TB, p *erofs.Packer, tree *rootfs.Tree, skip func(*rootfs.Node) bool) []byte {
	t.Helper()
	want, err := report.FromTree(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	for n, err := range tree.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range p.Lost(n) {
			delete(want[n.Path].Xattrs, name)
		}
	}
	file := write(t, p, tree, skip)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if skip == nil {
		for _, d := range report.Diff(want, got, 20) {
			t.Error(d)
		}
	}
	// fsck.erofs 1.5 dies of longer ones.
	if len(slices.MaxFunc(slices.Collect(maps.Keys(want)), func(a, b string) int { return len(a) - len(b) })) < 4000 {
		fsck(t, file)
	}
	return b
}

// fsck has another program look at an image, and read all files.
func fsck(t testing.TB, file string) {
	t.Helper()
	if out, err := exec.Command("fsck.erofs", "--extract", file).CombinedOutput(); err != nil {
		t.Errorf("fsck.erofs: %v: %s", err, out)
	}
}

// TestCorpus makes images of the corpus.
func TestCorpus(t *testing.T) {
	imagetest.NeedsPrograms(t, "fsck.erofs")
	for _, tc := range imagetest.Cases() {
		if tc.Refused != "" || tc.Slow || strings.HasPrefix(tc.NoDir, "no file system takes") {
			continue
		}
		t.Run(tc.Name, func(t *testing.T) {
			t.Parallel()
			check(t, tc.Layers...)
		})
	}
}

// TestProperties has what other forms of a root cannot hold.
func TestProperties(t *testing.T) {
	t.Parallel()
	imagetest.NeedsPrograms(t, "fsck.erofs")
	long := strings.Repeat("x", 255)
	e := []imagetest.Entry{
		imagetest.File("early", "x").At(time.Unix(-1e9, 0)), imagetest.File("late", "x").At(time.Unix(1<<35, 0)),
		imagetest.File("fine", "x").At(time.Unix(1_600_000_000, 123_456_789)),
		imagetest.File("owned", "x").Owner(1<<32-2, 1<<31),
		imagetest.File(long, "x"), imagetest.Symlink("short", "x"), imagetest.Symlink("longest", strings.Repeat("y", 4095)),
		imagetest.Symlink("longer", strings.Repeat("y", 4096-64)), imagetest.Symlink("beside", strings.Repeat("y", 4095-64)),
		imagetest.Char("char", 4095, 1<<20-1), imagetest.Block("block", 259, 70000), imagetest.FIFO("fifo"),
		imagetest.File("value", "").Xattr("user.max", strings.Repeat("v", 1<<16-1)).Xattr("user.empty", ""),
		imagetest.File("acl", "").Xattr("system.posix_acl_access", "acl"),
		imagetest.Dir("acl.d").Xattr("system.posix_acl_default", "acl").Xattr("trusted.x", "y"),
		imagetest.Dir("!before dots"), imagetest.File("!before dots/-", ""), imagetest.File("!before dots/.a", ""),
		imagetest.File("!before dots/...", ""), imagetest.Dir("empty"),
	}
	many := imagetest.File("many", "x")
	for i := range 255 {
		many = many.Xattr(fmt.Sprintf("user.%d", i), fmt.Sprint(i%3))
	}
	for _, size := range []int{0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 1<<16 - 1, 1 << 16, 1<<16 + 1, 200_000} {
		e = append(e, imagetest.File(fmt.Sprintf("size %d", size), strings.Repeat("0123456789", size/10+1)[:size]),
			imagetest.File(fmt.Sprintf("size %d, attributes", size), strings.Repeat("9876543210", size/10+1)[:size]).
				Xattr("user.x", strings.Repeat("z", size%3000)))
	}
	check(t, imagetest.Files(append(e, many)...))
}

// TestLost names the attributes that an image cannot hold.
func TestLost(t *testing.T) {
	t.Parallel()
	imagetest.NeedsPrograms(t, "fsck.erofs")
	many := imagetest.File("many", "")
	for i := range 257 {
		many = many.Xattr(fmt.Sprintf("user.%03d", i), "x")
	}
	p, tree := read(t, imagetest.Files(many,
		imagetest.File("large", "").Xattr("user.max", strings.Repeat("v", 1<<16)).Xattr("user.kept", "x"),
		imagetest.File("other", "").Xattr("system.nfs4_acl", "x").Xattr("security.capability", "x"),
		imagetest.File("nameless", "").Xattr("user.", "x").Xattr("system.posix_acl_access.more", "x"),
	))
	for path, want := range map[string]string{"many": "user.255 user.256", "large": "user.max", "other": "system.nfs4_acl",
		"nameless": "system.posix_acl_access.more user."} {
		n, err := tree.Lookup(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.Lost(n), " "); got != want {
			t.Errorf("%s loses %q, want %q", path, got, want)
		}
	}
	compare(t, p, tree, nil)
}

// TestDirectories has directories of all sizes around those of a block, and one with very many names.
func TestDirectories(t *testing.T) {
	t.Parallel()
	imagetest.NeedsPrograms(t, "fsck.erofs")
	var e []imagetest.Entry
	for _, count := range []int{1, 13, 14, 15, 16, 30, 31, 32} {
		for i := range count {
			e = append(e, imagetest.File(fmt.Sprintf("d%d/%s%d", count, strings.Repeat("n", 240), i+100), "x"))
		}
	}
	for i := range 20_000 {
		e = append(e, imagetest.Symlink(fmt.Sprintf("many/name-%d", i), "x"))
	}
	for i := range 3000 {
		e = append(e, imagetest.Dir(fmt.Sprintf("dirs/%x/%d", i%50, i)))
	}
	check(t, imagetest.Files(e...))
}

// TestHoles keeps long rows of zeros out of the image, and other rows in it.
func TestHoles(t *testing.T) {
	t.Parallel()
	imagetest.NeedsPrograms(t, "fsck.erofs")
	zeros := string(make([]byte, 3<<20))
	noise := random(1, 3<<20)
	mixed := noise[:1<<20] + zeros + noise[:100_000] + zeros + noise[1<<20:]
	for name, c := range map[string]struct {
		content string
		most    int
	}{
		"all zeros":           {zeros, 40 << 10},
		"zeros and a byte":    {zeros + "x", 5*blockSize + 64<<10},
		"a byte and zeros":    {"x" + zeros, 5*blockSize + 64<<10},
		"rows":                {mixed, 3<<20 + 300<<10},
		"zeros not worth it":  {noise + zeros[:200_000] + noise[:5000], 4 << 20},
		"a row in the middle": {noise[:5000] + zeros + noise[:5000], 200 << 10},
	} {
		b := check(t, imagetest.Files(imagetest.File("f", c.content), imagetest.File("g", "x"+c.content[1:])))
		twice := 2
		if c.content[0] == 'x' {
			twice = 1
		}
		if len(b) > twice*c.most {
			t.Errorf("%s: the image has %d bytes, want %d", name, len(b), twice*c.most)
		}
		// What comes later in the layer is not taken for zeros.
		check(t, imagetest.Files(imagetest.File("f", c.content), imagetest.File("g", c.content),
			imagetest.File("h", noise[:70_000]+zeros)))
	}
}

func random(seed byte, size int) string {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return string(b)
}

// TestDuplicates has equal contents once.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	imagetest.NeedsPrograms(t, "fsck.erofs")
	noise := random(2, 1<<20)
	var e []imagetest.Entry
	for i := range 5 {
		e = append(e, imagetest.File(fmt.Sprintf("large%d", i), noise),
			imagetest.File(fmt.Sprintf("small%d", i), noise[:2000]),
			imagetest.File(fmt.Sprintf("other%d", i), noise[:len(noise)-1]+string(rune('a'+i))))
	}
	if b := check(t, imagetest.Files(e...)); len(b) > 6<<20+64<<10 {
		t.Errorf("the image has %d bytes", len(b))
	}
}

// TestLayers drops what upper layers replace: the image is as large as one of a single layer.
func TestLayers(t *testing.T) {
	t.Parallel()
	imagetest.NeedsPrograms(t, "fsck.erofs")
	var lower, upper, flat []imagetest.Entry
	for i := range 200 {
		name := fmt.Sprintf("f%03d", i)
		size := 1000 + i*997%60_000
		lower = append(lower, imagetest.File(name, random(byte(i), size)))
		switch i % 4 {
		case 0:
			f := imagetest.File(name, random(byte(i+1), size*i%50_000))
			upper, flat = append(upper, f), append(flat, f)
		case 1:
			upper = append(upper, imagetest.Whiteout(name))
		default:
			flat = append(flat, lower[i])
		}
	}
	single := check(t, imagetest.Files(flat...))
	for name, layers := range map[string][]imagetest.Layer{
		"lower is larger": {imagetest.Files(lower...), imagetest.Files(upper...)},
		"upper is larger": {imagetest.Files(lower...), imagetest.Files(append(upper,
			imagetest.File("more", random(3, 8<<20)))...), imagetest.Files(imagetest.Whiteout("more"))},
	} {
		b := check(t, layers...)
		if len(b) > len(single)+len(single)/64+4*blockSize {
			t.Errorf("%s: the image has %d bytes, and %d of one layer", name, len(b), len(single))
		}
		if !bytes.Equal(b, check(t, layers...)) {
			t.Errorf("%s: the image is another one each time", name)
		}
	}
}

// TestSkip leaves paths out, and counts the names of what remains.
func TestSkip(t *testing.T) {
	imagetest.NeedsPrograms(t, "fsck.erofs")
	layer := imagetest.Files(imagetest.File("boot/kernel", random(1, 1<<20)), imagetest.Link("kernel", "boot/kernel"),
		imagetest.File("after", random(2, 1<<20)), imagetest.File("last", random(3, 100_000)))
	for _, c := range []struct {
		skip []string
		size int
	}{{nil, 2 << 20}, {[]string{"boot/kernel"}, 2 << 20}, {[]string{"boot/kernel", "kernel"}, 1 << 20}} {
		p, tree := read(t, layer)
		b := compare(t, p, tree, func(n *rootfs.Node) bool { return slices.Contains(c.skip, n.Path) })
		if size := c.size + 100_000; len(b) < size || len(b) > size+6*blockSize {
			t.Errorf("without %q the image has %d bytes, want %d", c.skip, len(b), size)
		}
		got, err := parse(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"boot/kernel", "kernel", "after", "boot"} {
			if _, there := got[path]; there == slices.Contains(c.skip, path) {
				t.Errorf("without %q the image has %s: %v", c.skip, path, there)
			}
		}
	}
}

// TestRefused refuses what Linux cannot have.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		entry imagetest.Entry
		want  string
	}{
		"name":   {imagetest.File(strings.Repeat("n", 256), ""), "has a name of 256 bytes; Linux takes 255"},
		"target": {imagetest.Symlink("l", strings.Repeat("t", 4096)), "to a path of 4096 bytes; Linux takes 4095"},
	} {
		p, tree := read(t, imagetest.Files(c.entry))
		if _, err := p.Image(t.Context(), tree, imagetest.Epoch, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Image = %v, want %q", name, err, c.want)
		}
	}
	p, tree := read(t, imagetest.Files(imagetest.File("f", "x")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Image(ctx, tree, imagetest.Epoch, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Image = %v for a context that is done", err)
	}
	if _, err := erofs.New(erofs.Options{}).Image(t.Context(), tree, imagetest.Epoch, nil); err == nil {
		t.Error("Image makes one of contents that another packer has")
	}
}

// TestGrow ends the packing when there is no more memory.
func TestGrow(t *testing.T) {
	full := errors.New("full")
	left := 3
	p := erofs.New(erofs.Options{Grow: func() error {
		if left--; left < 0 {
			return full
		}
		return nil
	}})
	layer := imagetest.Files(imagetest.File("f", random(1, 8<<20)))
	_, err := rootfs.Read(t.Context(), []rootfs.Layer{layer.Blob(t)}, rootfs.Options{Store: p.Store})
	if !errors.Is(err, full) {
		t.Errorf("Read = %v, want %v", err, full)
	}
}

// TestEmpty makes the image of a tree without layers.
func TestEmpty(t *testing.T) {
	imagetest.NeedsPrograms(t, "fsck.erofs")
	check(t)
	check(t, imagetest.Files())
}
