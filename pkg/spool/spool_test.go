package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/newc"
)

// mixed returns n bytes: parts of noise, text and zeros in turn.
func mixed(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := 0; i < n; i += 300_000 {
		part := b[i:min(n, i+300_000)]
		switch i / 300_000 % 8 {
		case 0, 1:
			for j := range part {
				part[j] = byte(r.Uint32())
			}
		case 2, 3:
			copy(part, bytes.Repeat([]byte("some text "), 30_000))
		}
	}
	return b
}

func blocks(t *testing.T, s *Spool) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(s.f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// kept is a file that was added.
type kept struct {
	File
	data []byte
	off  int64
}

// fill adds files of many sizes, some larger than a frame.
func fill(t *testing.T, s *Spool) []kept {
	t.Helper()
	data := mixed(12<<20 + 12345)
	var files []kept
	for i, rest := 0, data; len(rest) > 0; i++ {
		n := min(len(rest), []int{1, 3_000_001, 70_000, 4, 99_999, 1_000_000, 17, 2_500_000}[i%8])
		f := kept{File: File{Path: fmt.Sprintf("dir/%0*d", 1+i%5, i), Mode: unix.S_IFREG | 0o644, UID: 1, GID: 2,
			ModTime: 3, Size: int64(n)}, data: rest[:n]}
		var err error
		if f.off, err = s.Add(f.File, bytes.NewReader(f.data)); err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
		rest = rest[n:]
	}
	if err := s.Seal(); err != nil {
		t.Fatal(err)
	}
	return files
}

// rooms are limits of a room. No result may depend on them.
var rooms = map[string]int64{"plenty": 0, "some": 3<<20 + 200_000, "none": 1}

func TestSpool(t *testing.T) {
	for name, limit := range rooms {
		t.Run(name, func(t *testing.T) {
			room := &Room{Limit: limit}
			s, err := New(room)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			files := fill(t, s)
			if limit > 0 && room.used.Load() > limit {
				t.Errorf("keeps %d bytes as they are, want at most %d", room.used.Load(), limit)
			}
			if s.Plain() != (limit == 0) {
				t.Errorf("Plain = %v with a limit of %d", s.Plain(), limit)
			}
			if got := blocks(t, s); got >= s.Len() {
				t.Errorf("takes %d bytes of memory for %d, with megabytes of zeros among them", got, s.Len())
			}

			c := s.NewCursor(false)
			defer c.Close()
			r := rand.New(rand.NewPCG(3, 4))
			for range 300 {
				f := files[r.IntN(len(files))]
				off := r.IntN(len(f.data))
				p := make([]byte, 1+r.IntN(len(f.data)-off))
				if n, err := c.ReadAt(p, f.off+int64(off)); err != nil || !bytes.Equal(p[:n], f.data[off:off+len(p)]) {
					t.Fatalf("ReadAt(%d bytes, %d in %s) = %d, %v, want the right ones", len(p), off, f.Path, n, err)
				}
			}
			if n, err := c.ReadAt(make([]byte, 8), s.Len()-4); n > 4 || err != io.EOF {
				t.Errorf("ReadAt over the end = %d, %v, want at most 4 and the end", n, err)
			}

			// Reading from the beginning to the end gives back all memory on the way.
			c = s.NewCursor(true)
			last := blocks(t, s)
			for i, f := range files {
				got := make([]byte, len(f.data))
				if _, err := c.ReadAt(got, f.off); err != nil || !bytes.Equal(got, f.data) {
					t.Fatalf("%s is wrong, %v", f.Path, err)
				}
				if i == len(files)/2 {
					if now := blocks(t, s); now >= last {
						t.Errorf("half read, and still %d bytes of %d are taken", now, last)
					}
				}
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if got := blocks(t, s); got > memory.Page {
				t.Errorf("all read, and still %d bytes are taken", got)
			}
		})
	}
}

// records reads an archive, and what follows it, with u-root's package.
func records(t *testing.T, data []byte) map[string]string {
	t.Helper()
	got := map[string]string{}
	r := cpio.Newc.Reader(bytes.NewReader(data))
	for {
		rec, err := r.ReadRecord()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, rec.FileSize)
		if _, err := rec.ReadAt(body, 0); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		got[rec.Name] = string(body)
	}
}

// TestArchive checks that what is kept is an archive: with a trailer behind it if it is kept as it is, and each frame
// by itself if it is packed.
func TestArchive(t *testing.T) {
	for name, limit := range rooms {
		t.Run(name, func(t *testing.T) {
			s, err := New(&Room{Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			files := fill(t, s)
			got := map[string]string{}
			add := func(data []byte) {
				for path, content := range records(t, data) {
					got[path] = content
				}
			}
			plain := make([]byte, s.plain)
			if _, err := s.f.ReadAt(plain, Front); err != nil && len(plain) > 0 {
				t.Fatal(err)
			}
			add(newc.Trailer(plain))
			seen := map[int64]bool{}
			for _, f := range files {
				frame, ok := s.Frame(f.off)
				if !ok || seen[frame.Begin] {
					continue
				}
				seen[frame.Begin] = true
				r, done := s.TakeFrame(frame)
				zr, err := zstd.NewReader(r)
				if err != nil {
					t.Fatal(err)
				}
				data, err := io.ReadAll(zr)
				if err != nil || int64(len(data)) != frame.Size() {
					t.Fatalf("a frame has %d bytes, %v, want %d", len(data), err, frame.Size())
				}
				if n := len(records(t, data)); n != frame.Records {
					t.Errorf("a frame has %d records, want %d", n, frame.Records)
				}
				add(data)
				zr.Close()
				if err := done(); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range files {
				if got[f.Path] != string(f.data) {
					t.Errorf("%s is not there as it was", f.Path)
				}
			}
			if len(got) != len(files) {
				t.Errorf("%d files, want %d", len(got), len(files))
			}
		})
	}
}

// TestShort has contents that end too early.
func TestShort(t *testing.T) {
	for name, limit := range rooms {
		for _, size := range []int64{10, 3 << 20} {
			s, err := New(&Room{Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Add(File{Path: "f", Size: size}, strings.NewReader("short")); !errors.Is(err,
				io.ErrUnexpectedEOF) {
				t.Errorf("%s: Add of 5 bytes of %d = %v, want %v", name, size, err, io.ErrUnexpectedEOF)
			}
			s.Close()
		}
	}
}
