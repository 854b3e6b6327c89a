package squashfs_test

import (
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/squashfs"
)

// read reads layers into a tree whose contents are in a packer.
func read(t testing.TB, opt squashfs.Options, layers ...imagetest.Layer) (*squashfs.Packer, *rootfs.Tree) {
	t.Helper()
	p, tree, err := attempt(t, opt, rootfs.Options{}, layers)
	if err != nil {
		t.Fatal(err)
	}
	return p, tree
}

// attempt is read for layers that may be invalid, and for other ways to read them.
func attempt(
	t testing.TB, opt squashfs.Options, how rootfs.Options, layers []imagetest.Layer,
) (*squashfs.Packer, *rootfs.Tree, error) {
	t.Helper()
	p, err := squashfs.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	var in []rootfs.Layer
	for _, l := range layers {
		in = append(in, l.Blob(t))
	}
	how.Store = p.Store
	tree, err := rootfs.Read(t.Context(), in, how)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { tree.Close() })
	return p, tree, nil
}

// result says what an image holds.
type result struct {
	size   int64 // of its file
	inodes int
}

// write makes the image of a tree, without what skip says if it is not nil, and returns its file's name.
func write(
	t testing.TB, p *squashfs.Packer, tree *rootfs.Tree, skip func(*rootfs.Node) bool,
) (string, result) {
	t.Helper()
	f, err := p.Image(t.Context(), tree, imagetest.Epoch, skip)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file := filepath.Join(t.TempDir(), "image")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, io.NewSectionReader(f, 0, info.Size())); err != nil {
		t.Fatal(err)
	}
	const inodes = 4 // where the superblock says how many there are
	var n [4]byte
	if _, err := f.ReadAt(n[:], inodes); err != nil {
		t.Fatal(err)
	}
	return file, result{info.Size(), int(binary.LittleEndian.Uint32(n[:]))}
}

// extract unpacks an image with unsquashfs and describes what that has made.
func extract(t testing.TB, file string) report.Tree {
	t.Helper()
	dir := filepath.Join(imagetest.TempDir(t), "root")
	out, err := exec.Command("unsquashfs", "-no-progress", "-strict-errors", "-d", dir, file).CombinedOutput()
	if err != nil {
		t.Fatalf("unsquashfs: %v\n%s", err, out)
	}
	got, err := report.FromDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// stored changes the description of a tree to what an image can hold of it.
func stored(tree report.Tree) report.Tree {
	return tree.Map(func(_ string, f *report.File) {
		f.ModTime = time.Unix(min(max(f.ModTime.Unix(), 0), 1<<32-1), 0)
	})
}

// TestUnsquashfs compares what unsquashfs unpacks with the tree, path by path.
func TestUnsquashfs(t *testing.T) {
	imagetest.NeedsPrograms(t, "unsquashfs")
	imagetest.NeedsRoot(t, "to give files their owners and to make devices")
	for _, tc := range imagetest.Cases() {
		if tc.Refused != "" || tc.NoDir != "" || tc.Slow {
			continue
		}
		t.Run(tc.Name, func(t *testing.T) {
			t.Parallel()
			p, tree := read(t, squashfs.Options{}, tc.Layers...)
			want, err := report.FromTree(t.Context(), tree)
			if err != nil {
				t.Fatal(err)
			}
			file, _ := write(t, p, tree, nil)
			for _, d := range report.Diff(stored(want), extract(t, file), 20) {
				t.Error(d)
			}
		})
	}
}
