package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/grub"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

func need(t *testing.T) {
	t.Helper()
	imagetest.NeedsPrograms(t, "/sbin/mkfs.vfat", "mcopy", "xorriso")
	for _, name := range []string{"/sbin/mkfs.vfat", "mcopy", "xorriso"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%v: install dosfstools, mtools and xorriso", err)
		}
	}
}

// build runs iso with options on files with the given contents, and returns the ISO.
func build(t *testing.T, files map[string]string, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	c, err := command(append([]string{"iso", "-arch", "amd64", "-o", "out.iso"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("out.iso")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fromCD returns the FAT image that firmware finds on a CD: El Torito's boot record in sector 17 points to the
// catalogue, and the first entry of the catalogue points to the image.
func fromCD(t *testing.T, iso []byte) []byte {
	t.Helper()
	le := binary.LittleEndian
	record := iso[17*2048:]
	if !bytes.HasPrefix(record, []byte("\x00CD001\x01EL TORITO SPECIFICATION")) {
		t.Fatalf("sector 17 begins %q", record[:40])
	}
	catalogue := iso[le.Uint32(record[0x47:])*2048:]
	const efi, bootable = 0xef, 0x88
	if catalogue[1] != efi || catalogue[32] != bootable {
		t.Fatalf("the boot catalogue begins % x", catalogue[:64])
	}
	return iso[le.Uint32(catalogue[32+8:])*2048:]
}

// fromStick returns the partition that firmware finds on a stick, through the GPT.
func fromStick(t *testing.T, iso []byte) []byte {
	t.Helper()
	if !bytes.HasPrefix(iso[512:], []byte("EFI PART")) {
		t.Fatal("there is no GPT")
	}
	le := binary.LittleEndian
	entries := iso[le.Uint64(iso[512+72:])*512:]
	for i := range 8 {
		first := le.Uint64(entries[i*128+32:]) * 512
		if first != 0 && bytes.HasPrefix(iso[first+54:], []byte("FAT")) {
			return iso[first:]
		}
	}
	t.Fatal("no partition has a FAT file system")
	return nil
}

// read returns a file of a FAT image, read with mtools.
func read(t *testing.T, fat []byte, name string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "fat")
	if err := os.WriteFile(image, fat, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("mtype", "-i", image, "::"+name).CombinedOutput()
	if err != nil {
		t.Errorf("mtype %s: %v: %s", name, err, out)
	}
	return string(out)
}

// A medium with a unified kernel image has it where systemd-boot looks for such images, and no other entry.
func TestISOWithUKI(t *testing.T) {
	need(t)
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	fat := fromCD(t, build(t, map[string]string{"boot.efi": "MZ boot", "u": "MZ image"}, "-boot", "boot.efi", "-uki", "u"))
	for name, want := range map[string]string{
		"EFI/BOOT/BOOTX64.EFI": "MZ boot", "EFI/Linux/wyrcan.efi": "MZ image",
		"loader/loader.conf": "timeout 5\neditor yes\n",
	} {
		if got := read(t, fat, name); got != want {
			t.Errorf("%s = %.80q, want %.80q", name, got, want)
		}
	}
	image := filepath.Join(t.TempDir(), "fat")
	if err := os.WriteFile(image, fat, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mdir", "-b", "-i", image, "::loader").CombinedOutput(); err != nil ||
		strings.Contains(string(out), "entries") {
		t.Errorf("the loader's directory: %v, %s", err, out)
	}
}

func TestISO(t *testing.T) {
	need(t)
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	initrd := strings.Repeat("initrd", 7<<20) // over 32 MiB
	files := map[string]string{"boot.efi": "MZ boot", "k": "kernel", "i": initrd}
	args := []string{"-boot", "boot.efi", "-kernel", "k", "-initrd", "i", "-cmdline", `quiet wyr.arg="a b"`}
	iso := build(t, files, args...)
	if again := build(t, files, args...); !bytes.Equal(iso, again) {
		t.Error("the second run gave different bytes")
	}
	for where, fat := range map[string][]byte{"CD": fromCD(t, iso), "stick": fromStick(t, iso)} {
		for name, want := range map[string]string{
			"EFI/BOOT/BOOTX64.EFI": "MZ boot", "kernel": "kernel", "initrd": files["i"],
			"loader/loader.conf": "timeout 5\neditor yes\n",
			"loader/entries/wyrcan.conf": "title Wyrcan ~ The Container Bootloader\nlinux /kernel\ninitrd /initrd\n" +
				"options quiet wyr.arg=\"a b\"\n",
		} {
			if got := read(t, fat, name); got != want {
				t.Errorf("%s: %s = %.80q, want %.80q", where, name, got, want)
			}
		}
	}
}

func TestISOOfOneProgram(t *testing.T) {
	need(t)
	iso := build(t, map[string]string{"wyrcan.efi": "MZ all in one"}, "-boot", "wyrcan.efi")
	if got := read(t, fromCD(t, iso), "EFI/BOOT/BOOTX64.EFI"); got != "MZ all in one" {
		t.Errorf("BOOTX64.EFI = %q", got)
	}
}

// TestSecureISO makes a medium with shim and GRUB, which firmware and GRUB read in different file systems.
func TestSecureISO(t *testing.T) {
	need(t)
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	kernel := imagetest.SignedEFI(t, "x")
	files := map[string]string{"shim": "MZ shim", "grub": "MZ grub", "mok": "MZ mok", "k": string(kernel), "i": "initrd"}
	args := []string{"-boot", "shim", "-grub", "grub", "-mok", "mok", "-kernel", "k", "-initrd", "i",
		"-cmdline", `quiet wyr.arg="a b"`}
	iso := build(t, files, args...)
	if again := build(t, files, args...); !bytes.Equal(iso, again) {
		t.Error("the second run gave different bytes")
	}
	for where, fat := range map[string][]byte{"CD": fromCD(t, iso), "stick": fromStick(t, iso)} {
		for name, want := range map[string]string{"EFI/BOOT/BOOTX64.EFI": "MZ shim", "EFI/BOOT/grubx64.efi": "MZ grub",
			"EFI/BOOT/mmx64.efi": "MZ mok"} {
			if got := read(t, fat, name); got != want {
				t.Errorf("%s: %s = %.80q, want %.80q", where, name, got, want)
			}
		}
	}
	if err := os.WriteFile("out.iso", iso, 0o600); err != nil {
		t.Fatal(err)
	}
	menu, err := grub.Entry{Kernel: "/kernel", Initrd: "/initrd", Cmdline: `quiet wyr.arg="a b"`, Timeout: 5}.Padded()
	if err != nil {
		t.Fatal(err)
	}
	if at, err := grub.Find(bytes.NewReader(iso), int64(len(iso))); err != nil || string(iso[at:at+grub.Room]) != menu {
		t.Errorf("Find = %d, %v", at, err)
	}
	for name, want := range map[string]string{"/kernel": files["k"], "/initrd": "initrd", "/.disk/info": "Wyrcan\n",
		"/boot/grub/grub.cfg": menu} {
		os.Remove("extracted")
		extract := exec.Command("xorriso", "-osirrox", "on", "-indev", "out.iso", "-extract", name, "extracted")
		out, err := extract.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got, err := os.ReadFile("extracted"); err != nil || string(got) != want {
			t.Errorf("%s = %.80q, %v, want %.80q", name, got, err, want)
		}
	}
	for _, row := range []struct{ arg, value, want string }{
		{"-kernel", imagetest.EFIProgram, "is not signed, so it does not start where Secure Boot is on"},
		{"-cmdline", `a="b c"d"`, "GRUB cannot pass"},
		{"-arch", "arm64", `is for amd64, not for "arm64"`},
	} {
		c, err := command(append(append([]string{"iso", "-arch", "amd64", "-o", "bad.iso"}, args...), row.arg, row.value))
		if err == nil {
			err = c.run()
		}
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s %s: %v, want %q", row.arg, row.value, err, row.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("x", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, epoch, want string }{
		{"-o out.iso", "", "usage: iso "},
		{"-boot x -kernel x -o out.iso", "", "usage: iso "},
		{"-boot x -grub x -o out.iso", "", "usage: iso -boot SHIM"},
		{"-boot x -mok x -kernel x -initrd x -o out.iso", "", "usage: iso -boot SHIM"},
		{"-boot x -kernel x -initrd x -uki x -o out.iso", "", "usage: iso "},
		{"-boot x -o out.iso", "yesterday", `SOURCE_DATE_EPOCH="yesterday"`},
		{"-boot x -arch mips -o out.iso", "", `"mips" here; it may be amd64 or arm64`},
		{"-boot missing -o out.iso", "", "missing: no such file"},
	} {
		t.Setenv("SOURCE_DATE_EPOCH", c.epoch)
		cmd, err := command(append([]string{"iso"}, strings.Fields(c.args)...))
		if err == nil {
			err = cmd.run()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("iso %s: %v, want %q", c.args, err, c.want)
		}
	}
}
