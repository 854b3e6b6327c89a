// Package uki writes unified kernel images (UAPI.5). Such an image is one EFI program: a stub, systemd-stub(7), with a
// kernel, an initrd and a command line, each in a section of the PE file. The package does not sign images, and writes
// no device trees and no splash screens. Package kernel reads such images.
package uki

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Image is what goes into a unified kernel image.
type Image struct {
	Stub    []byte // the EFI program that starts the kernel, such as systemd's linuxx64.efi.stub
	Release string // the text of an os-release file; boot loaders show its PRETTY_NAME in their menu
	Version string // the kernel's version, as uname -r prints it; empty if unknown
	Cmdline string // the kernel's command line, used if firmware and boot loader pass none
	Initrd  []byte
	Kernel  []byte
	// Profiles are the entries of a boot loader's menu. Without them the image has one entry.
	Profiles []Profile
}

// ErrSigned is the error of EditCmdline for a signed image.
var ErrSigned = errors.New("the unified kernel image is signed: another command line would break the signature")

// cmdlineRoom is how many bytes the file reserves for a command line, so that EditCmdline can write another one. It is
// twice COMMAND_LINE_SIZE of x86 (arch/x86/include/asm/setup.h).
const cmdlineRoom = 4096

// Offsets in the PE format, from the start of the PE signature. The optional header is always that of PE32+.
const (
	offSections     = 6  // NumberOfSections
	offSymbols      = 12 // PointerToSymbolTable, NumberOfSymbols
	offOptionalSize = 20 // SizeOfOptionalHeader
	offOptional     = 24 // the optional header
	offInitData     = 32 // SizeOfInitializedData
	offImageSize    = 80 // SizeOfImage
	offHeaderSize   = 84 // SizeOfHeaders
	offChecksum     = 88 // CheckSum
	sectionHeader   = 40 // the size of one
	sectionFlags    = pe.IMAGE_SCN_CNT_INITIALIZED_DATA | pe.IMAGE_SCN_MEM_READ
)

type section struct {
	name    string
	content []byte
	room    int // bytes to reserve, if more than the content has
}

// Marshal returns the EFI program. The same Image gives the same bytes.
func (i *Image) Marshal() ([]byte, error) {
	sections := []section{{name: ".osrel", content: []byte(i.Release)}}
	if i.Version != "" {
		sections = append(sections, section{name: ".uname", content: []byte(i.Version)})
	}
	if err := CheckCmdline(i.Cmdline); err != nil {
		return nil, err
	}
	// What all profiles share comes first. The kernel is the last of it: one before 5.8 is started where it lies, and
	// needs more memory than its section has. By then the stub needs none of the sections behind it.
	sections = append(sections,
		section{name: ".cmdline", content: []byte(i.Cmdline), room: cmdlineRoom},
		section{name: ".initrd", content: i.Initrd},
		section{name: ".linux", content: i.Kernel})
	profiles, err := i.profiles()
	if err != nil {
		return nil, err
	}
	return appendSections(i.Stub, append(sections, profiles...))
}

