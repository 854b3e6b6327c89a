package integration

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// A shipped kernel is one of Debian's, with those of its modules that a root could be made with. They are in a
// directory of its own, with what depmod writes.
type shipped struct {
	arch, version string
	root          string // the directory: lib/modules and boot are in it
}

// rootParts are the directories of modules that a root could be made with.
var rootParts = []string{"fs", "lib", "crypto", "arch", "drivers/block", "drivers/dax", "drivers/md", "drivers/nvdimm"}

// kernels are the directories below out/ with what make has downloaded: this machine's distribution has one that is
// for all machines, Debian has more, for machines in clouds among them.
var kernels = []string{"kernel", "kernels/bookworm-cloud-amd64", "trixie/kernel-trixie", "kernels/trixie-cloud-amd64",
	"arm64/kernel", "kernels/trixie-cloud-arm64"}

// ship returns a kernel by its directory.
func ship(t *testing.T, name string) *shipped {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("make has kernels of both architectures on amd64")
	}
	from := vm.Artefact(t, name)
	modules, err := filepath.EvalSymlinks(filepath.Join(from, "modules"))
	if err != nil {
		t.Fatal(err)
	}
	s := &shipped{arch: "amd64", version: filepath.Base(modules), root: t.TempDir()}
	if strings.Contains(name, "arm64") {
		s.arch = "arm64"
	}
	dir := s.modules()
	for _, part := range rootParts {
		part = filepath.Join("kernel", part)
		err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(modules, part)))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	for _, list := range []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"} {
		write(t, filepath.Join(dir, list), string(read(t, filepath.Join(modules, list))))
	}
	if err := os.CopyFS(filepath.Join(s.root, "boot"), os.DirFS(filepath.Join(from, "boot"))); err != nil {
		t.Fatal(err)
	}
	s.depmod(t)
	return s
}

// modules returns the directory of the modules.
func (s *shipped) modules() string { return filepath.Join(s.root, "lib/modules", s.version) }

func (s *shipped) depmod(t *testing.T) {
	t.Helper()
	run(t, s.root, "/sbin/depmod", "-b", s.root, s.version)
}

// needs returns the files that modprobe would load for these modules, in its order, below the directory of the modules.
//
// modprobe also loads all modules that could be the crc32c that libcrc32c asks for, and any of them will do. The
// generic one can run on every processor.
func (s *shipped) needs(t *testing.T, names ...string) []string {
	t.Helper()
	var files []string
	for _, name := range names {
		show := exec.Command("/sbin/modprobe", "-C", "/dev/null", "-d", s.root, "-S", s.version, "--show-depends", name)
		out, err := show.CombinedOutput()
		if err != nil {
			t.Fatalf("modprobe: %v: %s", err, out)
		}
		for line := range strings.Lines(string(out)) { // "insmod /…/loop.ko.xz", "builtin loop"
			f := strings.Fields(line)
			if f[0] != "insmod" {
				continue
			}
			file, err := filepath.Rel(s.modules(), f[1])
			if err != nil {
				t.Fatal(err)
			}
			crc := strings.HasPrefix(path.Base(file), "crc32c") && !strings.HasPrefix(path.Base(file), "crc32c_generic")
			if !crc && !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	return files
}

// names returns the names of modules in files, as the kernel prints them.
func names(files []string) string {
	var list []string
	for _, file := range files {
		name, _, _ := strings.Cut(path.Base(file), ".ko")
		list = append(list, strings.ReplaceAll(name, "-", "_"))
	}
	return strings.Join(list, " ")
}

// needed returns the files that a machine needs for any form of the root, for entries, without the kernel. depmod's
// binary indices are for modprobe.
func (s *shipped) needed(t *testing.T) func(file string) bool {
	t.Helper()
	list := []string{"modules.dep", "modules.builtin"}
	for _, f := range forms {
		list = append(list, s.needs(t, f.on(s.arch).checkedOn(s.arch).parts...)...)
	}
	return func(file string) bool {
		in, ok := strings.CutPrefix(file, path.Join("lib/modules", s.version)+"/")
		return ok && slices.Contains(list, in)
	}
}

// entries returns the files below the root that keep chooses, with all directories.
func (s *shipped) entries(t *testing.T, keep func(file string) bool) []imagetest.Entry {
	t.Helper()
	var entries []imagetest.Entry
	err := filepath.WalkDir(s.root, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(s.root, file)
		switch {
		case err != nil || name == ".":
			return err
		case e.IsDir():
			entries = append(entries, imagetest.Dir(name))
		case keep(name):
			entries = append(entries, imagetest.File(name, string(read(t, file))))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// A form of a root: by wyr.root, the place of its image, what of the kernel it is made with, and whether the kernel
// checks it.
type form struct {
	root    bundle.Root
	place   handover.Place
	parts   []string
	checked bundle.Verity
}

// forms are those of an image, each with the modules that wyrinit loads, in its order.
var forms = []form{
	{root: bundle.SquashFS, place: handover.InFile, parts: []string{"loop", "squashfs", "overlay"}},
	{root: bundle.SquashFS, place: handover.InMemory, parts: []string{"nd_pmem", "nd_e820", "squashfs", "overlay"}},
	{root: bundle.EROFS, place: handover.InMemory, parts: []string{"nd_pmem", "nd_e820", "erofs", "overlay"}},
}

// hashes are the drivers of SHA-256 that a kernel for an architecture may have as modules, in wyrinit's order.
var hashes = map[string][]string{
	"amd64": {"sha256_generic", "sha256_ssse3"},
	"arm64": {"sha256_generic", "sha2_ce", "sha256_arm64"},
}

// checkedOn returns the same form of which a kernel for that architecture checks the image.
func (f form) checkedOn(arch string) form {
	if f.root.IsImage() {
		f.parts, f.checked = slices.Concat(f.parts, []string{"dm_verity"}, hashes[arch]), bundle.Checked
	}
	return f
}

// on returns the form that a kernel of an architecture has, where this one was asked for. Where the memory map is not
// ours to write, an image in memory is in a file instead, or the files are unpacked.
func (f form) on(arch string) form {
	if f.place != handover.InMemory || arch == "amd64" {
		return f
	}
	for _, other := range forms {
		if other.root == f.root && other.place == handover.InFile {
			return other
		}
	}
	return form{root: bundle.Tmpfs}
}

// at returns how hopper names the place.
func (f form) at() string {
	if f.place == handover.InMemory {
		return "memory"
	}
	return "file"
}
