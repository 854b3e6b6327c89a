package main

import (
	"debug/pe"
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
)

// stub returns an EFI program for a machine. It has only headers and the text by which systemd-stub is known.
func stub(machine uint16, version string) []byte {
	b := make([]byte, 1024, 1536)
	copy(b, "MZ")
	le := binary.LittleEndian
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	le.PutUint16(b[0x44:], machine)
	le.PutUint16(b[0x54:], 240)     // SizeOfOptionalHeader
	le.PutUint16(b[0x58:], 0x20b)   // Magic
	le.PutUint32(b[0x58+32:], 4096) // SectionAlignment
	le.PutUint32(b[0x58+36:], 512)  // FileAlignment
	le.PutUint32(b[0x58+60:], 1024) // SizeOfHeaders
	le.PutUint32(b[0x58+108:], 16)  // NumberOfRvaAndSizes
	le.PutUint16(b[0x46:], 1)       // NumberOfSections
	section := b[0x58+240:]
	copy(section, ".sdmagic")
	le.PutUint32(section[12:], 4096) // VirtualAddress
	le.PutUint32(section[16:], 512)  // SizeOfRawData
	le.PutUint32(section[20:], 1024) // PointerToRawData
	b = b[:1536]
	copy(b[1024:], "#### LoaderInfo: systemd-stub "+version+" ####")
	return b
}

func bzImage() []byte {
	b := make([]byte, 3*512+160)
	b[0x1f1] = 2
	binary.LittleEndian.PutUint32(b[0x1f4:], 10)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x206:], 0x20f)
	binary.LittleEndian.PutUint16(b[0x20e:], 0x200)
	copy(b[0x400:], "6.1.0-1-amd64 (builder@host)")
	binary.LittleEndian.PutUint16(b[0x236:], 1)
	binary.LittleEndian.PutUint32(b[0x238:], 2047)
	return b
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	for name, b := range map[string][]byte{
		"stub": stub(pe.IMAGE_FILE_MACHINE_AMD64, "257"), "armstub": stub(pe.IMAGE_FILE_MACHINE_ARM64, "257"),
		"oldstub": stub(pe.IMAGE_FILE_MACHINE_AMD64, "252.39-1~deb12u2"),
		"kernel":  bzImage(), "initrd": []byte("070701"), "cut": bzImage()[:1600],
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, c := range []struct{ args, want string }{
		{"-stub stub -kernel kernel -initrd initrd -cmdline quiet -o out.efi", ""},
		{"-stub stub -kernel kernel -initrd initrd -cmdline quiet -profiles shell,clear -o menu.efi", ""},
		{"-stub oldstub -kernel kernel -initrd initrd -cmdline quiet -profiles shell,clear -o old.efi", ""},
		{"-stub stub -kernel kernel -initrd initrd -profiles shell,reset -o bad.efi",
			`there is no profile "reset"; there are clear, shell and nokeep`},
		{"-stub armstub -kernel kernel -initrd initrd -o bad.efi", `armstub is for "arm64", but kernel is for "amd64"`},
		{"-stub stub -kernel cut -initrd initrd -o bad.efi", "cut: a bzImage cut short"},
		{"-stub stub -kernel kernel -initrd missing -o bad.efi", "missing: no such file"},
		{"-stub stub -kernel kernel -o bad.efi", "usage: uki "},
		{"-stub stub -kernel kernel -initrd initrd -o bad.efi more", "usage: uki "},
	} {
		cmd, err := command(append([]string{"uki"}, strings.Fields(c.args)...))
		if err == nil {
			err = cmd.run()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("uki %s: %v, want %q", c.args, err, c.want)
		}
	}
	if _, err := os.Stat("bad.efi"); err == nil {
		t.Error("a failed run left a file")
	}
	if out, old := read(t, "out.efi"), read(t, "old.efi"); len(out) != len(old) {
		t.Errorf("with an old stub the image has %d bytes, want those of one without profiles, %d", len(old), len(out))
	}
	menu := regexp.MustCompile(`ID=\w+|quiet[ -~]*`).FindAllString(string(read(t, "menu.efi")), -1)
	want := []string{"ID=wyrcan", "quiet", "ID=main", "ID=clear", "quiet wyr.efi=clear", "ID=shell",
		"quiet wyr.debug=shell wyr.deadline=5min"}
	if !slices.Equal(menu, want) {
		t.Errorf("the image with a menu has %q, want %q", menu, want)
	}
	f, err := os.Open("out.efi")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Parse(f, info.Size())
	if err != nil || k.Cmdline != "quiet" || k.Version != "6.1.0-1-amd64" {
		t.Errorf("the result is %+v, %v", k, err)
	}
	p, err := pe.NewFile(f)
	if err != nil {
		t.Fatal(err)
	}
	uname, err := p.Section(".uname").Data()
	if err != nil || !strings.HasPrefix(string(uname), "6.1.0-1-amd64\x00") {
		t.Errorf(".uname = %q, %v", uname, err)
	}
}
