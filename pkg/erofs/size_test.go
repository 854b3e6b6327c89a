package erofs_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestSize compares images with those of mkfs.erofs. Sizes of files are about those of a distribution: half of them
// have less than 3 KiB, and a few have most of the bytes.
func TestSize(t *testing.T) {
	t.Parallel()
	imagetest.NeedsPrograms(t, "mkfs.erofs")
	top := t.TempDir()
	dir := filepath.Join(top, "dir")
	r := rand.New(rand.NewPCG(1, 2))
	noise := random(1, 8<<20)
	var e []imagetest.Entry
	for i := range 2000 {
		size := int(min(3000*math.Exp(2.3*r.NormFloat64()), 4<<20))
		from := r.IntN(4 << 20) // so that no two are equal
		name := fmt.Sprintf("d%d/file-%d", i%40, i)
		e = append(e, imagetest.File(name, noise[from:from+size]))
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(noise[from:from+size]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	size := func(options ...string) int64 {
		file := filepath.Join(top, "image")
		if out, err := exec.Command("mkfs.erofs", append(options, "--quiet", file, dir)...).CombinedOutput(); err != nil {
			t.Fatalf("mkfs.erofs: %v: %s", err, out)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	got, smallest, dax := int64(len(check(t, imagetest.Files(e...)))), size(), size("-Enoinline_data")
	t.Logf("%d bytes; mkfs.erofs: %d, and %d for dax", got, smallest, dax)
	if got > smallest*103/100 || got > dax {
		t.Errorf("the image has %d bytes; that of mkfs.erofs has %d, and for dax %d", got, smallest, dax)
	}
}
