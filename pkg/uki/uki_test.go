package uki

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
)

// stub returns a PE32+ file with one section, room for more section headers, and symbols, as systemd's stub has. The
// section says that it is systemd-stub 257.
func stub(headers uint32) []byte { return versioned(headers, "257.9-1~deb13u1") }

// versioned is stub of another version.
func versioned(headers uint32, version string) []byte {
	var b bytes.Buffer
	b.WriteString("MZ")
	b.Write(make([]byte, 0x3a))
	le := binary.LittleEndian
	binary.Write(&b, le, uint32(0x40))
	b.WriteString("PE\x00\x00")
	binary.Write(&b, le, pe.FileHeader{Machine: pe.IMAGE_FILE_MACHINE_AMD64, NumberOfSections: 1,
		SizeOfOptionalHeader: 240})
	binary.Write(&b, le, pe.OptionalHeader64{Magic: 0x20b, SectionAlignment: 512, FileAlignment: 512,
		SizeOfHeaders: headers,
		SizeOfImage:   0x5100, Subsystem: pe.IMAGE_SUBSYSTEM_EFI_APPLICATION, NumberOfRvaAndSizes: 16, CheckSum: 1})
	binary.Write(&b, le, pe.SectionHeader32{Name: [8]uint8([]byte(".sdmagic")), VirtualSize: 0x100,
		VirtualAddress: 0x5000,
		SizeOfRawData:  512, PointerToRawData: headers, Characteristics: pe.IMAGE_SCN_CNT_CODE | pe.IMAGE_SCN_MEM_EXECUTE})
	b.Write(make([]byte, int(headers)-b.Len()))
	magic := "#### LoaderInfo: systemd-stub " + version + " ####"
	b.WriteString(magic)
	b.Write(make([]byte, 512-len(magic)))
	b.WriteString("symbols")
	return b.Bytes()
}

