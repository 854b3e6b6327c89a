// Package kernel recognises the format of a Linux kernel file, and extracts the image that kexec can load. It knows
// the formats found in containers: bzImage (Documentation/arch/x86/boot.rst); arm64's Image
// (Documentation/arch/arm64/booting.rst), plain, compressed with gzip, or as an EFI zboot image
// (drivers/firmware/efi/libstub/zboot-header.S); and unified kernel images with one of these (UAPI.5). It does not
// check signatures: the running kernel does that.
package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// Kernel is a kernel that kexec can start.
type Kernel struct {
	Format     string   // for messages: "bzImage", "EFI zboot"
	Arch       string   // a GOARCH: "amd64", "arm64"
	Version    string   // as uname -r prints it; empty if the file does not say
	MaxCmdline int      // the longest command line in bytes, without the terminating NUL
	Room       int64    // bytes of memory that the kernel needs to start; 0 if the file does not say
	Page       int64    // the size of a page of its memory in bytes
	Cmdline    string   // the command line in a unified kernel image; further arguments come after it
	Image      *os.File // what kexec loads, in a memory file that the caller closes; nil if it is the parsed file itself
}

const (
	// MaxFile is the size in bytes of the largest file that Parse accepts: a unified kernel image with a large initrd.
	MaxFile = 1 << 30
	// maxImage is the size in bytes of the largest image inside a wrapper. Distribution kernels have at most about 80 MB.
	maxImage = 256 << 20
)

// Parse parses a kernel file of the given size. If the file is not a kernel, or not a complete one, the error continues
// the words "it is": "a bzImage cut short: 10 of 20 bytes".
func Parse(r io.ReaderAt, size int64) (*Kernel, error) {
	if size > MaxFile {
		return nil, fmt.Errorf("a file of %d MiB, and no kernel has more than %d MiB", size>>20, MaxFile>>20)
	}
	return parse(r, size, false)
}

// parse is Parse. inside means that the kernel is inside a unified kernel image. It must not be another such image,
// which could contain itself.
func parse(r io.ReaderAt, size int64, inside bool) (*Kernel, error) {
	head := make([]byte, min(size, 0x268)) // the end of boot.rst's setup header
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case has(head, 0x202, "HdrS"):
		return parseBzImage(r, size, head)
	case has(head, 56, "ARM\x64"):
		return parseImage(r, size, head)
	case has(head, 0, "MZ") && has(head, 4, "zimg"):
		return parseZboot(r, size, head)
	case has(head, 0, "MZ") && inside:
		return nil, errors.New("an EFI program again: a unified kernel image inside another, or no Linux kernel")
	case has(head, 0, "MZ"):
		return parseUKI(r, size)
	case has(head, 0, "\x1f\x8b"):
		return parseGzip(r, size)
	case has(head, 0, "\x7fELF"):
		return nil, errors.New("an ELF file, as vmlinux is; " +
			"a container needs the bzImage or Image that distributions call vmlinuz")
	case len(head) == 0:
		return nil, errors.New("an empty file")
	}
	return nil, errors.New("not a Linux kernel")
}

func has(b []byte, at int, magic string) bool {
	return len(b) >= at+len(magic) && string(b[at:at+len(magic)]) == magic
}

// parseBzImage parses the x86 setup header, with the names and offsets of boot.rst.
func parseBzImage(r io.ReaderAt, size int64, head []byte) (*Kernel, error) {
	if len(head) < 0x268 {
		return nil, fmt.Errorf("a bzImage that ends after %d bytes", size)
	}
	le := binary.LittleEndian
	k := &Kernel{Format: "bzImage", Arch: "amd64", MaxCmdline: 255, Page: memory.Page}
	protocol := le.Uint16(head[0x206:])
	if protocol >= 0x206 {
		k.MaxCmdline = int(le.Uint32(head[0x238:]))
	}
	if protocol >= 0x20a {
		k.Room = int64(le.Uint32(head[0x260:]))
	}
	const xlfKernel64 = 1
	if protocol < 0x20c || le.Uint16(head[0x236:])&xlfKernel64 == 0 {
		k.Arch = "386"
	}
	setup := int64(head[0x1f1])
	if setup == 0 {
		setup = 4
	}
	setup = (setup + 1) * 512
	if want := setup + int64(le.Uint32(head[0x1f4:]))*16; size < want {
		return nil, fmt.Errorf("a bzImage cut short: %d of %d bytes", size, want)
	}
	if at := int64(le.Uint16(head[0x20e:])); at != 0 && at+512 < setup {
		version := make([]byte, min(256, setup-at-512))
		if _, err := r.ReadAt(version, at+512); err != nil {
			return nil, err
		}
		k.Version = firstWord(version)
	}
	return k, nil
}

// maxRoom is the most memory in bytes that an arm64 kernel can need to start.
const maxRoom = 1 << 30

// arm64CommandLine is COMMAND_LINE_SIZE of arch/arm64/include/uapi/asm/setup.h, which includes the NUL, less one.
const arm64CommandLine = 2048 - 1

// parseImage parses an arm64 Image. Its header says how much memory the kernel needs (image_size). It does not give the
// length of the file, but the PE sections of its EFI stub do.
func parseImage(r io.ReaderAt, size int64, head []byte) (*Kernel, error) {
	room := binary.LittleEndian.Uint64(head[16:])
	if room > maxRoom {
		return nil, fmt.Errorf("an Image with a damaged header: it needs %d MiB of memory", room>>20)
	}
	if list, err := sections(r); err == nil { // an error means that it has no EFI stub
		if err := checkInside(list, size); err != nil {
			return nil, err
		}
	}
	return &Kernel{
		Format: "Image", Arch: "arm64", MaxCmdline: arm64CommandLine, Version: banner(io.NewSectionReader(r, 0, size)),
		Room: int64(room), Page: imagePage(head),
	}, nil
}

// imagePage returns the size of a page by the flags in the header of an Image: bits 1 and 2 (booting.rst). Kernels from
// before they were defined have pages of 4 KiB, or 64.
func imagePage(head []byte) int64 {
	switch binary.LittleEndian.Uint64(head[24:]) >> 1 & 3 {
	case 2:
		return 16 << 10
	case 3:
		return 64 << 10
	}
	return memory.Page
}

// banner finds the version in the text "Linux version 6.1.0 (…" (init/version.c).
func banner(r io.Reader) string {
	mark := []byte("Linux version ")
	buf := make([]byte, 0, 1<<20)
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if i := bytes.Index(buf, mark); i >= 0 && (len(buf)-i > 256 || err != nil) {
			return firstWord(buf[i+len(mark) : min(len(buf), i+256)])
		}
		if err != nil {
			return ""
		}
		buf = append(buf[:0], buf[len(buf)-512:]...)
	}
}

// firstWord returns the text before the first blank, NUL or other byte that cannot be part of a version.
func firstWord(b []byte) string {
	if i := bytes.IndexFunc(b, func(c rune) bool { return c <= ' ' || c > '~' }); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
