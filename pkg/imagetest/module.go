package imagetest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
)

// Module returns the smallest file that is accepted as a kernel module: an ELF header, the section .modinfo with the
// given KEY=VALUE entries, and the names of the sections.
func Module(entries ...string) []byte {
	modinfo := []byte(strings.Join(entries, "\x00") + "\x00")
	names := []byte("\x00.modinfo\x00.shstrtab\x00")
	const header, section = 64, 64
	at := uint64(header)
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC), Off: at, Size: uint64(len(modinfo)),
			Addralign: 1},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: at + uint64(len(modinfo)), Size: uint64(len(names)),
			Addralign: 1},
	}
	h := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: header,
		Shoff: at + uint64(len(modinfo)+len(names)), Shentsize: section, Shnum: uint16(len(sections)), Shstrndx: 2,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")

	var b bytes.Buffer
	for _, part := range []any{h, modinfo, names, sections} {
		binary.Write(&b, binary.LittleEndian, part) // writing to a Buffer does not fail
	}
	return b.Bytes()
}