// stubs returns the stub above, and the stubs of systemd that are on this machine.
func stubs(t *testing.T) map[string][]byte {
	all := map[string][]byte{"made here": stub(1024)}
	for _, root := range []string{"/", "../../out/systemd*/", "../../out/*/systemd*/"} { // and those of make
		found, err := filepath.Glob(root + "usr/lib/systemd/boot/efi/linux*.efi.stub")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			if all[name], err = os.ReadFile(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// bzImage returns the smallest file that pkg/kernel accepts as a bzImage.
func bzImage() []byte {
	b := make([]byte, 3*512+160)
	b[0x1f1] = 2
	binary.LittleEndian.PutUint32(b[0x1f4:], 10)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x206:], 0x20f)
	binary.LittleEndian.PutUint16(b[0x236:], 1)
	binary.LittleEndian.PutUint32(b[0x238:], 2047)
	return b
}

func sections(t *testing.T, b []byte) (*pe.File, map[string]string) {
	t.Helper()
	f, err := pe.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, s := range f.Sections {
		content := make([]byte, min(s.VirtualSize, s.Size))
		if _, err := s.ReadAt(content, 0); err != nil && err != io.EOF {
			t.Fatalf("section %s: %v", s.Name, err)
		}
		got[s.Name] = string(content)
	}
	return f, got
}

// checkLayout checks that a unified kernel image has the stub's sections as they were, and that firmware can load it.
func checkLayout(t *testing.T, name string, stub, b []byte) {
	t.Helper()
	f, got := sections(t, b)
	old, before := sections(t, stub)
	for section, want := range before {
		if got[section] != want {
			t.Errorf("%s: the stub's section %s changed", name, section)
		}
	}
	// UEFI's loader needs sections that are aligned, in order, do not overlap, and lie inside SizeOfImage.
	o := f.OptionalHeader.(*pe.OptionalHeader64)
	if a, b := old.OptionalHeader.(*pe.OptionalHeader64).AddressOfEntryPoint, o.AddressOfEntryPoint; a != b {
		t.Errorf("%s: entry point %#x became %#x", name, a, b)
	}
	var end uint32
	for i, s := range f.Sections {
		aligned := s.VirtualAddress%4096 == 0 && s.Offset%o.FileAlignment == 0 && s.Size%o.FileAlignment == 0
		if s.VirtualAddress < end || i >= len(old.Sections) && !aligned {
			t.Errorf("%s: section %s at %#x in memory, %#x in the file, after one that ends at %#x",
				name, s.Name, s.VirtualAddress, s.Offset, end)
		}
		end = s.VirtualAddress + max(s.VirtualSize, min(s.Size, s.VirtualSize))
		if int64(s.Offset)+int64(s.Size) > int64(len(b)) {
			t.Errorf("%s: section %s ends behind the file", name, s.Name)
		}
	}
	if end > o.SizeOfImage || o.SizeOfImage%o.SectionAlignment != 0 {
		t.Errorf("%s: SizeOfImage = %#x, the last section ends at %#x", name, o.SizeOfImage, end)
	}
	if f.NumberOfSymbols != 0 || f.PointerToSymbolTable != 0 {
		t.Errorf("%s: the header still points to symbols", name)
	}
}

func TestMarshal(t *testing.T) {
	for name, stub := range stubs(t) {
		in := Image{
			Stub: stub, Release: "ID=wyrcan\n", Version: "6.1.0", Cmdline: "quiet wyr.img=x",
			Initrd: bytes.Repeat([]byte("initrd"), 999), Kernel: bzImage(),
		}
		b, err := in.Marshal()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again, _ := in.Marshal(); !bytes.Equal(b, again) {
			t.Errorf("%s: Marshal gave other bytes the second time", name)
		}
		k, err := kernel.Parse(bytes.NewReader(b), int64(len(b)))
		if err != nil || k.Cmdline != in.Cmdline || k.Format != "unified kernel image (bzImage)" {
			t.Errorf("%s: kernel.Parse = %+v, %v", name, k, err)
		}
		f, got := sections(t, b)
		for section, want := range map[string]string{
			".osrel": in.Release, ".uname": in.Version, ".cmdline": in.Cmdline,
			".initrd": string(in.Initrd), ".linux": string(in.Kernel),
		} {
			if got[section] != want {
				t.Errorf("%s: section %s has %d bytes, want the %d that went in", name, section, len(got[section]), len(want))
			}
		}
		checkLayout(t, name, stub, b)
		if last := f.Sections[len(f.Sections)-1].Name; last != ".linux" {
			t.Errorf("%s: the last section is %s, want .linux", name, last)
		}
	}
}

func TestMarshalRefuses(t *testing.T) {
	good := stub(1024)
	for name, c := range map[string]struct {
		in   Image
		want string
	}{
		"no stub":              {Image{}, "not an EFI program"},
		"text as stub":         {Image{Stub: []byte("#!/bin/sh\n")}, "not an EFI program"},
		"stub cut":             {Image{Stub: good[:1100]}, "cut short: 1100 of at least 1536 bytes"},
		"stub without room":    {Image{Stub: stub(512)}, "room for 3 more sections, not 4"},
		"old stub":             {Image{Stub: versioned(1024, "256.99"), Profiles: menu}, "257 or newer"},
		"unknown stub":         {Image{Stub: versioned(1024, ""), Profiles: menu}, "257 or newer"},
		"no room for profiles": {Image{Stub: stub(800), Profiles: menu}, "room for 10 more sections, not 11"},
		"bad ID":               {Image{Stub: good, Profiles: []Profile{{ID: "A b"}}}, `"A b" cannot be the ID`},
		"no ID":                {Image{Stub: good, Profiles: []Profile{{Title: "x"}}}, `"" cannot be the ID`},
		"bad title":            {Image{Stub: good, Profiles: []Profile{{"x", "$HOME", ""}}}, `the title has '$' in it`},
		"second line":          {Image{Stub: good, Profiles: []Profile{{"x", "a\nID=y", ""}}}, `the title has '\n' in it`},
		"long together": {Image{Stub: good, Cmdline: strings.Repeat("x", 2040), Profiles: menu},
			"profile clear: a command line of 2054 bytes"},
		"long line": {Image{Stub: good, Cmdline: strings.Repeat("x", 2048)}, "2047 at most"},
		"newline":   {Image{Stub: good, Cmdline: "a\nb"}, "printable ASCII"},
	} {
		if _, err := c.in.Marshal(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Marshal = %v, want an error with %q", name, err, c.want)
		}
	}
}

// A command line that was replaced leaves the same bytes as one that was there from the beginning, in all profiles.
func TestSetCmdline(t *testing.T) {
	in := Image{Stub: stub(1024), Cmdline: "quiet splash", Initrd: []byte("initrd"), Kernel: bzImage()}
	var b []byte
	for _, profiles := range [][]Profile{menu, {{"own", "", "one"}, {"other", "", "two"}}, nil} {
		in.Profiles = profiles
		var err error
		if b, err = in.Marshal(); err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"x", strings.TrimSpace(strings.Repeat("long ", 400)), "", "quiet splash"} {
			// The first profile's line is replaced as a whole, and the others continue it: see the next test.
			if len(profiles) == 2 {
				continue
			}
			if err := SetCmdline(b, line); err != nil {
				t.Fatal(err)
			}
			other := in
			other.Cmdline = line
			want, err := other.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, want) {
				t.Errorf("SetCmdline(%.10q) gave other bytes than Marshal with that line and %d profiles", line,
					len(profiles))
			}
		}
	}
	signed := bytes.Clone(b)
	binary.LittleEndian.PutUint32(signed[0x40+offOptional+112+8*pe.IMAGE_DIRECTORY_ENTRY_SECURITY+4:], 100)
	overlapping := bytes.Clone(b)
	f, _ := sections(t, b)
	for i, s := range f.Sections {
		if s.Name == ".cmdline" { // it begins inside the section before it
			at := 0x40 + offOptional + 240 + i*sectionHeader + 20
			binary.LittleEndian.PutUint32(overlapping[at:], f.Sections[i-1].Offset+1)
		}
	}
	for name, c := range map[string]struct {
		image      []byte
		line, want string
	}{
		"overlapping": {overlapping, "x", "overlap"},
		"signed":      {signed, "x", "is signed"},
		"no UKI":      {stub(1024), "x", "no command line to replace"},
		"cut":         {b[:1600], "x", "cut short"},
		"long line":   {b, strings.Repeat("x", 2048), "2047 at most"},
		"no program":  {bzImage(), "x", "not an EFI program"},
	} {
		if err := SetCmdline(c.image, c.line); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: SetCmdline = %v, want an error with %q", name, err, c.want)
		}
	}
}

func FuzzSetCmdline(f *testing.F) {
	b, err := (&Image{Stub: stub(1024), Cmdline: "quiet", Kernel: bzImage()}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, "x")
	if b, err = (&Image{Stub: stub(1024), Cmdline: "quiet", Kernel: bzImage(), Profiles: menu}).Marshal(); err != nil {
		f.Fatal(err)
	}
	f.Add(b, "x")
	f.Add(stub(1024), "")
	f.Fuzz(func(t *testing.T, image []byte, line string) {
		if SetCmdline(image, line) != nil {
			return
		}
		k, err := kernel.Parse(bytes.NewReader(image), int64(len(image)))
		if err == nil && k.Cmdline != strings.Join(strings.Fields(line), " ") {
			t.Errorf("after SetCmdline(%q) the image's line is %q", line, k.Cmdline)
		}
	})
}
