package rootfs_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// FuzzStack makes stacks of layers out of a seed, in a world so small that names collide all the time, and compares the
// tree with what the oracle unpacks; one refuses exactly what the other does.
func FuzzStack(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		layers := randomStack(rand.New(rand.NewPCG(seed, 0)))
		u := newUnpacker(t)
		var refused error
		for _, l := range layers {
			if refused = u.layer(l); refused != nil {
				break
			}
		}
		tree, err := rootfs.Read(t.Context(), stack(t, layers), rootfs.Options{Memory: int64(seed % 3)})
		if (err != nil) != (refused != nil) {
			t.Fatalf("Read = %v, the oracle says %v\n%s", err, refused, describe(layers))
		}
		if err != nil {
			return
		}
		defer tree.Close()
		got, err := report.FromTree(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		if err := u.finish(); err != nil {
			t.Fatal(err)
		}
		want, err := report.FromDir(u.root)
		if err != nil {
			t.Fatal(err)
		}
		if diffs := report.Diff(want, got, 10); len(diffs) > 0 {
			t.Errorf("%q\n%s", diffs, describe(layers))
		}
	})
}

// describe lists a stack for the one who reads a failure.
func describe(layers []imagetest.Layer) string {
	var b bytes.Buffer
	for i, l := range layers {
		fmt.Fprintf(&b, "layer %d\n", i)
		for _, e := range l.Entries {
			h := e.Header
			fmt.Fprintf(&b, "  %c %q -> %q mode %o owner %d:%d\n", h.Typeflag, h.Name, h.Linkname, h.Mode, h.Uid, h.Gid)
		}
	}
	return b.String()
}

func randomStack(r *rand.Rand) []imagetest.Layer {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	name := func() string {
		p := pick("a", "b", "c", "d")
		for range r.IntN(3) {
			p += "/" + pick("a", "b", "c")
		}
		return p
	}
	dressed := func() string {
		return pick("", "", "", "", "./", "/", "../", "a/../") + name() + pick("", "", "", "/.")
	}
	layers := make([]imagetest.Layer, 1+r.IntN(4))
	for i := range layers {
		l := &layers[i]
		l.Compression = imagetest.Compression(r.IntN(5))
		for range r.IntN(8) {
			var e imagetest.Entry
			switch r.IntN(16) {
			case 0, 1, 2:
				e = imagetest.File(dressed(), pick("", "1", "two", "three"))
			case 3, 4, 5, 6:
				e = imagetest.Dir(dressed())
			case 7, 8:
				e = imagetest.Symlink(name(), pick("", "", "/", "../", "../../")+name())
			case 9, 10, 11:
				e = imagetest.Link(dressed(), dressed())
			case 12:
				e = imagetest.FIFO(name())
			case 13, 14:
				e = imagetest.Whiteout(name())
			case 15:
				e = imagetest.Opaque(pick(".", name(), name()))
			}
			e = e.Mode(int64(r.IntN(0o10000))).Owner(r.IntN(3), r.IntN(3)).At(time.Unix(r.Int64N(1<<31), 0))
			if r.IntN(5) == 0 && (e.Header.Typeflag == '0' || e.Header.Typeflag == '5') {
				e = e.Xattr("user.x", pick("1", "2"))
			}
			l.Entries = append(l.Entries, e)
		}
	}
	return layers
}

// FuzzArchive reads arbitrary bytes as a layer: it may be refused, but must come to an end within its bounds.
func FuzzArchive(f *testing.F) {
	for _, tc := range imagetest.Cases() {
		for _, l := range tc.Layers {
			if b, err := l.Archive(); err == nil && len(b) < 64<<10 && !tc.Slow {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		layer := imagetest.Layer{Tar: archive, Compression: imagetest.Plain}
		tree, err := rootfs.Read(t.Context(), stack(t, []imagetest.Layer{layer}), rootfs.Options{Memory: 1 << 20, MaxBytes: 16 << 20, MaxEntries: 1000})
		if err != nil {
			return
		}
		defer tree.Close()
		got, err := report.FromTree(t.Context(), tree)
		if err != nil {
			t.Fatalf("Walk = %v after Read has accepted the layer", err)
		}
		if n := tree.Stat().Entries; n != len(got) || n > 1000 {
			t.Errorf("Stat says %d entries, Walk showed %d", n, len(got))
		}
	})
}
