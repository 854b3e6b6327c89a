package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/u-root/uio/uio"
)

// TestOverflow keeps files for which there is no room in a file of a directory, and reads all of them back in any
// order.
func TestOverflow(t *testing.T) {
	for name, limit := range rooms {
		t.Run(name, func(t *testing.T) {
			made := 0
			room := &Room{Limit: limit, Overflow: func() (*os.File, error) {
				made++
				f, err := os.CreateTemp(t.TempDir(), "")
				if err == nil {
					err = os.Remove(f.Name())
				}
				return f, err
			}}
			s, err := New(room)
			if err != nil {
				t.Fatal(err)
			}
			files := fill(t, s)
			if want := min(limit, 1); int64(made) != want || s.Plain() != (want == 0) || len(s.frames) > 0 {
				t.Errorf("it made %d files, Plain is %v, with %d frames", made, s.Plain(), len(s.frames))
			}
			if limit > 0 && blocks(t, s) > limit {
				t.Errorf("it takes %d bytes of memory, more than %d", blocks(t, s), limit)
			}
			for _, release := range []bool{false, true} {
				c := s.NewCursor(release)
				order := []int{}
				for i := range files {
					order = append(order, i)
				}
				if !release {
					for i := range files {
						order = append(order, len(files)-1-i)
					}
				}
				for _, i := range order {
					f := files[i]
					got, err := io.ReadAll(io.NewSectionReader(c, f.off, f.Size))
					if err != nil || !bytes.Equal(got, f.data) {
						t.Fatalf("file %d has %d bytes that differ, %v", i, len(got), err)
					}
					if _, ok := s.Frame(f.off); ok {
						t.Errorf("file %d is in a frame", i)
					}
				}
				// Across the border between the two files too.
				got, err := uio.ReadAll(c)
				if !release && (err != nil || int64(len(got)) != s.Len()) {
					t.Errorf("all of it is %d bytes of %d, %v", len(got), s.Len(), err)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGrow checks that Grow is asked before memory is taken, and that its error ends Add.
func TestGrow(t *testing.T) {
	enough := errors.New("enough")
	for name, limit := range rooms {
		asked := 0
		s, err := New(&Room{Limit: limit, Grow: func() error {
			if asked++; asked == 2 {
				return enough
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		noise := mixed(300_000)
		for i := 0; err == nil && i < 200; i++ {
			_, err = s.Add(File{Path: "f", Size: int64(len(noise))}, bytes.NewReader(noise))
		}
		if err != enough || blocks(t, s) > 10<<20 {
			t.Errorf("%s: Add = %v, with %d bytes in memory", name, err, blocks(t, s))
		}
		s.Close()
	}
	none := errors.New("no such directory")
	s, err := New(&Room{Limit: 1, Overflow: func() (*os.File, error) { return nil, none }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Add(File{Path: "f", Size: 1}, bytes.NewReader([]byte("x"))); err != none {
		t.Errorf("Add = %v, want the error of Overflow", err)
	}
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err = New(&Room{Limit: 1, Overflow: func() (*os.File, error) { return full, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	data := mixed(3 << 20)
	if _, err := s.Add(File{Path: filepath.Join("a", "b"), Size: int64(len(data))}, bytes.NewReader(data)); err == nil {
		t.Error("a disk that is full takes a file")
	}
}
