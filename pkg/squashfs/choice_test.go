package squashfs_test

import (
	"slices"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/squashfs"
)

// TestSkip leaves files out: their names, and their contents unless another name has them.
func TestSkip(t *testing.T) {
	imagetest.NeedsPrograms(t, "unsquashfs")
	imagetest.NeedsRoot(t, "to give files their owners")
	const kernel = 4 << 20
	layers := func() imagetest.Layer {
		return imagetest.Files(
			imagetest.Dir("boot"), imagetest.Dir("etc"),
			imagetest.File("boot/kernel", noise(1, kernel)),
			imagetest.File("boot/small", "a part of a fragment"),
			imagetest.File("etc/one", noise(2, 200<<10)),
			imagetest.Link("etc/two", "etc/one"), imagetest.Link("etc/three", "etc/one"),
			imagetest.File("etc/last", "of one"),
		)
	}
	for name, skipped := range map[string][]string{
		"nothing":        nil,
		"a file":         {"boot/kernel"},
		"a small file":   {"boot/small"},
		"a name":         {"etc/two"},
		"the first name": {"etc/one", "etc/three"},
		"all names":      {"etc/one", "etc/two", "etc/three"},
		"no directory":   {"etc", "etc/last"},
	} {
		p, tree := read(t, squashfs.Options{}, layers())
		want, err := report.FromTree(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		skip := func(n *rootfs.Node) bool { return slices.Contains(skipped, n.Path) }
		left := map[string]bool{}
		for _, s := range skipped {
			left[s] = s != "etc"
		}
		file, r := write(t, p, tree, skip)
		got := extract(t, file)
		for path := range want {
			if _, there := got[path]; there == left[path] {
				t.Errorf("%s: the image has %s: %v", name, path, there)
			}
		}
		if small := r.size < kernel; small != left["boot/kernel"] {
			t.Errorf("%s: the image has %d bytes", name, r.size)
		}
		if small := r.size < kernel+200<<10; name != "a file" && small != (name == "all names") {
			t.Errorf("%s: the image has %d bytes", name, r.size)
		}
	}
}
