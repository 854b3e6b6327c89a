package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// plain finds a path and remembers nothing: component after component, as path_resolution(7) describes it.
func plain(root *dentry, path string, follow bool) (*dentry, error) {
	at, links := root, 0
	for path != "" {
		name, rest, _ := strings.Cut(path, "/")
		path = rest
		switch name {
		case "", ".":
			continue
		case "..":
			at = at.parent
			continue
		}
		if !at.ino.dir() {
			return nil, errNotDir
		}
		kid := at.kids[name]
		if kid == nil {
			return nil, fs.ErrNotExist
		}
		if kid.ino.symlink() && (path != "" || follow) {
			if links++; links > maxLinks || len(kid.ino.target) >= unix.PathMax {
				return nil, errLoop
			}
			if strings.HasPrefix(kid.ino.target, "/") {
				at = root
			}
			path = kid.ino.target + "/" + path
			continue
		}
		if path != "" && !kid.ino.dir() {
			return nil, errNotDir
		}
		at = kid
	}
	return at, nil
}

// stackOf makes layers out of a seed. Most names are below links, and links change all the time.
func stackOf(seed uint64) []index {
	r := rand.New(rand.NewPCG(seed, 7))
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	name := func() string {
		p := pick("a", "b", "c", "d", "e")
		for range r.IntN(4) {
			p += "/" + pick("a", "b", "c")
		}
		return p
	}
	target := func() string {
		return pick("", "", "", "/", "../", "../../", "./") + name() + pick("", "", "", "/", "/.", "/..", "/../..")
	}
	layers := make([]index, 1+r.IntN(4))
	for i := range layers {
		for seq := range 1 + r.IntN(60) {
			e := entry{}
			e.layer, e.seq, e.path = int32(i), int32(seq), name()
			switch r.IntN(20) {
			case 0, 1, 2, 3:
				e.mode = typeRegular
			case 4, 5, 6, 7, 8:
				e.mode = typeDir
			case 9, 10, 11, 12, 13:
				e.mode, e.target = typeSymlink, target()
			case 14, 15, 16:
				// Names of a link that comes later, often: "b" and not "a/b/c".
				if e.kind, e.link = hardLink, name(); r.IntN(2) == 0 {
					e.link = pick("a", "b", "c", "d", "e")
				}
			case 17, 18:
				e.kind = whiteout
			case 19:
				e.kind = opaque
			}
			layers[i].add(e)
		}
	}
	return layers
}

// merged applies layers up to the first error and returns the tree as text. With forgetful nothing is remembered.
func merged(t *testing.T, layers []index, forgetful bool) (m *merger, text string, err error) {
	t.Helper()
	m = newMerger(t.Context(), 1<<20)
	for i := range layers {
		if !forgetful {
			err = m.apply(&layers[i], int32(i))
		} else {
			err = applyForgetful(m, &layers[i], int32(i))
		}
		if err != nil {
			break
		}
	}
	var b strings.Builder
	paths, names := int64(0), 0
	for d := range m.root.all {
		names++
		fmt.Fprintf(&b, "%s %o %q %d.%d\n", d.path(), d.ino.mode, d.ino.target, d.ino.layer, d.ino.seq)
		if d != m.root {
			paths += int64(len(d.path()))
		}
	}
	if err == nil && (paths != m.paths || names != m.names) {
		t.Errorf("the tree has %d paths of %d bytes, it was counted %d of %d", names, paths, m.names, m.paths)
	}
	return m, b.String(), err
}

// applyForgetful is like apply, but remembers nothing, not even while it applies an entry.
func applyForgetful(m *merger, x *index, layer int32) error {
	m.layer, m.pending, m.waiting = layer, nil, map[*inode]*entry{}
	for e := range x.all {
		m.reset()
		m.lost = 1 << 62
		var err error
		switch e.kind {
		case object:
			err = m.put(e)
		case hardLink:
			err = m.link(e)
		case whiteout:
			m.remove(e.path)
		case opaque:
			m.empty(e.path)
		}
		if err != nil {
			return fmt.Errorf("%s %w", Quote(e.path), err)
		}
	}
	m.reset()
	m.lost = 1 << 62
	return m.settle()
}

