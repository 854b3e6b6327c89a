package bundle

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program returns an ELF program of 64 bits with these program headers behind its header, and then rest.
func program(rest string, headers ...elf.Prog64) []byte {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB)},
		Type:  uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64),
		Phoff: 64, Phentsize: 56, Phnum: uint16(len(headers)),
	})
	for _, h := range headers {
		binary.Write(&b, binary.LittleEndian, h)
	}
	return append(b.Bytes(), rest...)
}

func TestDynamicLinker(t *testing.T) {
	interp := func(off, size uint64) elf.Prog64 {
		return elf.Prog64{Type: uint32(elf.PT_INTERP), Off: off, Filesz: size}
	}
	load := elf.Prog64{Type: uint32(elf.PT_LOAD)}
	const at = 64 + 2*56
	for _, tt := range []struct {
		name string
		file []byte
		want string
		err  string
	}{
		{"dynamic", program("/lib/ld.so\x00", load, interp(at, 11)), "/lib/ld.so", ""},
		{"static", program("", load, load), "", ""},
		{"zeros behind the name", program("/lib/ld.so\x00\x00\x00", load, interp(at, 13)), "/lib/ld.so", ""},
		{"no zero at the end", program("/lib/ld.so", load, interp(at, 10)), "", "damaged"},
		{"behind the end", program("/lib/ld.so\x00", load, interp(at, 12)), "", "damaged"},
		{"far away", program("", load, interp(1<<63, 1<<63)), "", "damaged"},
		{"a long name", program(strings.Repeat("x", 5000)+"\x00", load, interp(at, 5001)), "", "damaged"},
		{"cut short", program("", load, load)[:100], "", "damaged"},
		{"short", []byte(elfMagic + "\x02\x01"), "", "damaged"},
		{"big-endian", append([]byte(elfMagic+"\x02\x02"), make([]byte, 64)...), "", "another architecture"},
	} {
		got, err := dynamicLinker(tt.file, "amd64")
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: dynamicLinker = %q, %v, want %q, %q", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// The programs of this host give what debug/elf finds in them, also after their sections are gone.
func TestDynamicLinkerOfHost(t *testing.T) {
	for _, name := range []string{"sh", "ls", "sleep"} {
		file, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if file, err = filepath.EvalSymlinks(file); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				text := make([]byte, p.Filesz)
				p.ReadAt(text, 0)
				want = strings.TrimRight(string(text), "\x00")
			}
		}
		arch := map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}[f.Machine]
		for range 2 {
			if got, err := dynamicLinker(b, arch); got != want || err != nil {
				t.Errorf("dynamicLinker of %s = %q, %v, want %q", file, got, err, want)
			}
			for i := 58; i < 64; i++ { // e_shentsize, e_shnum, e_shstrndx
				b[i] = 0xff
			}
		}
	}
}

func TestScriptInterpreter(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, row := range [][3]string{
		{"#!/bin/sh\n", "/bin/sh"},
		{"#!/bin/sh", "/bin/sh"},
		{"#! \t/bin/sh \t-e x\nrest", "/bin/sh"},
		{"#!/bin/sh\x00garbage", "/bin/sh"},
		{"#!bin/sh\n", "bin/sh"},
		{"#!/bin/a\vb\u00a0c d\n", "/bin/a\vb\u00a0c"},
		{"#!/bin/sh -e" + long + "\n", "/bin/sh"},
		{"#!/bin/sh\n" + long, "/bin/sh"},
		{"#!/" + long[:252] + "\n", "/" + long[:252]},
		{"#!/" + long[:253] + "\n", "", "does not fit"},
		{"#!" + strings.Repeat(" ", 250) + "/bin/sh\n", "", "does not fit"},
		{"#!" + strings.Repeat(" ", 300) + "/bin/sh\n", "", "does not fit"},
		{"#!\n/bin/sh\n", "", "names no interpreter"},
		{"#!", "", "names no interpreter"},
		{"#!/bin/sh\r\n", "", "as those of Windows do"},
		{"#!/bin/sh -e\r\n", "/bin/sh"},
		{"\ufeff#!/bin/sh\n", "", "neither a program nor a script"},
	} {
		got, err := interpreterOf([]byte(row[0]), "amd64")
		if got != row[1] || (err == nil) != (row[2] == "") || err != nil && !strings.Contains(err.Error(), row[2]) {
			t.Errorf("interpreterOf(%q) = %q, %v, want %q, %q", row[0], got, err, row[1], row[2])
		}
	}
}

func FuzzDynamicLinker(f *testing.F) {
	f.Add(program("/lib/ld.so\x00", elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 120, Filesz: 11}))
	f.Add([]byte(elfMagic + "\x01\x01"))
	f.Fuzz(func(t *testing.T, file []byte) {
		name, err := interpreterOf(file, "amd64")
		if err == nil && len(name) > 4096 && file[0] != '#' {
			t.Errorf("a name of %d bytes", len(name))
		}
	})
}
