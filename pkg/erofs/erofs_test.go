package erofs_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/erofs"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// read reads layers into a tree whose contents are in a packer.
func read(t testing.TB, layers ...imagetest.Layer) (*erofs.Packer, *rootfs.Tree) {
	t.Helper()
	p, tree, err := attempt(t, layers)
	if err != nil {
		t.Fatal(err)
	}
	return p, tree
}

// attempt is read for layers that may be invalid.
func attempt(t testing.TB, layers []imagetest.Layer) (*erofs.Packer, *rootfs.Tree, error) {
	t.Helper()
	p := erofs.New(erofs.Options{})
	var in []rootfs.Layer
	for _, l := range layers {
		in = append(in, l.Blob(t))
	}
	tree, err := rootfs.Read(t.Context(), in, rootfs.Options{Store: p.Store})
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { tree.Close() })
	return p, tree, nil
}

// write makes the image of a tree, without what skip says if it is not nil, and returns its file's name.
func write(t testing.TB, p *erofs.Packer, tree *rootfs.Tree, skip func(*rootfs.Node) bool) string {
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
	if _, err := io.Copy(out, f); err != nil {
		t.Fatal(err)
	}
	return file
}
