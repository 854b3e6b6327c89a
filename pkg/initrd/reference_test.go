package initrd_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// reference writes a tree with u-root's writer: one record for each path, in the order of Walk.
func reference(t *testing.T, tree *rootfs.Tree) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := cpio.Newc.Writer(&buf)
	var last *rootfs.Node
	number := uint64(0)
	err := tree.Walk(t.Context(), func(n *rootfs.Node, content io.Reader) error {
		r := cpio.Record{Info: cpio.Info{
			Name: n.Path, Mode: uint64(n.Mode), UID: uint64(n.UID), GID: uint64(n.GID), NLink: 1,
			MTime:  uint64(min(max(n.ModTime.Unix(), 0), 1<<32-1)),
			Rmajor: uint64(n.Major), Rminor: uint64(n.Minor),
		}}
		if n.Links > 1 && !n.Dir() && !n.Symlink() {
			if last == nil || !n.Same(last) {
				number++
			}
			r.NLink, r.Ino = uint64(n.Links), number
		}
		last = n
		var data []byte
		if n.Mode&unix.S_IFMT == unix.S_IFLNK {
			data = []byte(n.Target)
		} else if content != nil {
			var err error
			if data, err = io.ReadAll(content); err != nil {
				return err
			}
		}
		if len(data) > 0 {
			r.FileSize, r.ReaderAt = uint64(len(data)), bytes.NewReader(data)
		}
		return w.WriteRecord(r)
	})
	if err == nil {
		err = cpio.WriteTrailer(w)
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestReference compares every byte of single archives with what u-root's writer makes of the same records.
func TestReference(t *testing.T) {
	for _, tc := range imagetest.Cases() {
		if tc.Refused != "" || tc.NotInitrd != "" || tc.Slow {
			continue
		}
		t.Run(tc.Name, func(t *testing.T) {
			t.Parallel()
			layers := blobs(t, tc.Layers)
			tree, err := keepingBlobs(t, 0, layers)
			if err != nil {
				t.Fatal(err)
			}
			want := reference(t, tree)
			if got := write(t, tree, initrd.Options{}); !bytes.Equal(got, want) {
				t.Errorf("Write makes %d bytes that differ from the %d of u-root's writer", len(got), len(want))
			}
			for _, c := range []initrd.Compression{initrd.None, initrd.Gzip, initrd.Zstd} {
				for name, memory := range kept {
					tree, err := keepingBlobs(t, memory, layers)
					if err != nil {
						t.Fatal(err)
					}
					if got := made(t, tree, initrd.Options{Compression: c, Single: true}); !bytes.Equal(got, want) {
						t.Errorf("%s kept, %v: Make makes %d bytes that differ from the %d of u-root's writer", name, c,
							len(got), len(want))
					}
				}
			}
		})
	}
}

// TestRefusedEarly checks that Make refuses a tree before it takes anything out of it: all contents can be read still.
func TestRefusedEarly(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, c := range compressions {
		tree, err := keeping(t, 0, []imagetest.Layer{imagetest.Files(
			imagetest.File("a", "content"), imagetest.File(long, "too long a name"), imagetest.File("z", "z"))})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := initrd.Make(t.Context(), tree, initrd.Options{Compression: c}); err == nil {
			t.Errorf("%v: Make takes a name of 256 bytes", c)
		}
		n, err := tree.Lookup("a")
		if err != nil {
			t.Fatal(err)
		}
		r, err := tree.Open(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); string(got) != "content" {
			t.Errorf("%v: afterwards a file is %q, %v", c, got, err)
		}
		r.Close()
	}
}
