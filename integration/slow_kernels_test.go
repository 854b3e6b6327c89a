//go:build slow

package integration

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/u-root/u-root/pkg/cpio"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/erofs"
	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/squashfs"
)

// unpackedModule returns the content of a module, by the program for its compression.
func unpackedModule(t *testing.T, file string) []byte {
	t.Helper()
	program, ok := map[string]string{".xz": "xz", ".zst": "zstd", ".gz": "gzip"}[filepath.Ext(file)]
	if !ok {
		return read(t, file)
	}
	out, err := exec.Command(program, "-dc", file).Output()
	if err != nil {
		t.Fatalf("%s %s: %v", program, file, err)
	}
	return out
}

// useful reports whether a file could be needed for a root: all lists, and the modules next to those that are.
func (s *shipped) useful(file string) bool {
	for _, dir := range []string{"arch/x86/kvm", "fs/nls", "fs/nfs", "fs/ext4", "fs/btrfs", "fs/xfs", "fs/smb"} {
		if strings.HasPrefix(file, path.Join("lib/modules", s.version, "kernel", dir)+"/") {
			return false
		}
	}
	return !strings.HasPrefix(file, "boot/System.map")
}

// demoInit returns the /init of the demo container for an architecture.
func demoInit(t *testing.T, arch string) []byte {
	t.Helper()
	if arch == "arm64" {
		return read(t, vm.Artefact(t, "arm64/wyrcan.demo"))
	}
	return read(t, vm.Artefact(t, "wyrcan.demo"))
}

// TestSlowModules finds the modules for each form of the root in what Debian ships, and compares them with what
// modprobe would load.
func TestSlowModules(t *testing.T) {
	t.Parallel()
	for _, name := range kernels {
		t.Run(name, func(t *testing.T) {
			ship(t, name).check(t)
		})
	}
	for _, c := range []struct{ ext, program string }{{".zst", "zstd"}, {".gz", "gzip"}, {".xz", "xz"}} {
		t.Run("with "+c.program, func(t *testing.T) {
			s := ship(t, "kernels/bookworm-cloud-amd64")
			s.compress(t, c.program, c.ext)
			s.check(t)
		})
	}
}

// compress compresses all modules. depmod reads them before: Debian's cannot read gzip.
func (s *shipped) compress(t *testing.T, program, ext string) {
	t.Helper()
	list := filepath.Join(s.modules(), "modules.dep")
	write(t, list, strings.NewReplacer(".ko:", ".ko"+ext+":", ".ko ", ".ko"+ext+" ", ".ko\n", ".ko"+ext+"\n").Replace(
		string(read(t, list))))
	for _, f := range forms {
		for _, file := range s.needs(t, f.checkedOn(s.arch).parts...) {
			file = filepath.Join(s.modules(), file)
			if _, err := os.Stat(file + ext); err == nil {
				continue
			}
			out, err := exec.Command(program, "-kc", file).Output() // with its defaults, as make modules_install does it
			if err != nil {
				t.Fatalf("%s %s: %v", program, file, err)
			}
			write(t, file+ext, string(out))
		}
	}
}