// TestRemembered merges random layers, and looks paths up, with what the resolver remembers and without.
func TestRemembered(t *testing.T) {
	for seed := range uint64(4000) {
		layers := stackOf(seed)
		m, got, err := merged(t, layers, false)
		_, want, plainErr := merged(t, layers, true)
		if fmt.Sprint(err) != fmt.Sprint(plainErr) || err == nil && got != want {
			t.Fatalf("seed %d: remembering makes\n%s%v\nwithout it is\n%s%v", seed, got, err, want, plainErr)
		}
		r := rand.New(rand.NewPCG(seed, 8))
		tree := &Tree{root: m.root}
		tree.ways.root = m.root
		tree.ways.reset()
		for range 50 {
			var parts []string
			for range 1 + r.IntN(6) {
				parts = append(parts, []string{"a", "b", "c", "d", "e", "..", ".", ""}[r.IntN(8)])
			}
			path, follow := strings.Join(parts, "/"), r.IntN(2) == 0
			got, err := tree.find(path, follow)
			want, plainErr := plain(m.root, path, follow)
			if err != nil {
				got = nil
			}
			if got != want || !errors.Is(err, plainErr) {
				t.Fatalf("seed %d: find(%q, %v) = %v, %v; without remembering %v, %v", seed, path, follow, got, err,
					want, plainErr)
			}
		}
	}
}

// TestSettled has a hard link that becomes a symbolic link when its target comes, and another hard link whose target is
// below it.
func TestSettled(t *testing.T) {
	var x index
	x.add(entry{kind: hardLink, link: "s", inode: inode{path: "x"}})
	x.add(entry{kind: hardLink, link: "x/f", inode: inode{path: "y"}})
	x.add(file("d/f"))
	x.add(entry{inode: inode{path: "s", mode: typeSymlink, target: "d"}})
	m := newMerger(t.Context(), 100)
	if err := m.apply(&x, 0); err != nil || m.root.kids["y"].ino != m.root.kids["d"].kids["f"].ino {
		t.Errorf("a hard link through one that is settled before it: %v", err)
	}
}

// TestLinkCount looks up chains of links as long as the limit, and one longer, in any order.
func TestLinkCount(t *testing.T) {
	var x index
	add := func(e entry) { x.add(e) }
	add(entry{inode: inode{path: "l0", mode: typeDir}})
	for i := 1; i <= maxLinks+1; i++ {
		add(entry{inode: inode{path: fmt.Sprint("l", i), mode: typeSymlink, target: fmt.Sprint("l", i-1)}})
	}
	for _, order := range [][]int{{maxLinks, maxLinks + 1}, {maxLinks + 1, maxLinks}, {1, 20, maxLinks + 1, maxLinks}} {
		m := newMerger(t.Context(), 1000)
		if err := m.apply(&x, 0); err != nil {
			t.Fatal(err)
		}
		m.reset()
		for _, i := range order {
			for _, form := range []string{"l%d", "./l%d/", "l%d/../l0"} {
				path := fmt.Sprintf(form, i)
				d, err := m.find(path, true)
				want, plainErr := plain(m.root, path, true)
				if err != plainErr || err == nil && d != want {
					t.Errorf("order %v, %s: %v, want %v", order, path, err, plainErr)
				}
			}
		}
	}
}

// growing is a case that grows with n. Its cost must not grow faster.
type growing struct {
	name  string
	n     int
	layer func(n int) []index
}

// behind adds 40 links, each of which leads to the next one, and the last one to dir. Their targets are padded with
// steps that lead nowhere.
func behind(x *index, dir string) {
	x.add(entry{inode: inode{path: dir, mode: typeDir}})
	pad := strings.Repeat("./../", 780)
	for i := range maxLinks {
		target := pad + fmt.Sprintf("l%02d", i+1)
		if i == maxLinks-1 {
			target = pad + dir
		}
		x.add(entry{inode: inode{path: fmt.Sprintf("l%02d", i), mode: typeSymlink, target: target}})
	}
}

func file(path string) entry { return entry{inode: inode{path: path, mode: typeRegular}} }

