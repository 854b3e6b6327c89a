package vm

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/u-root/u-root/pkg/boot/bzimage"
	"golang.org/x/sys/unix"
)

// Unpacked returns a file with the kernel of out/wyrcan.kernel as the kernel's build made it, before it was compressed.
// An emulated processor takes four seconds to decompress it, and a boot starts here without. It is for tests of what
// comes later: those of the artefacts, and of how they are started, boot the file that ships.
//
// QEMU starts such a kernel by its PVH entry (CONFIG_PVH). Where the kernel has
// none, or a compression that nobody here knows, the file is out/wyrcan.kernel itself.
func Unpacked(t testing.TB) string {
	t.Helper()
	packed := Artefact(t, "wyrcan.kernel")
	unpacking.Do(func() {
		if err := unpack(packed); err != nil {
			t.Logf("%s is started as it is: %v", packed, err)
		}
	})
	if unpacked == nil {
		return packed
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), unpacked.Fd())
}

var (
	unpacking sync.Once
	unpacked  *os.File // in memory: it is there as long as this process
)

func unpack(packed string) error {
	b, err := os.ReadFile(packed)
	if err != nil {
		return err
	}
	var image bzimage.BzImage
	if err := image.UnmarshalBinary(b); err != nil {
		return err
	}
	kernel, err := image.ELF()
	if err != nil {
		return err
	}
	if err := hasPVH(kernel); err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("vmlinux", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), "vmlinux")
	if _, err := file.Write(image.KernelCode); err != nil {
		return errors.Join(err, file.Close())
	}
	unpacked = file
	return nil
}

// hasPVH returns an error unless the kernel has a note with its PVH entry, which QEMU looks for:
// XEN_ELFNOTE_PHYS32_ENTRY of Xen's public/elfnote.h.
func hasPVH(kernel *elf.File) error {
	const owner, kind = "Xen\x00", 18
	for _, p := range kernel.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		notes, err := io.ReadAll(p.Open())
		if err != nil {
			return err
		}
		padded := func(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }
		for len(notes) >= 12 {
			name, desc := kernel.ByteOrder.Uint32(notes), kernel.ByteOrder.Uint32(notes[4:])
			is := kernel.ByteOrder.Uint32(notes[8:])
			end := 12 + padded(name) + padded(desc)
			if end > uint64(len(notes)) {
				break
			}
			if is == kind && bytes.HasPrefix(notes[12:end], []byte(owner)) {
				return nil
			}
			notes = notes[end:]
		}
	}
	return errors.New("it has no PVH entry")
}
