package initrd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"golang.org/x/sys/unix"
)

// boot returns what init/initramfs.c makes of archives in a row. It returns an error for what the kernel does without
// a word and nobody wants: what it drops, what it writes twice, and what is behind the end of an archive.
func boot(data []byte) (report.Tree, error) {
	t := report.Tree{}
	for len(data) > 0 {
		size, err := unpackOne(t, data)
		if err != nil {
			return nil, err
		}
		data = data[size:]
	}
	return t, nil
}

// unpackOne unpacks one archive and returns its size.
func unpackOne(t report.Tree, data []byte) (int64, error) {
	links := map[[2]uint64]string{} // by number and type, as in find_link; the trailer ends them
	r := cpio.Newc.Reader(bytes.NewReader(data))
	end := int64(0)
	for {
		rec, err := r.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		end = (rec.FilePos + int64(rec.FileSize) + 3) &^ 3
		name, mode := rec.Name, uint32(rec.Mode)
		kind := mode & unix.S_IFMT
		if kind == 0 && rec.FileSize > 0 {
			continue // do_header skips it, with its name
		}
		if _, again := t[name]; again {
			return 0, fmt.Errorf("%q is there twice", name)
		}
		if len(t) == 0 && name != "." {
			return 0, fmt.Errorf("%q comes before the root directory, which would keep the kernel's own mode", name)
		}
		if parent := t[path.Dir(name)]; name != "." && parent.Mode&unix.S_IFMT != unix.S_IFDIR {
			return 0, fmt.Errorf("%q comes before its parent: dropped", name)
		}
		if len(name)+1 > unix.PathMax || len(path.Base(name)) > 255 {
			return 0, fmt.Errorf("%q is too long: dropped", name)
		}
		if rec.FileSize > 0 && kind != unix.S_IFREG && kind != unix.S_IFLNK {
			return 0, fmt.Errorf("%q has content and is no file: dropped", name)
		}
		body := make([]byte, rec.FileSize)
		if _, err := rec.ReadAt(body, 0); err != nil && err != io.EOF {
			return 0, err
		}
		f := report.File{
			Mode: mode, UID: uint32(rec.UID), GID: uint32(rec.GID), ModTime: time.Unix(int64(rec.MTime), 0),
			Major: uint32(rec.Rmajor), Minor: uint32(rec.Rminor), Same: name,
		}
		switch kind {
		case unix.S_IFREG:
			f.Size, f.Sum = int64(len(body)), report.Sum(body)
		case unix.S_IFLNK:
			f.Target = string(body)
			if f.Target == "" || len(f.Target) >= unix.PathMax || strings.Contains(f.Target, "\x00") {
				return 0, fmt.Errorf("%q has a target that cannot be", name)
			}
		}
		t[name] = f
		if rec.NLink < 2 || kind == unix.S_IFDIR || kind == unix.S_IFLNK {
			continue // maybe_link ignores its number
		}
		id := [2]uint64{rec.Ino, uint64(kind)}
		if first, ok := links[id]; ok {
			old := t[first]
			if len(body) > 0 {
				return 0, fmt.Errorf("%q brings content though %q has the same number: written again in place", name,
					first)
			}
			f.Size, f.Sum, f.Same = old.Size, old.Sum, first
			g := old
			g.Same = f.Same
			if d := report.Diff(report.Tree{name: g}, report.Tree{name: f}, 1); len(d) > 0 {
				return 0, fmt.Errorf("%q would change %q: %s", name, first, d[0])
			}
			t[name] = f
		} else {
			links[id] = name
		}
	}
	if int64(len(data)) < end+trailerSize || string(data[end+110:end+121]) != cpio.Trailer+"\x00" {
		return 0, fmt.Errorf("no trailer at %d of %d bytes", end, len(data))
	}
	return end + trailerSize, nil
}

// order returns the names in archives in a row, in their order.
func order(t *testing.T, data []byte) []string {
	t.Helper()
	var names []string
	for len(data) > 0 {
		end := int64(0)
		r := cpio.Newc.Reader(bytes.NewReader(data))
		for {
			rec, err := r.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, rec.Name)
			end = (rec.FilePos + int64(rec.FileSize) + 3) &^ 3
		}
		data = data[end+trailerSize:]
	}
	return names
}

const trailerSize = 124