// check compares the modules for each form with what modprobe loads.
func (s *shipped) check(t *testing.T) {
	t.Helper()
	layer := imagetest.Layer{Compression: imagetest.Plain, Entries: append(s.entries(t, s.useful),
		imagetest.File("init", string(demoInit(t, s.arch))).Mode(0o755))}.Blob(t)
	// The forms of which the kernel checks the image differ in nothing else: one shows what there is for that.
	for _, asked := range append(slices.Clip(forms), forms[0].checkedOn(s.arch)) {
		f := asked.on(s.arch)
		packer := packer(t, asked.root)
		tree, err := rootfs.Read(t.Context(), []rootfs.Layer{layer}, rootfs.Options{Store: packer.Store})
		if err != nil {
			t.Fatal(err)
		}
		defer tree.Close()
		plan, err := bundle.Inspect(t.Context(), tree, bundle.Options{Wyrinit: []byte("wyrinit"), Arch: s.arch,
			Root: asked.root, Packer: packer, InPlace: asked.place == handover.InMemory, Verity: asked.checked})
		if err != nil {
			t.Fatal(err)
		}
		defer plan.Close()
		if plan.Root != f.root {
			t.Errorf("%s in %s: the root is %s; warnings: %v", asked.root, asked.at(), plan.Root, plan.Warnings)
		}
		if !f.root.IsImage() {
			if len(plan.Warnings) == 0 || plan.Warnings[len(plan.Warnings)-1].ID != bundle.RootUnpacked {
				t.Errorf("%s in %s: the root is %s, and the warnings are %v", asked.root, asked.at(), plan.Root, plan.Warnings)
			}
			continue
		}
		made, err := plan.Make(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer made.Close()
		if (made.Image != nil) != (f.place == handover.InMemory) {
			t.Errorf("%s in %s: an image of %d bytes lies beside the initrd", f.root, f.at(), made.Beside)
		}
		var want [][]byte
		files := s.needs(t, f.parts...)
		for _, file := range files {
			want = append(want, unpackedModule(t, filepath.Join(s.modules(), file)))
		}
		if got := loaded(t, made.Initrd); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%s in %s: the initrd has %d modules, want %s", f.root, f.at(), len(got), names(files))
		}
		t.Logf("%s in %s: %s", f.root, f.at(), names(files))
	}
}

