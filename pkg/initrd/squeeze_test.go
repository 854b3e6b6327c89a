package initrd_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/u-root/uio/uio"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
)

// TestSqueeze packs an archive of many frames as one frame, which is smaller.
func TestSqueeze(t *testing.T) {
	words := strings.Fields(noise(40_000))
	text := func(n int) string {
		var b strings.Builder
		r := rand.New(rand.NewPCG(5, uint64(n)))
		for range n {
			b.WriteString(words[r.IntN(len(words))])
		}
		return b.String()
	}
	layers := []imagetest.Layer{imagetest.Files(imagetest.File("a", text(50_000)), imagetest.File("b", noise(3<<20)),
		imagetest.File("c", text(10_000)), imagetest.Link("d", "c"))}
	for name, memory := range kept {
		tree, err := keeping(t, memory, layers)
		if err != nil {
			t.Fatal(err)
		}
		want, err := report.FromTree(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		loose, res, err := initrd.Make(t.Context(), tree, initrd.Options{Compression: initrd.Zstd})
		if err != nil {
			t.Fatal(err)
		}
		before := size(t, loose)
		tight, err := initrd.Squeeze(t.Context(), loose, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tight.Close()
		after := size(t, tight)
		packed, err := uio.ReadAll(tight)
		if err != nil {
			t.Fatal(err)
		}
		data, err := oneFrame(packed)
		if err != nil || int64(len(data)) != res.Size || after >= before {
			t.Fatalf("%s kept: %d bytes of %d, unpacked %d of %d, %v", name, after, before, len(data), res.Size, err)
		}
		got, err := boot(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range report.Diff(want.Map(carried), got, 10) {
			t.Errorf("%s kept: %s", name, d)
		}
	}
	tree, err := keeping(t, 0, layers)
	if err != nil {
		t.Fatal(err)
	}
	loose, _, err := initrd.Make(t.Context(), tree, initrd.Options{Compression: initrd.Zstd})
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no memory left")
	if _, err := initrd.Squeeze(t.Context(), loose, 0, func() error { return full }); !errors.Is(err, full) {
		t.Errorf("Squeeze = %v, want %v", err, full)
	}
}
