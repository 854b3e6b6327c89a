package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// program returns an ELF file whose header says that it is a program for a machine, and a word that identifies it.
func program(machine elf.Machine, word string) string {
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Ehsize: 64, Phentsize: 56,
		Shentsize: 64}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	binary.Write(&b, binary.LittleEndian, h) // writing to a Buffer does not fail
	return b.String() + word
}

// bothArches returns a bootable image for two architectures, each with its own kernel and init.
func bothArches(t *testing.T) v1.ImageIndex {
	t.Helper()
	var images []v1.Image
	for _, a := range []struct {
		name    string
		kernel  []byte
		machine elf.Machine
	}{
		{"amd64", imagetest.BzImage(release), elf.EM_X86_64},
		{"arm64", imagetest.Arm64Image(release), elf.EM_AARCH64},
	} {
		images = append(images,
			imagetest.Spec{Platform: v1.Platform{OS: "linux", Architecture: a.name},
				Layers: []imagetest.Layer{imagetest.Files(
					imagetest.File("boot/wyrcan.kernel", string(a.kernel)),
					imagetest.File("boot/wyrcan.cmdline", a.name),
					imagetest.File("init", program(a.machine, "init")).Mode(0o755),
					imagetest.Dir("lib/modules/"+release),
				)}}.Image(t))
	}
	return imagetest.Index(t, images...)
}

// An image is checked, converted and unpacked for another architecture: the image comes from an index, and wyrinit is
// that of the architecture.
func TestArch(t *testing.T) {
	index := bothArches(t)
	dir := t.TempDir()
	if _, err := layout.Write(dir, index); err != nil {
		t.Fatal(err)
	}
	other, same := arch("arm64"), arch("amd64")
	if here == other {
		other, same = same, other
	}
	machines := map[arch]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	alias := map[arch]string{"amd64": "x86_64", "arm64": "aarch64"}

	home := t.TempDir()
	put := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(home, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	wyrcan := func(args ...string) (string, error) {
		c, stdout, _ := tool(t, args...)
		c.home = home
		err := c.run(context.Background())
		return stdout.String(), err
	}

	put("wyrinit", program(machines[same], "the wyrinit of here"))
	if _, err := wyrcan("check", dir, "-arch", string(other)); code(err) != notExamined ||
		!strings.Contains(err.Error(), "make out/"+string(other)+"/wyrinit") {
		t.Errorf("check with a wyrinit of this machine = %v, want a refusal that names the right one", err)
	}
	put(string(other)+"/wyrinit", program(machines[other], "the wyrinit of there"))

	for _, row := range []struct {
		options []string
		want    arch
	}{
		{nil, here},
		{[]string{"-arch", string(here)}, here},
		{[]string{"-arch", string(other)}, other},
		{[]string{"-arch", "linux/" + string(other)}, other},
		{[]string{"-arch", alias[other]}, other},
	} {
		out, err := wyrcan(append([]string{"check", dir, "-json"}, row.options...)...)
		var r report
		if err == nil {
			err = json.Unmarshal([]byte(out), &r)
		}
		if err != nil || !r.Bootable || r.Platform != "linux/"+string(row.want) || r.Cmdline != string(row.want) {
			t.Errorf("check %q = %+v, %v, want it bootable on %s", row.options, r, err, row.want)
		}
	}

	registry := imagetest.Serve(t)
	to := t.TempDir()
	out, err := wyrcan("morph", registry.Push(t, "both", index), "-arch", string(other), "-kernel", to+"/kernel",
		"-initrd", to+"/initrd")
	if err != nil || out != string(other)+"\n" {
		t.Fatalf("morph = %q, %v", out, err)
	}
	kernels := map[arch][]byte{"amd64": imagetest.BzImage(release), "arm64": imagetest.Arm64Image(release)}
	if b, err := os.ReadFile(to + "/kernel"); err != nil || !bytes.Equal(b, kernels[other]) {
		t.Errorf("the kernel is not that for %s: %v", other, err)
	}
	initrd, err := exec.Command("zstd", "-dcq", to+"/initrd").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(initrd, []byte("the wyrinit of there")) ||
		bytes.Contains(initrd, []byte("the wyrinit of here")) {
		t.Error("the initrd does not have the wyrinit of its architecture")
	}

	if _, err := wyrcan("unpack", dir, to+"/root", "-arch", string(other)); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(to + "/root/boot/wyrcan.cmdline"); err != nil || string(b) != string(other) {
		t.Errorf("unpack gave the image for %s, %v, want %s", b, err, other)
	}
	if _, err := wyrcan("unpack", dir, to+"/none", "-arch", "arm/v7"); err == nil ||
		!strings.Contains(err.Error(), "none for linux/arm/v7 in it, only for linux/amd64, linux/arm64") {
		t.Errorf("unpack for an architecture that is not in it = %v", err)
	}
	if _, err := wyrcan("check", dir, "-arch", "riscv64"); code(err) != 2 {
		t.Errorf("check for an architecture without bootable containers = %v, want a usage error", err)
	}
}

// A file that make built for another architecture is in a directory with its name, or replaces that of this machine.
func TestArtefact(t *testing.T) {
	c, _, _ := tool(t)
	for _, name := range []string{"a", "b", "s390x/b"} {
		file := filepath.Join(c.home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		given, file string
		arch        arch
		want        string
	}{
		{"", "a", "", "a"},
		{"", "b", "", "b"},
		{"", "b", here, "b"},
		{"", "a", "s390x", "a"},
		{"", "b", "s390x", "s390x/b"},
		{"", "b", "s390x/z13", "s390x/b"},
		{filepath.Join(c.home, "a"), "b", "s390x", "a"},
	} {
		if got, err := c.artefact(row.given, row.file, row.arch); got != filepath.Join(c.home, row.want) || err != nil {
			t.Errorf("artefact(%q, %q, %q) = %q, %v, want %q", row.given, row.file, row.arch, got, err, row.want)
		}
	}
}

// An installed tool finds what make built in ../lib/wyrcan, a tool that lies elsewhere does not look there.
func TestArtefactInstalled(t *testing.T) {
	prefix := t.TempDir()
	for _, name := range []string{"bin/both", "lib/wyrcan/both", "lib/wyrcan/a", "lib/wyrcan/s390x/a",
		"lib/wyrcan/secureboot/shimx64.efi", "lib/wyrcan/secureboot/grubx64.efi"} {
		touch(t, filepath.Join(prefix, name))
	}
	c, _, _ := tool(t)
	for _, row := range []struct {
		home, file string
		arch       arch
		want       string
	}{
		{"bin", "both", here, "bin/both"},
		{"bin", "a", here, "lib/wyrcan/a"},
		{"bin", "a", "s390x", "lib/wyrcan/s390x/a"},
		{"bin", "wyrcan.iso", here, ""},
		{"out", "a", here, ""},
	} {
		c.home = filepath.Join(prefix, row.home)
		got, err := c.artefact("", row.file, row.arch)
		if row.want == "" && (err == nil || !strings.Contains(err.Error(), "cannot find "+c.home)) ||
			row.want != "" && got != filepath.Join(prefix, row.want) {
			t.Errorf("artefact(%q, %q) in %s = %q, %v, want %q", row.file, row.arch, row.home, got, err, row.want)
		}
	}
	for home, want := range map[string]int{"bin": 2, "out": 0} {
		c.home = filepath.Join(prefix, home)
		files := make(map[string]string)
		if err := c.addSecure(files, "", false); err != nil || len(files) != want {
			t.Errorf("from %s serve offers %q, %v", home, files, err)
		}
	}
}
