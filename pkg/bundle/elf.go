package bundle

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// machines are the machines (e_machine, System V gABI) whose programs a kernel of each architecture runs.
var machines = map[string][]uint16{
	"amd64": {62, 3},   // EM_X86_64, EM_386
	"arm64": {183, 40}, // EM_AARCH64, EM_ARM
}

// machineNames are the names of the machines that an image may be for.
var machineNames = map[uint16]string{
	3: "EM_386", 8: "EM_MIPS", 21: "EM_PPC64", 22: "EM_S390", 40: "EM_ARM", 62: "EM_X86_64", 183: "EM_AARCH64",
	243: "EM_RISCV", 258: "EM_LOONGARCH",
}

// elfMagic begins each ELF program.
const elfMagic = "\x7fELF"

var errDamaged = errors.New("a damaged program")

// dynamicLinker returns the dynamic linker of an ELF program, or "" if it needs none. It reads what the kernel reads
// (load_elf_binary in its fs/binfmt_elf.c) and nothing more: the header and the program headers. So it takes programs
// whose sections have been removed, which debug/elf may refuse.
func dynamicLinker(file []byte, arch string) (string, error) {
	const (
		class64, little  = 2, 1
		interp           = 3 // PT_INTERP
		header32, size32 = 52, 32
		header64, size64 = 64, 56
	)
	if len(file) < header32 || file[4] == class64 && len(file) < header64 {
		return "", errDamaged
	}
	if file[5] != little {
		return "", errors.New("a program for another architecture (big-endian)")
	}
	u16, u32, u64 := binary.LittleEndian.Uint16, binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	machine := u16(file[18:])
	if !slices.Contains(machines[arch], machine) {
		return "", fmt.Errorf("a program for another architecture (%s)", cmp.Or(machineNames[machine], "unknown"))
	}
	offset, size, number := uint64(u32(file[28:])), u16(file[42:]), u16(file[44:])
	want := uint16(size32)
	if file[4] == class64 {
		offset, size, number, want = u64(file[32:]), u16(file[54:]), u16(file[56:]), size64
	}
	if number == 0 {
		return "", nil
	}
	if size != want ||
		offset > uint64(len(file)) || uint64(len(file))-offset < uint64(size)*uint64(number) {
		return "", errDamaged
	}
	for h := range number {
		header := file[offset+uint64(h)*uint64(size):]
		if u32(header) != interp {
			continue
		}
		from, length := uint64(u32(header[4:])), uint64(u32(header[16:]))
		if file[4] == class64 {
			from, length = u64(header[8:]), u64(header[32:])
		}
		// The kernel refuses names that are empty, longer than PATH_MAX, or without a zero byte at the end.
		if length < 2 || length > 4096 || from > uint64(len(file)) || uint64(len(file))-from < length {
			return "", errDamaged
		}
		name := file[from : from+length]
		if name[length-1] != 0 {
			return "", errDamaged
		}
		name, _, _ = bytes.Cut(name, []byte{0})
		return string(name), nil
	}
	return "", nil
}
