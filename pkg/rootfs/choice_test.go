package rootfs_test

import (
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// TestLinks counts the names of a file that are in an image.
func TestLinks(t *testing.T) {
	tree, err := rootfs.Read(t.Context(), []rootfs.Layer{imagetest.Files(
		imagetest.File("a", "x"), imagetest.Link("b", "a"), imagetest.Link("c", "a"), imagetest.File("d", "x"),
	).Blob(t)}, rootfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	c := &rootfs.Choice{Tree: tree, Skip: func(n *rootfs.Node) bool { return n.Path == "a" || n.Path == "c" }}
	for range 2 {
		var names []string
		for n, err := range c.Chosen(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, n.Path)
		}
		if got := strings.Join(names, " "); got != ". b d" {
			t.Errorf("the image has %q", got)
		}
		for _, name := range []string{"b", "d"} {
			if n, err := tree.Lookup(name); err != nil || c.LinksOf(n) != 1 {
				t.Errorf("%s has %d names, %v, want 1", name, c.LinksOf(n), err)
			}
		}
	}
}
