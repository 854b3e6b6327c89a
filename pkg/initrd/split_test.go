package initrd_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/uio/uio"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/newc"
)

// TestSplit has a file that is too large for a record. It holds some bytes around the end of its first part, and at its
// end, and has a second name that comes after other files.
func TestSplit(t *testing.T) {
	if testing.Short() {
		t.Skip("packs and unpacks 2 GiB, twice")
	}
	const size = initrd.MaxFirst + initrd.PartSize + 10
	layers := []imagetest.Layer{imagetest.Files(
		imagetest.File("before", "1"),
		imagetest.PAXSparse("large", strings.Repeat("x", 7), initrd.MaxFirst-3, size),
		imagetest.File("between", "2"),
		imagetest.Link("other", "large"),
	)}
	opt := initrd.Options{Compression: initrd.Zstd, Split: map[string]string{"large": "part-", "other": "part-"}}
	for name, memory := range map[string]int64{"kept as it is": 0, "kept packed": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree, err := keeping(t, memory, layers)
			if err != nil {
				t.Fatal(err)
			}
			f, result, err := initrd.Make(t.Context(), tree, opt)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			want := []string{
				fmt.Sprint("large ", int64(initrd.MaxFirst), " xxx"), fmt.Sprint("part-1 ", initrd.PartSize,
					" xxxx"), "part-2 10 ", "other 0 ",
			}
			got := found(t, uio.Reader(f))
			i := slices.Index(got, want[0])
			if i < 0 || len(got) < i+len(want) || !slices.Equal(got[i:i+len(want)], want) {
				t.Errorf("the archive has %q, want %q in it", got, want)
			}
			if result.Records != 1+2+len(want) {
				t.Errorf("Make counts %d records", result.Records)
			}
		})
	}
	t.Run("not asked for", func(t *testing.T) {
		tree, err := keeping(t, 0, layers)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := initrd.Make(t.Context(), tree, initrd.Options{Compression: initrd.Zstd}); err == nil ||
			!strings.Contains(err.Error(), "2 GiB") {
			t.Errorf("Make = %v, want an error that says 2 GiB", err)
		}
	})
}

// found reads archives that are too large for memory. For each record with a name it returns the name, the size of the
// content, and the letters in it.
func found(t *testing.T, r io.Reader) []string {
	t.Helper()
	zr, err := zstd.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	defer zr.Close()
	in := bufio.NewReaderSize(zr, 1<<20)
	var all []string
	for {
		var header [110]byte
		if _, err := io.ReadFull(in, header[:]); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		field := func(i int) int64 {
			v, err := strconv.ParseInt(string(header[6+8*i:][:8]), 16, 64)
			if err != nil {
				t.Fatalf("a header is %q", header)
			}
			return v
		}
		name := make([]byte, field(11))
		if _, err := io.ReadFull(in, name); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Discard(int(newc.Padded(110+field(11)) - 110 - field(11))); err != nil {
			t.Fatal(err)
		}
		var letters []byte
		for left := field(6); left > 0; {
			b, err := in.Peek(int(min(left, 1<<20)))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Count(b, []byte{0}) < len(b) {
				letters = append(letters, bytes.ReplaceAll(b, []byte{0}, nil)...)
			}
			left -= int64(len(b))
			in.Discard(len(b))
		}
		if _, err := in.Discard(int(newc.Padded(field(6)) - field(6))); err != nil {
			t.Fatal(err)
		}
		if s := strings.TrimRight(string(name), "\x00"); s != "TRAILER!!!" {
			all = append(all, fmt.Sprintf("%s %d %s", s, field(6), letters))
		}
	}
}
