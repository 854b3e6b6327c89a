package rootfs_test

import (
	"math/rand/v2"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// FuzzStack makes stacks of layers out of a seed, with so few names that they collide all the time. It compares the
// tree with what the oracle unpacks. Both must refuse the same stacks.
func FuzzStack(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		layers := imagetest.Random(rand.New(rand.NewPCG(seed, 0)))
		u := newUnpacker(t)
		var refused error
		for _, l := range layers {
			if refused = u.layer(l); refused != nil {
				break
			}
		}
		opt := rootfs.Options{Memory: int64(seed % 3)}
		switch seed % 4 {
		case 1:
			opt.Twice = anyway
		case 2, 3:
			opt.Early = some(rand.New(rand.NewPCG(seed, 1)), len(layers))
		}
		tree, err := rootfs.Read(t.Context(), stack(t, layers), opt)
		if (err != nil) != (refused != nil) {
			t.Fatalf("Read = %v, the oracle says %v\n%s", err, refused, imagetest.Describe(layers))
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
			t.Errorf("%q\n%s", diffs, imagetest.Describe(layers))
		}
	})
}

// FuzzArchive reads arbitrary bytes as a layer. It may be refused, but reading must end within its bounds.
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
		tree, err := rootfs.Read(t.Context(), stack(t, []imagetest.Layer{layer}),
			rootfs.Options{Memory: 1 << 20, MaxBytes: 16 << 20, MaxEntries: 1000})
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