func cases() []growing {
	one := func(x index) []index { return []index{x} }
	return []growing{
		{"files behind padded links", 40000, func(n int) []index {
			var x index
			behind(&x, "d")
			for i := range n {
				x.add(file(fmt.Sprintf("l00/f%d", i)))
			}
			return one(x)
		}},
		{"each in a directory of its own", 40000, func(n int) []index {
			var x index
			behind(&x, "d")
			for i := range n {
				x.add(file(fmt.Sprintf("l00/d%d/f", i)))
			}
			return one(x)
		}},
		{"whiteouts behind padded links", 40000, func(n int) []index {
			var x, y index
			behind(&x, "d")
			for i := range n {
				x.add(file(fmt.Sprintf("d/f%d", i)))
				y.add(entry{kind: whiteout, inode: inode{path: fmt.Sprintf("l00/f%d", i)}})
			}
			return []index{x, y}
		}},
		{"whiteouts behind links to nothing", 40000, func(n int) []index {
			var x, y index
			behind(&x, "d")
			x.add(entry{inode: inode{path: "l39", mode: typeSymlink, target: "nothing/at/all"}})
			for i := range n {
				y.add(entry{kind: whiteout, inode: inode{path: fmt.Sprintf("l00/d%d/f", i)}})
			}
			return []index{x, y}
		}},
		{"opaque markers behind padded links", 20000, func(n int) []index {
			var x, y index
			behind(&x, "d")
			for i := range n {
				x.add(file(fmt.Sprintf("d/d%d/f", i)))
				y.add(entry{kind: opaque, inode: inode{path: fmt.Sprintf("l00/d%d", i)}})
			}
			return []index{x, y}
		}},
		{"hard links behind padded links", 40000, func(n int) []index {
			var x index
			behind(&x, "d")
			x.add(file("d/f"))
			for i := range n {
				x.add(entry{kind: hardLink, link: "l00/f", inode: inode{path: fmt.Sprint("h", i)}})
			}
			return one(x)
		}},
		{"hard links, each to the next", 40000, func(n int) []index {
			var x index
			behind(&x, "d")
			for i := range n {
				x.add(entry{kind: hardLink, link: fmt.Sprintf("l00/h%d", i+1),
					inode: inode{path: fmt.Sprintf("d/h%d", i)}})
			}
			x.add(file(fmt.Sprintf("d/h%d", n)))
			return one(x)
		}},
		{"links that have nothing to do with it are replaced", 20000, func(n int) []index {
			var x index
			behind(&x, "d")
			for i := range n {
				x.add(file(fmt.Sprintf("l00/f%d", i)))
				x.add(entry{inode: inode{path: "other", mode: typeSymlink, target: fmt.Sprint("d", i)}})
			}
			return one(x)
		}},
		{"a directory that was large is emptied by each layer", 200, func(n int) []index {
			var x, y index
			for i := range 100 * n {
				x.add(file(fmt.Sprintf("d/f%d", i)))
				y.add(entry{kind: whiteout, inode: inode{path: fmt.Sprintf("d/f%d", i)}})
			}
			layers := []index{x, y}
			for range n {
				var z index
				z.add(entry{kind: opaque, inode: inode{path: "d"}})
				z.add(file("d/f"))
				layers = append(layers, z)
			}
			return layers
		}},
		{"a directory that is a file and a directory in turn", 20000, func(n int) []index {
			var x index
			for i := range n {
				x.add(file("d"))
				x.add(entry{inode: inode{path: "d", mode: typeDir}})
				for j := range 3 {
					x.add(file(fmt.Sprintf("d/%d-%d", i, j)))
				}
			}
			return one(x)
		}},
		{"the same whiteout of a large directory", 20000, func(n int) []index {
			var x index
			for i := range n {
				x.add(file(fmt.Sprintf("d/f%d", i)))
			}
			for range n {
				x.add(entry{kind: whiteout, inode: inode{path: "d"}})
				x.add(entry{kind: opaque, inode: inode{path: ""}})
			}
			return one(x)
		}},
	}
}

// TestLinear merges each case at its size and at twice that, and counts the names that are looked up: other programs
// on the machine do not change that. The time is only logged, except that nothing may take very long.
func TestLinear(t *testing.T) {
	for _, c := range cases() {
		var steps [2]int64
		var took [2]time.Duration
		for i, n := range []int{c.n, 2 * c.n} {
			layers := c.layer(n)
			runtime.GC()
			m := newMerger(t.Context(), 1<<20)
			begin := time.Now()
			for l := range layers {
				if err := m.apply(&layers[l], int32(l)); err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
			}
			steps[i], took[i] = m.steps, time.Since(begin)
		}
		t.Logf("%-52s %9d %9d lookups, %v, %v", c.name, steps[0], steps[1], took[0].Round(time.Millisecond),
			took[1].Round(time.Millisecond))
		if steps[1] > 2*steps[0]+1000 {
			t.Errorf("%s: twice as many entries take %d lookups in place of %d", c.name, steps[1], steps[0])
		}
		if took[1] > 10*time.Second {
			t.Errorf("%s: it took %v", c.name, took[1])
		}
	}
}

