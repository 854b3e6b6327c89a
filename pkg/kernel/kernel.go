// Package kernel tells what a Linux kernel file is and gets out of it the image that kexec takes. It knows what people put
// into containers: bzImage (Documentation/arch/x86/boot.rst), arm64's Image (Documentation/arch/arm64/booting.rst), gzip'd or
// in an EFI zboot wrapper (drivers/firmware/efi/libstub/zboot-header.S), and unified kernel images of either (UAPI.5). It
// does not check signatures: that is the running kernel's.
package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Kernel is a kernel that kexec can start.
type Kernel struct {
	Format     string   // as a person calls it: "bzImage", "EFI zboot"
	Arch       string   // as GOARCH names it: "amd64", "arm64"
	Version    string   // of the kernel, as uname -r prints it; empty if the file does not say
	MaxCmdline int      // bytes that its command line may have, without the terminating NUL
	Room       int64    // bytes of memory that it wants to be started in; 0 if the file does not say
	Cmdline    string   // what a unified kernel image brings along; its own arguments go before others
	Image      *os.File // what kexec takes, in memory, for the caller to close; nil where it is the file as it is
}

const (
	// MaxFile is the size in bytes of the largest file that Parse looks at: a unified kernel image with a large initrd.
	MaxFile = 1 << 30
	// maxImage bounds what is taken out of a wrapper. The largest distribution kernels are around 80 MB.
	maxImage = 256 << 20
)

// Parse looks at a kernel file of the given size. An error says in a few words why this is no kernel, or not a whole one.
func Parse(r io.ReaderAt, size int64) (*Kernel, error) {
	if size > MaxFile {
		return nil, fmt.Errorf("a file of %d MiB, and no kernel has more than %d", size>>20, MaxFile>>20)
	}
	return parse(r, size, false)
}

// parse is Parse. A kernel from inside a unified kernel image must not be another one: that could hold itself.
func parse(r io.ReaderAt, size int64, inside bool) (*Kernel, error) {
	head := make([]byte, min(size, 0x268)) // the setup header of boot.rst ends there
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case has(head, 0x202, "HdrS"):
		return parseBzImage(r, size, head)
	case has(head, 56, "ARM\x64"):
		return parseImage(r, size)
	case has(head, 0, "MZ") && has(head, 4, "zimg"):
		return parseZboot(r, size, head)
	case has(head, 0, "MZ") && inside:
		return nil, errors.New("an EFI program again: a unified kernel image inside another, or no Linux kernel")
	case has(head, 0, "MZ"):
		return parseUKI(r, size)
	case has(head, 0, "\x1f\x8b"):
		return parseGzip(r, size)
	case has(head, 0, "\x7fELF"):
		return nil, errors.New("an ELF file, as vmlinux is; a container needs the bzImage or Image that distributions call vmlinuz")
	case len(head) == 0:
		return nil, errors.New("an empty file")
	}
	return nil, errors.New("not a Linux kernel")
}

func has(b []byte, at int, magic string) bool {
	return len(b) >= at+len(magic) && string(b[at:at+len(magic)]) == magic
}

// parseBzImage reads the x86 setup header; the names and offsets are boot.rst's.
func parseBzImage(r io.ReaderAt, size int64, head []byte) (*Kernel, error) {
	if len(head) < 0x268 {
		return nil, fmt.Errorf("a bzImage that ends after %d bytes", size)
	}
	le := binary.LittleEndian
	k := &Kernel{Format: "bzImage", Arch: "amd64", MaxCmdline: 255}
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

// arm64CommandLine is COMMAND_LINE_SIZE of arch/arm64/include/uapi/asm/setup.h, which counts the NUL.
const arm64CommandLine = 2048 - 1

// parseImage reads an arm64 Image. Its header holds no length of the file, but the PE sections do where it has an EFI stub.
func parseImage(r io.ReaderAt, size int64) (*Kernel, error) {
	if list, err := sections(r); err == nil { // else it has no PE header to hold it against
		if err := whole(list, size); err != nil {
			return nil, err
		}
	}
	return &Kernel{Format: "Image", Arch: "arm64", MaxCmdline: arm64CommandLine, Version: banner(io.NewSectionReader(r, 0, size))}, nil
}

// banner finds the version in "Linux version 6.1.0 (…" of init/version.c.
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

// firstWord is what stands before the first blank, NUL or other byte that no version holds.
func firstWord(b []byte) string {
	if i := bytes.IndexFunc(b, func(c rune) bool { return c <= ' ' || c > '~' }); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
