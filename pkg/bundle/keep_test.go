package bundle

import (
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// TestKeep has the kernel's file in the root where somebody wants it there, and where it has another name.
func TestKeep(t *testing.T) {
	kernel := string(imagetest.BzImage(version))
	modules := "lib/modules/" + version
	size := pages(int64(len(kernel)))
	for name, c := range map[string]struct {
		opt  Options
		more []imagetest.Entry
		in   []string // paths that hold the kernel
		kept int64
	}{
		"not wanted":    {Options{}, nil, nil, 0},
		"another crash": {Options{Args: []string{"crashkernelx=1 nocrashkernel"}}, nil, nil, 0},
		"wanted":        {Options{KeepKernel: true}, nil, []string{"boot/vmlinuz"}, size},
		"crashkernel":   {Options{Args: []string{"quiet crashkernel=256M"}}, nil, []string{"boot/vmlinuz"}, size},
		"in the image": {Options{}, []imagetest.Entry{imagetest.File("boot/wyrcan.cmdline", "a\ncrashkernel=1G-:128M\n")},
			[]string{"boot/vmlinuz"}, size},
		"another name": {Options{}, []imagetest.Entry{imagetest.Link(modules+"/vmlinuz", "boot/vmlinuz")},
			[]string{modules + "/vmlinuz"}, size},
		"two other names": {Options{}, []imagetest.Entry{imagetest.Link("a", "boot/vmlinuz"),
			imagetest.Link(modules+"/vmlinuz", "boot/vmlinuz")}, []string{"a", modules + "/vmlinuz"}, size},
		"the entry is a name": {Options{}, []imagetest.Entry{imagetest.Link("boot/wyrcan.kernel", "boot/vmlinuz")},
			[]string{"boot/vmlinuz"}, size},
		"the entry is a name, wanted": {Options{KeepKernel: true},
			[]imagetest.Entry{imagetest.Link("boot/wyrcan.kernel", "boot/vmlinuz")},
			[]string{"boot/vmlinuz", "boot/wyrcan.kernel"}, size},
		"another name, wanted": {Options{Args: []string{"crashkernel=64M"}},
			[]imagetest.Entry{imagetest.Link(modules+"/vmlinuz", "boot/vmlinuz")},
			[]string{"boot/vmlinuz", modules + "/vmlinuz"}, size},
	} {
		for _, wyrinit := range [][]byte{nil, []byte("wyrinit")} {
			for _, memory := range []Room{{}, room(4<<30, 4<<30)} { // packed, and as it is
				c.opt.Wyrinit, c.opt.Room = wyrinit, memory
				c.opt.Single = memory.Total == 0
				p := inspect(t, c.opt, bootable(c.more...)...)
				if got, why := p.Kept(); got != c.kept || why != "" != (got > 0) {
					t.Errorf("%s: Kept = %d, %q, want %d", name, got, why, c.kept)
				}
				if without := p.Stat.Pages - p.booted().Pages; without != size-c.kept {
					t.Errorf("%s: the root has %d bytes less than the image, want %d", name, without, size-c.kept)
				}
				var in []string
				for path, content := range unpacked(t, p) {
					if content == kernel {
						in = append(in, path)
					}
					if path != "boot/wyrcan.kernel" && strings.HasPrefix(path, "boot/v") && content == "" {
						t.Errorf("%s: %s is empty", name, path)
					}
				}
				slices.Sort(in)
				if !slices.Equal(in, c.in) {
					t.Errorf("%s: the kernel is in the root as %q, want %q", name, in, c.in)
				}
			}
		}
	}
}

// unpacked makes the bundle and returns the contents of its root, hard links included.
func unpacked(t *testing.T, p *Plan) map[string]string {
	t.Helper()
	b, err := p.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	return contents(t, b)
}

// TestKeepMemory refuses a machine in which there is room for everything but the kernel that is to stay.
func TestKeepMemory(t *testing.T) {
	large := string(imagetest.BzImage(version)) // behind which anything may be
	entries := bootable(imagetest.File("boot/vmlinuz", large+strings.Repeat("x", 40<<20)))
	total := int64(kernelNeeds + processNeeds + 1<<20)
	for _, keep := range []bool{false, true} {
		p, err := Inspect(t.Context(), tree(t, entries...), Options{KeepKernel: keep,
			Room: Room{Info: memory.Info{Total: total, Available: total}}})
		if keep != (err != nil && strings.Contains(err.Error(), "too little memory")) {
			t.Errorf("kept: %v: Inspect = %v", keep, err)
		}
		if err == nil {
			p.Close()
		}
	}
}
