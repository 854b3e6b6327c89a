package rootfs_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// files returns the paths of a tree that are no directories, with the content of a file or the target of a link.
func files(t *testing.T, tree *rootfs.Tree) string {
	t.Helper()
	var list []string
	for n, err := range tree.All(t.Context()) {
		switch {
		case err != nil:
			t.Fatal(err)
		case n.Symlink():
			list = append(list, n.Path+">"+n.Target)
		case n.Regular():
			list = append(list, n.Path+"="+contentOf(t, tree, n))
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func contentOf(t *testing.T, tree *rootfs.Tree, n *rootfs.Node) string {
	t.Helper()
	r, err := tree.Open(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestUnder lays an image with a kernel under images of different layouts.
func TestUnder(t *testing.T) {
	dir := imagetest.Files(imagetest.Dir("lib"), imagetest.Dir("lib/modules"), imagetest.Dir("lib/modules/6"),
		imagetest.File("lib/modules/6/a.ko", "a"), imagetest.Link("lib/modules/6/b.ko", "lib/modules/6/a.ko"),
		imagetest.File("boot/vmlinuz-6", "k"))
	merged := imagetest.Files(imagetest.Symlink("lib", "usr/lib"), imagetest.File("usr/lib/modules/6/a.ko", "a"))
	const kept = "boot/vmlinuz-6=k usr/lib/modules/6/a.ko=a usr/lib/modules/6/b.ko=a"
	for name, c := range map[string]struct {
		under []imagetest.Layer
		upper []imagetest.Layer
		want  string
	}{
		"no /usr": {
			[]imagetest.Layer{dir}, []imagetest.Layer{imagetest.Files(imagetest.File("init", "i"))},
			"boot/vmlinuz-6=k init=i lib/modules/6/a.ko=a lib/modules/6/b.ko=a",
		},
		"a merged /usr": {
			[]imagetest.Layer{dir},
			[]imagetest.Layer{imagetest.Files(imagetest.Symlink("lib", "usr/lib"), imagetest.File("usr/lib/x", "x"))},
			strings.Replace(kept, "usr/lib", "lib>usr/lib usr/lib", 1) + " usr/lib/x=x",
		},
		"a link that begins at the root": {
			[]imagetest.Layer{dir},
			[]imagetest.Layer{imagetest.Files(imagetest.Dir("usr/lib"), imagetest.Symlink("lib", "/usr/lib"))},
			strings.Replace(kept, "usr/lib", "lib>/usr/lib usr/lib", 1),
		},
		"a link to nothing": {
			[]imagetest.Layer{dir}, []imagetest.Layer{imagetest.Files(imagetest.Symlink("lib", "usr/lib"))},
			strings.Replace(kept, "usr/lib", "lib>usr/lib usr/lib", 1),
		},
		"a link in a later layer": {
			[]imagetest.Layer{dir},
			[]imagetest.Layer{
				imagetest.Files(imagetest.File("lib/x", "x")),
				imagetest.Files(imagetest.Whiteout("lib"), imagetest.File("usr/lib/x", "y")),
				imagetest.Files(imagetest.Symlink("lib", "usr/lib")),
			},
			strings.Replace(kept, "usr/lib", "lib>usr/lib usr/lib", 1) + " usr/lib/x=y",
		},
		"links in a circle": {
			[]imagetest.Layer{dir},
			[]imagetest.Layer{imagetest.Files(imagetest.Symlink("lib", "lib64"), imagetest.Symlink("lib64", "lib"))},
			"boot/vmlinuz-6=k lib64>lib lib>lib64",
		},
		"a link that would leave the tree": {
			[]imagetest.Layer{dir}, []imagetest.Layer{imagetest.Files(imagetest.Symlink("lib", "../../usr/lib"))},
			strings.Replace(kept, "usr/lib", "lib>../../usr/lib usr/lib", 1),
		},
		"a link below": {
			[]imagetest.Layer{imagetest.Files(imagetest.Dir("lib/modules/6"), imagetest.File("lib/modules/6/a.ko", "a"))},
			[]imagetest.Layer{imagetest.Files(imagetest.Symlink("lib/modules", "/data"), imagetest.File("lib/x", "x"))},
			"data/6/a.ko=a lib/modules>/data lib/x=x",
		},
		"the other way round": {
			[]imagetest.Layer{merged},
			[]imagetest.Layer{imagetest.Files(imagetest.Dir("lib"), imagetest.File("lib/x", "x"))},
			"lib/x=x usr/lib/modules/6/a.ko=a",
		},
		"both merged": {
			[]imagetest.Layer{merged},
			[]imagetest.Layer{imagetest.Files(imagetest.Symlink("lib", "usr/lib"), imagetest.File("usr/lib/x", "x"))},
			"lib>usr/lib usr/lib/modules/6/a.ko=a usr/lib/x=x",
		},
		"the upper file": {
			[]imagetest.Layer{dir}, []imagetest.Layer{imagetest.Files(imagetest.File("lib/modules/6/a.ko", "u"))},
			"boot/vmlinuz-6=k lib/modules/6/a.ko=u lib/modules/6/b.ko=a",
		},
		"a whiteout": {
			[]imagetest.Layer{dir}, []imagetest.Layer{
				imagetest.Files(imagetest.Symlink("lib", "usr/lib")),
				imagetest.Files(imagetest.Whiteout("usr/lib/modules/6/b.ko"), imagetest.Whiteout("boot")),
			},
			"lib>usr/lib usr/lib/modules/6/a.ko=a",
		},
		"an opaque directory": {
			[]imagetest.Layer{dir}, []imagetest.Layer{
				imagetest.Files(imagetest.Opaque("lib/modules"), imagetest.File("lib/modules/5/c.ko", "c")),
			},
			"boot/vmlinuz-6=k lib/modules/5/c.ko=c",
		},
		"it removes a whole directory itself": {
			[]imagetest.Layer{dir, imagetest.Files(imagetest.Whiteout("lib"), imagetest.File("lib/modules/7/c.ko", "c"))},
			[]imagetest.Layer{imagetest.Files(imagetest.Symlink("lib", "usr/lib"))},
			"boot/vmlinuz-6=k lib>usr/lib usr/lib/modules/7/c.ko=c",
		},
		"it empties a directory itself": {
			[]imagetest.Layer{dir, imagetest.Files(imagetest.Opaque("lib"), imagetest.File("lib/modules/7/c.ko", "c"))},
			[]imagetest.Layer{imagetest.Files(imagetest.Symlink("lib", "usr/lib"))},
			"boot/vmlinuz-6=k lib>usr/lib usr/lib/modules/7/c.ko=c",
		},
		"a whiteout of its own": {
			[]imagetest.Layer{dir, imagetest.Files(imagetest.Whiteout("lib/modules/6/a.ko"))},
			[]imagetest.Layer{imagetest.Files(imagetest.Symlink("lib", "usr/lib"))},
			"boot/vmlinuz-6=k lib>usr/lib usr/lib/modules/6/b.ko=a",
		},
	} {
		layers := stack(t, append(slices.Clone(c.under), c.upper...))
		tree, err := rootfs.Read(t.Context(), layers, rootfs.Options{Under: len(c.under)})
		if err != nil {
			t.Errorf("%s: Read = %v", name, err)
			continue
		}
		if got := files(t, tree); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
		alone, err := rootfs.Read(t.Context(), layers[:len(c.under)], rootfs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := files(t, tree.Under()), files(t, alone); got != want {
			t.Errorf("%s: by itself, the lower image is\n     %s\nwant %s", name, got, want)
		}
		alone.Close()
		tree.Close()
	}
	tree := read(t, rootfs.Options{}, dir)
	if tree.Under() != nil {
		t.Error("an image alone has one under it")
	}
}

// TestUnderHostile has an upper image in which a short link leads to a path of a megabyte, and a lower image that names
// it again and again. That ends with an error, and soon.
func TestUnderHostile(t *testing.T) {
	const depth, many = 4000, 200_000
	deep := strings.Repeat(strings.Repeat("d", 250)+"/", depth)
	// A link can have only a part of the path as its target, so each one leads on from the one before it.
	upper := []imagetest.Entry{imagetest.Dir(deep)}
	const part = 100 * 251
	for i := 0; i*part < len(deep); i++ {
		before := ""
		if i > 0 {
			before = fmt.Sprintf("l%d/", i-1)
		}
		upper = append(upper, imagetest.Symlink(fmt.Sprintf("l%d", i), "/"+before+deep[i*part:min(len(deep), (i+1)*part)]))
	}
	last := fmt.Sprintf("l%d/x", (len(deep)-1)/part)
	var lower []imagetest.Entry
	for range many {
		lower = append(lower, imagetest.File(last, ""))
	}
	layers := stack(t, []imagetest.Layer{imagetest.Files(lower...), imagetest.Files(upper...)})
	began := time.Now()
	tree, err := rootfs.Read(t.Context(), layers, rootfs.Options{Under: 1})
	if !rootfs.TooMuch(err) {
		t.Errorf("Read = %v, %.300v, want that it is too much", tree, err)
	}
	if d := time.Since(began); d > 60*time.Second {
		t.Errorf("Read took %v", d)
	}
}