// appendSections returns the stub with sections after its own, both in memory and in the file. It removes the stub's
// symbols.
func appendSections(stub []byte, sections []section) ([]byte, error) {
	f, o, err := open(stub)
	if err != nil {
		return nil, fmt.Errorf("cannot read the stub: %w", err)
	}
	le := binary.LittleEndian
	at := int(le.Uint32(stub[0x3c:])) // e_lfanew
	table := at + offOptional + int(le.Uint16(stub[at+offOptionalSize:])) + len(f.Sections)*sectionHeader
	if end := table + len(sections)*sectionHeader; end > int(o.SizeOfHeaders) {
		return nil, fmt.Errorf("the stub has room for %d more sections, not %d",
			(int(o.SizeOfHeaders)-table)/sectionHeader, len(sections))
	}
	fileEnd, memoryEnd := o.SizeOfHeaders, o.SizeOfHeaders
	for _, s := range f.Sections {
		fileEnd = max(fileEnd, s.Offset+s.Size)
		memoryEnd = max(memoryEnd, s.VirtualAddress+max(s.VirtualSize, s.Size))
	}
	if int(fileEnd) > len(stub) {
		return nil, fmt.Errorf("the stub is cut short: %d of at least %d bytes", len(stub), fileEnd)
	}
	// At least a page, because some firmware sets the memory protection of each section.
	memoryAlign := max(int(o.SectionAlignment), 4096)

	b := bytes.NewBuffer(append([]byte(nil), stub[:fileEnd]...))
	memory, initData := int(memoryEnd), int(o.SizeOfInitializedData)
	var headers bytes.Buffer
	for _, s := range sections {
		pad(b, int(o.FileAlignment))
		memory = alignUp(memory, memoryAlign)
		size := alignUp(max(len(s.content), s.room), int(o.FileAlignment))
		if memory+size > math.MaxInt32 {
			return nil, errors.New("a unified kernel image can have at most 2 GiB")
		}
		h := pe.SectionHeader32{
			VirtualSize:      uint32(len(s.content)),
			VirtualAddress:   uint32(memory),
			SizeOfRawData:    uint32(size),
			PointerToRawData: uint32(b.Len()),
			Characteristics:  sectionFlags,
		}
		copy(h.Name[:], s.name)
		binary.Write(&headers, le, h)
		b.Write(s.content)
		b.Write(make([]byte, size-len(s.content)))
		memory += size
		initData += size
	}
	out := b.Bytes()
	copy(out[table:], headers.Bytes())
	le.PutUint16(out[at+offSections:], uint16(len(f.Sections)+len(sections)))
	le.PutUint64(out[at+offSymbols:], 0)
	le.PutUint32(out[at+offInitData:], uint32(initData))
	le.PutUint32(out[at+offImageSize:], uint32(alignUp(memory, memoryAlign)))
	le.PutUint32(out[at+offChecksum:], 0) // firmware ignores it, and signing tools set it
	return out, nil
}

// SetCmdline makes the edits of EditCmdline in image. If it fails, it changes nothing.
func SetCmdline(image []byte, cmdline string) error {
	edits, err := EditCmdline(image, cmdline)
	for _, e := range edits {
		copy(image[e.Offset:], e.Bytes)
	}
	return err
}

// CheckCmdline returns an error if the kernel would not accept a command line. The stub passes on the whole section.
func CheckCmdline(cmdline string) error {
	if n := len(cmdline); n >= 2048 { // COMMAND_LINE_SIZE counts the NUL
		return fmt.Errorf("a command line of %d bytes; Linux takes 2047 at most", n)
	}
	for _, c := range []byte(cmdline) {
		if c < ' ' || c > '~' {
			return fmt.Errorf("a command line with %q in it; the stub takes only printable ASCII", c)
		}
	}
	return nil
}

// open parses a PE32+ file, the form of every EFI program for a 64-bit machine.
func open(b []byte) (*pe.File, *pe.OptionalHeader64, error) {
	f, err := pe.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, nil, fmt.Errorf("not an EFI program: %w", err)
	}
	o, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	switch {
	case !bytes.HasPrefix(b, []byte("MZ")) || !ok:
		return nil, nil, errors.New("not an EFI program for a 64-bit machine")
	case o.NumberOfRvaAndSizes <= pe.IMAGE_DIRECTORY_ENTRY_SECURITY:
		return nil, nil, errors.New("not an EFI program: its header has no place for a signature")
	case o.FileAlignment == 0 || o.FileAlignment > 1<<16 || o.SectionAlignment > 1<<24:
		return nil, nil, fmt.Errorf("not an EFI program: its sections are aligned to %d bytes in the file, %d in memory",
			o.FileAlignment, o.SectionAlignment)
	}
	return f, o, nil
}

func alignUp(n, to int) int { return (n + to - 1) / to * to }

func pad(b *bytes.Buffer, to int) { b.Write(make([]byte, alignUp(b.Len(), to)-b.Len())) }