// TestBounded has cases in which remembering does not help: links on the way that are replaced before each entry,
// links in a circle, and files whose paths are much longer than their names. Reading must end soon, and say why.
func TestBounded(t *testing.T) {
	deep := strings.TrimSuffix(strings.Repeat("d/", 2000), "/")
	for _, c := range []struct {
		name string
		want string
		fill func(x *index)
	}{
		{"links that are replaced", "to find it", func(x *index) {
			behind(x, "d")
			last := strings.Repeat("./../", 780) + "d"
			for i := range 50000 {
				x.add(entry{inode: inode{path: "l39", mode: typeSymlink, target: last}})
				x.add(file(fmt.Sprintf("l00/f%d", i)))
			}
		}},
		{"whiteouts behind links in a circle", "to find it", func(x *index) {
			behind(x, "d")
			x.add(entry{inode: inode{path: "l39", mode: typeSymlink, target: strings.Repeat("./../", 780) + "l00"}})
			for i := range 50000 {
				x.add(entry{kind: whiteout, inode: inode{path: fmt.Sprintf("l00/d%d/f", i)}})
			}
		}},
		{"opaque markers behind links in a circle", "to find it", func(x *index) {
			behind(x, "d")
			x.add(entry{inode: inode{path: "l39", mode: typeSymlink, target: strings.Repeat("./../", 780) + "l00"}})
			for i := range 50000 {
				x.add(entry{kind: opaque, inode: inode{path: fmt.Sprintf("l00/d%d", i)}})
			}
		}},
		{"short names of long paths", "paths of the image's files", func(x *index) {
			x.add(entry{inode: inode{path: "l", mode: typeSymlink, target: deep}})
			x.add(entry{inode: inode{path: "l/l", mode: typeSymlink, target: deep}})
			for i := range 200000 {
				x.add(file(fmt.Sprintf("l/l/f%d", i)))
			}
		}},
	} {
		var x index
		c.fill(&x)
		begin := time.Now()
		m := newMerger(t.Context(), 1<<20)
		err := m.apply(&x, 0)
		t.Logf("%s: %v after %v", c.name, err, time.Since(begin))
		if !errors.Is(err, errTooMuch) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// heardAfter is a context that is done once it was asked a number of times. It counts how often it is asked.
type heardAfter struct {
	context.Context
	asked, most int
}

func (h *heardAfter) Err() error {
	if h.asked++; h.asked > h.most {
		return context.Canceled
	}
	return nil
}

// TestHeard ends the context in the middle of everything that walks through a tree.
func TestHeard(t *testing.T) {
	var lower, upper index
	behind(&lower, "d")
	for i := range 20000 {
		lower.add(file(fmt.Sprintf("d/d%d/f%d", i%100, i)))
	}
	upper.add(entry{kind: opaque, inode: inode{path: "d"}})
	for i := range 20000 {
		upper.add(entry{kind: whiteout, inode: inode{path: fmt.Sprintf("l00/x%d/f", i)}})
	}
	for _, most := range []int{0, 1, 3} {
		for i, layers := range [][]index{{lower}, {upper}} {
			ctx := &heardAfter{t.Context(), 0, most}
			m := newMerger(t.Context(), 1<<20)
			if i == 1 {
				if err := m.apply(&lower, 0); err != nil {
					t.Fatal(err)
				}
			}
			m.ctx = ctx
			if err := m.apply(&layers[0], int32(i)); !errors.Is(err, context.Canceled) {
				t.Errorf("apply of layer %d, its context done when asked the %d. time: %v", i, most+1, err)
			}
		}
	}
	m := newMerger(t.Context(), 1<<20)
	if err := m.apply(&lower, 0); err != nil {
		t.Fatal(err)
	}
	tree := &Tree{root: m.root}
	if err := tree.count(&heardAfter{t.Context(), 0, 5}); !errors.Is(err, context.Canceled) {
		t.Errorf("count = %v", err)
	}
	seen, last := 0, error(nil)
	for _, err := range tree.All(&heardAfter{t.Context(), 0, 5}) {
		if last = err; err == nil {
			seen++
		}
	}
	if seen != 5 || !errors.Is(last, context.Canceled) {
		t.Errorf("All yielded %d paths and then %v", seen, last)
	}
}
