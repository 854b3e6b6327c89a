package initrd_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/u-root/uio/uio"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
)

// TestEarly has an archive that comes first, in every form: the kernel finds it uncompressed at the beginning, and
// behind it the same as without it.
func TestEarly(t *testing.T) {
	layers := blobs(t, []imagetest.Layer{
		imagetest.Files(imagetest.File("a", strings.Repeat("a ", 300_000)), imagetest.File("b", "b"),
			imagetest.Link("c", "b")),
		imagetest.Files(imagetest.File("b", "b again"), imagetest.Dir("d"), imagetest.File("d/e", noise(1<<20))),
	})
	for name, memory := range kept {
		for _, size := range []int{4, 512, 3 << 20, 4 << 20, 5 << 20} {
			for _, c := range compressions {
				for _, single := range []bool{false, true} {
					if single && c == initrd.Mixed {
						continue
					}
					tree, err := keepingBlobs(t, memory, layers)
					if err != nil {
						t.Fatal(err)
					}
					want, err := report.FromTree(t.Context(), tree)
					if err != nil {
						t.Fatal(err)
					}
					early := []byte(noise(size))
					opt := initrd.Options{Compression: c, Plain: 10 << 10, Single: single, Early: early}
					got, err := boot(made(t, tree, opt)) // which cuts early off
					if err != nil {
						t.Fatalf("%s kept, %v: %v", name, c, err)
					}
					for _, d := range report.Diff(want.Map(carried), got, 10) {
						t.Errorf("%s kept, %v, %d bytes first: %s", name, c, size, d)
					}
				}
			}
		}
	}
}

// TestEarlyWrite is the same for Write.
func TestEarlyWrite(t *testing.T) {
	tree := read(t, imagetest.Files(imagetest.File("f", "f")))
	want := write(t, tree, initrd.Options{})
	var buf bytes.Buffer
	res, err := initrd.Write(t.Context(), &buf, tree, initrd.Options{Compression: initrd.Gzip, Early: []byte("early...")})
	if err != nil {
		t.Fatal(err)
	}
	rest, ok := bytes.CutPrefix(buf.Bytes(), []byte("early..."))
	got, err := oneMember(rest)
	if !ok || err != nil || !bytes.Equal(got, want) || res.Size != int64(8+len(want)) {
		t.Errorf("Write writes %q and %d bytes, %v, and says %d", buf.Bytes()[:8], len(got), err, res.Size)
	}
}

// TestEarlySqueezed packs what is behind the early archive, and leaves that alone.
func TestEarlySqueezed(t *testing.T) {
	tree := read(t, imagetest.Files(imagetest.File("a", strings.Repeat("some text ", 200_000)),
		imagetest.File("b", noise(5<<20))))
	want, err := report.FromTree(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	early := []byte(noise(2<<20 + 4))
	f, _, err := initrd.Make(t.Context(), tree, initrd.Options{Compression: initrd.Zstd, Early: early})
	if err != nil {
		t.Fatal(err)
	}
	tight, err := initrd.Squeeze(t.Context(), f, int64(len(early)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tight.Close()
	first := make([]byte, len(early))
	if _, err := io.ReadFull(tight, first); err != nil || !bytes.Equal(first, early) {
		t.Errorf("the first %d bytes have changed, %v", len(early), err)
	}
	all, err := uio.ReadAll(tight)
	if err != nil {
		t.Fatal(err)
	}
	data, err := oneFrame(all[len(early):])
	if err != nil {
		t.Fatal(err)
	}
	got, err := boot(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range report.Diff(want.Map(carried), got, 10) {
		t.Error(d)
	}
}
