package newc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
	"github.com/u-root/uio/uio"
	"golang.org/x/sys/unix"
)

// theirs returns what u-root's writer makes of a record. Its content has to be there; only what comes before is
// returned.
func theirs(t *testing.T, r cpio.Info) []byte {
	t.Helper()
	var b bytes.Buffer
	err := cpio.Newc.Writer(&b).WriteRecord(cpio.Record{Info: r, ReaderAt: bytes.NewReader(nil)})
	if r.FileSize > 0 && err == nil {
		t.Fatal("u-root's writer does not miss the content")
	}
	return b.Bytes()
}

// TestHeader compares headers with those that u-root's writer makes.
func TestHeader(t *testing.T) {
	const most = 1<<32 - 1
	for _, r := range []cpio.Info{
		{Name: "a", Mode: unix.S_IFREG | 0o4755, UID: 1, GID: most - 1, NLink: 1, MTime: 1234567890, FileSize: 7},
		{Name: "usr/bin/ab", Mode: unix.S_IFREG, NLink: 1, MTime: Time(-1), FileSize: 1},
		{Name: "x/y", Mode: unix.S_IFREG, NLink: 3, Ino: 77, FileSize: 1},
		{Name: strings.Repeat("x", 4095), Mode: unix.S_IFREG, NLink: 1, MTime: Time(1 << 40), FileSize: most},
		{Name: ".", Mode: unix.S_IFDIR | 0o755, NLink: 1},
		{Name: "dev/sda", Mode: unix.S_IFBLK | 0o660, NLink: 1, Rmajor: 8, Rminor: 1<<20 - 1},
		{Name: "all", Ino: most, Mode: most, UID: most, GID: most, NLink: most, MTime: most, FileSize: most,
			Major: most, Minor: most - 1, Rmajor: most - 2, Rminor: most - 3},
	} {
		want := theirs(t, r)
		got := Header([]byte("before"), r)
		if !bytes.Equal(got, append([]byte("before"), want...)) {
			t.Errorf("Header(%.20q) = %q, want %q", r.Name, got, want)
		}
		if n := HeaderSize(r.Name); n != int64(len(want)) {
			t.Errorf("HeaderSize(%.20q) = %d, want %d", r.Name, n, len(want))
		}
	}
	var want bytes.Buffer
	if err := cpio.WriteTrailer(cpio.Newc.Writer(&want)); err != nil {
		t.Fatal(err)
	}
	if got := Trailer(nil); !bytes.Equal(got, want.Bytes()) || len(got) != TrailerSize {
		t.Errorf("Trailer = %q, %d bytes, want %q, %d bytes", got, len(got), want.Bytes(), TrailerSize)
	}
}

// TestArchive has u-root's reader read records with contents of every padding, with fillers between them.
func TestArchive(t *testing.T) {
	var data []byte
	var want []string
	for i := range 9 {
		name, content := strings.Repeat("n", 1+i), strings.Repeat("c", i)
		before := len(data)
		data = Header(data, cpio.Info{Name: name, Mode: unix.S_IFREG, FileSize: uint64(i)})
		data = Pad(append(data, content...), int64(i))
		if n := len(data) - before; int64(n) != Size(name, int64(i)) || n%Align != 0 {
			t.Errorf("a record of %d bytes, Size = %d", n, Size(name, int64(i)))
		}
		want = append(want, name+" "+content)
		size := MinFiller + int64(i)*Align
		before = len(data)
		data = Filler(data, size)
		data = append(data, make([]byte, size-int64(len(data)-before))...)
	}
	data = Trailer(data)
	var got []string
	r := cpio.Newc.Reader(bytes.NewReader(data))
	for {
		rec, err := r.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := uio.ReadAll(rec)
		if err != nil {
			t.Fatal(err)
		}
		if rec.Mode&unix.S_IFMT == 0 {
			// To the kernel this is nothing: a content, and no type.
			if rec.FileSize == 0 {
				t.Errorf("a filler without content at %d", rec.RecPos)
			}
			continue
		}
		got = append(got, rec.Name+" "+string(content))
	}
	if strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("u-root's reader finds %q, want %q", got, want)
	}
}

func TestTime(t *testing.T) {
	for seconds, want := range map[int64]uint64{-5: 0, 0: 0, 7: 7, 1<<32 - 1: 1<<32 - 1, 1 << 32: 1<<32 - 1,
		-1 << 62: 0} {
		if got := Time(seconds); got != want {
			t.Errorf("Time(%d) = %d, want %d", seconds, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name string
		err  error
		want string // in the error; "" is none
	}{
		{"a path", CheckPath("usr/bin/a"), ""},
		{"the longest path", CheckPath(strings.Repeat("d/", 2047) + "f"), ""},
		{"a path too long", CheckPath(strings.Repeat("d/", 2048)), "has a path of 4096 bytes; Linux takes 4095"},
		{"the longest name", CheckPath("a/" + long(255) + "/b"), ""},
		{"a name too long", CheckPath("a/" + long(256) + "/b"), "has a name of 256 bytes in it; Linux takes 255"},
		{"the trailer", CheckPath("TRAILER!!!"), "ends an initramfs"},
		{"the trailer's name below", CheckPath("a/TRAILER!!!"), ""},
		{"the longest target", CheckTarget(long(4095)), ""},
		{"a target too long", CheckTarget(long(4096)), "is a symbolic link to a path of 4096 bytes; Linux takes 4095"},
		{"the largest file", CheckSize(MaxSize), ""},
		{"a file too large", CheckSize(MaxSize + 1),
			"has 2147483648 bytes; a file in an initramfs can have at most 2147483647 (2 GiB - 1)"},
	} {
		if c.want == "" && c.err != nil || c.want != "" && (c.err == nil || !strings.Contains(c.err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, c.err, c.want)
		}
	}
}

// BenchmarkRecord compares the two encoders: a directory, and a file of 1 KiB.
func BenchmarkRecord(b *testing.B) {
	content := make([]byte, 1<<10)
	record := func(i int, size uint64) cpio.Info {
		return cpio.Info{Name: names[i%len(names)], Mode: unix.S_IFREG | 0o755, NLink: 1, MTime: 1234567890,
			FileSize: size}
	}
	for _, size := range []int{0, len(content)} {
		b.Run(fmt.Sprint("u-root/", size), func(b *testing.B) {
			b.ReportAllocs()
			w := cpio.Newc.Writer(io.Discard)
			for i := range b.N {
				if i%len(names) == 0 {
					w = cpio.Newc.Writer(io.Discard) // it drops a name that it has written before
				}
				r := cpio.Record{Info: record(i, uint64(size))}
				if size > 0 {
					r.ReaderAt = bytes.NewReader(content)
				}
				if err := w.WriteRecord(r); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprint("newc/", size), func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for i := range b.N {
				buf = append(Header(buf[:0], record(i, uint64(size))), content[:size]...)
				if _, err := io.Discard.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

var names = func() []string {
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprintf("usr/share/doc/package-%d", i))
	}
	return list
}()
