// Package microcode finds the microcode of a machine's processors in an image, and puts it where Linux looks for it
// before it does anything else: into an uncompressed archive at the very beginning of the initrd
// (Documentation/arch/x86/microcode.rst, arch/x86/kernel/cpu/microcode).
//
// Which processors there are is a value (Wanted), and so is what was found (Set). The package reads files as the kernel
// does and checks them as the kernel does; what the processor checks, a signature among it, is left to the processor.
package microcode

import (
	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/newc"
)

// Set is microcode for processors of both vendors, in the form that Linux reads.
type Set struct {
	Intel []byte // updates, one after the other
	AMD   []byte // containers, one after the other
	Files int    // of the image that it is from
}

// Size returns how much microcode there is, in bytes.
func (s Set) Size() int64 { return int64(len(s.Intel) + len(s.AMD)) }

// Where find_microcode_in_initrd looks.
const (
	intelPath = "kernel/x86/microcode/GenuineIntel.bin"
	amdPath   = "kernel/x86/microcode/AuthenticAMD.bin"
)

const (
	// align is what microcode begins at multiples of. Linux hands the initrd's bytes to the processor where they are, and
	// Intel's SDM wants update data at such an address (volume 3, "Microcode Update Loader"). Its header has 48 bytes. The
	// initrd begins with a page.
	align = 16
	// block is what cpio(1) reads. An archive of whole blocks lets two calls of it, one after the other, read the initrd.
	block = 512
)

// Archive returns the archive that comes first in an initrd, nil if there is no microcode. It has no directories.
// find_cpio_data in lib/earlycpio.c needs none, and without them nothing is left of it in the root: do_name in
// init/initramfs.c drops a file that has no directory.
func (s Set) Archive() []byte {
	if s.Size() == 0 {
		return nil
	}
	b := make([]byte, 0, s.Size()+4*block)
	b = record(b, intelPath, s.Intel)
	b = record(b, amdPath, s.AMD)
	b = newc.Trailer(b)
	return append(b, make([]byte, -len(b)&(block-1))...)
}

// record appends a file. Zeros behind its name move the content to a multiple of align. There are fewer than the 18
// that find_cpio_data finds too many.
func record(b []byte, path string, content []byte) []byte {
	if len(content) == 0 {
		return b
	}
	name := path
	for (int64(len(b))+newc.HeaderSize(name))%align != 0 {
		name += "\x00"
	}
	b = newc.Header(b, cpio.Info{
		Name: name, Mode: unix.S_IFREG | 0o600, NLink: 1, FileSize: uint64(len(content)),
	})
	b = append(b, content...)
	return newc.Pad(b, int64(len(content)))
}