// packer returns what packs the contents for a root that is an image.
func packer(t *testing.T, root bundle.Root) bundle.Packer {
	t.Helper()
	if root == bundle.EROFS {
		return erofs.New(erofs.Options{})
	}
	p, err := squashfs.New(squashfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// loaded returns the modules in an initrd, in the order in which wyrinit loads them.
func loaded(t *testing.T, initrd *os.File) [][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := cpio.ForEachRecord(cpio.Newc.Reader(initrd), func(r cpio.Record) error {
		if !strings.HasPrefix("/"+r.Name, handover.Modules) {
			return nil
		}
		b := make([]byte, r.FileSize)
		_, err := r.ReadAt(b, 0)
		files["/"+r.Name] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var list [][]byte
	for i := range len(files) {
		b, ok := files[handover.Modules+fmt.Sprint(i+1)]
		if !ok {
			t.Fatalf("there are %q", slices.Sorted(maps.Keys(files)))
		}
		list = append(list, b)
	}
	return list
}

// noise returns a file's content that nothing can compress.
func noise(size int) string {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(b)
	return string(b)
}

// TestSlowForms has one machine boot each kernel for amd64 with each form of the root, one after the other, then one with
// an EROFS image that its loader has refused to leave in memory, and one whose modules lack SquashFS. Each system is
// loaded by the kernel of the one before it. Each kernel checks the SquashFS image in the initrd by dm-verity.
func TestSlowForms(t *testing.T) {
	t.Parallel()
	type system struct {
		version, root, devices, modules string
	}
	var steps []string
	var want []system
	content, files := noise(1<<20), map[string]string{}
	add := func(key string, s *shipped, needed func(file string) bool) {
		entries := s.entries(t, func(file string) bool {
			return needed(file) || strings.HasPrefix(file, "boot/") && s.useful(file)
		})
		addLayout(t, files, "images/"+key, imagetest.Image(t, imagetest.Layer{Compression: imagetest.Plain,
			Entries: append(entries,
				imagetest.Dir("data"),
				imagetest.File("data/noise", content).Xattr("trusted.test", "kept"),
				imagetest.Link("data/link", "data/noise"),
				imagetest.File("data/gone", "gone"))}))
	}
	for i, name := range kernels {
		if strings.Contains(name, "arm64") {
			continue
		}
		s, key := ship(t, name), fmt.Sprint(i)
		add(key, s, s.needed(t))
		for _, f := range forms {
			device, verity := "dm-0 loop0", "yes"
			if f.place == handover.InMemory {
				device, verity = "pmem0", "no"
			} else {
				f = f.checkedOn(s.arch)
			}
			steps = append(steps, fmt.Sprintf("%s:%s:%s:%s", key, f.root, f.at(), verity))
			want = append(want, system{s.version, "overlay", device, names(s.needs(t, f.parts...))})
		}
	}
	refused := ship(t, "kernels/trixie-cloud-amd64")
	steps = append(steps, fmt.Sprintf("%d:erofs:refused:no", slices.Index(kernels, "kernels/trixie-cloud-amd64")))
	want = append(want, system{refused.version, "overlay", "loop0", names(refused.needs(t, "loop", "erofs", "overlay"))})
	lacking := ship(t, "kernels/bookworm-cloud-amd64")
	keep := lacking.needed(t)
	lacking.remove(t, "squashfs")
	add("lacking", lacking, keep)
	steps = append(steps, "lacking:squashfs:memory:no")
	want = append(want, system{version: lacking.version, root: "rootfs"})

	files["init"] = string(vm.Program(t, "./hopper"))
	files["wyrinit"] = string(read(t, vm.Artefact(t, "wyrinit")))
	initrd := filepath.Join(t.TempDir(), "initrd")
	write(t, initrd, string(archive(t, files, console()...)))

	// On a busy host an emulated timer does not tick as often as the kernel wants to see (timer_irq_works in the kernel's
	// arch/x86/kernel/apic/io_apic.c). It then tries other ways to connect it, after which it may have none.
	v := vm.Machine{Kernel: vm.Unpacked(t), Initrd: initrd, NICs: []string{"none"}, Long: true,
		Memory: "640M", First: "hopper: begin", Cmdline: "quiet no_timer_check hopper=" + strings.Join(steps, ",")}.Start(t)
	v.Wait(`hopper: begin `, stepTime)
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	for i, w := range want {
		v.Step(t, steps[i]+" of "+w.version, func(t *testing.T) {
			if w.root == "rootfs" {
				v.Wait(`^hopper: says the root cannot be a SquashFS image \(wyr\.root=squashfs\), so its files are unpacked `+
					`into memory: the kernel \S+ has no module squashfs, neither built in nor in /lib/modules/\S+ of the image`,
					kexecTime)
			}
			v.Wait(`^hopper: begin `+regexp.QuoteMeta(w.version)+`$`, kexecTime)
			v.Wait(`^hopper: root `+w.root+`$`, stepTime)
			v.Wait(`^hopper: devices `+w.devices+`$`, stepTime)
			v.Wait(`^hopper: modules `+w.modules+`$`, stepTime)
			v.Wait(`^hopper: data `+sum+`$`, stepTime)
			v.Wait(`^hopper: link true attribute kept$`, stepTime)
			v.Wait(`^hopper: changed /moved/link /moved/new /moved/noise$`, stepTime)
		})
	}
	v.Wait(`^hopper: done$`, stepTime)
	v.Exit(stepTime)
	if !strings.Contains(v.Said(), "hopper: says the image of the root goes into the initrd: the image is refused") {
		t.Error("nobody says why the EROFS image is in the initrd")
	}
	if n := strings.Count(v.Said(), "hopper: says the root cannot be"); n != 1 {
		t.Errorf("%d systems have another root than was asked for, want 1", n)
	}
}

// remove removes a module, as a kernel has it that was built without.
func (s *shipped) remove(t *testing.T, module string) {
	t.Helper()
	files := s.needs(t, module)
	if err := os.Remove(filepath.Join(s.modules(), files[len(files)-1])); err != nil {
		t.Fatal(err)
	}
	s.depmod(t)
}

// addLayout adds a layout with an image to the files of an initramfs.
func addLayout(t *testing.T, files map[string]string, dir string, img v1.Image) {
	t.Helper()
	at := t.TempDir()
	index, err := layout.Write(at, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := index.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(at, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(at, file)
		files[path.Join(dir, name)] = string(read(t, file))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
