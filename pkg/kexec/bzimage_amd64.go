package kexec

import (
	"errors"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// able is what a kernel must be able to do (in xloadflags) to be started by the code here: take over at its 64-bit
// entry, find its initrd above 4 GiB, and handle the paging that the running kernel leaves behind. Linux can since 5.3.
const able = 1<<0 | 1<<1 | 1<<5 // XLF_KERNEL_64, XLF_CAN_BE_LOADED_ABOVE_4G, XLF_5LEVEL

// entry64 is the offset of the 64-bit entry in a bzImage's protected-mode part: boot.rst, "64-bit Boot Protocol".
const entry64 = 0x200

// bzImage is an amd64 kernel whose header was read.
type bzImage struct {
	header []byte // the setup header, to be copied to setupHeader
	code   []byte // the protected-mode part
	room   uint64 // that the kernel takes until it knows the memory
	align  uint64 // of its place
	lowest uint64 // address of its place
}

// parseKernel reads a kernel's header, and refuses a kernel that the code here cannot start.
func parseKernel(file []byte) (*bzImage, error) {
	if len(file) < setupHeaderEnd || string(file[0x202:0x206]) != "HdrS" {
		return nil, errors.New("not a bzImage")
	}
	if le.Uint16(file[xloadFlags:])&able != able || file[relocatable] == 0 {
		return nil, errors.New("a kernel that cannot be started in 64-bit mode at any place")
	}
	sectors := int(file[setupSects])
	if sectors == 0 {
		sectors = 4 // boot.rst: kernels older than this field
	}
	code := (sectors + 1) * 512
	headerEnd := 0x202 + int(file[jumpOffset])
	k := &bzImage{
		room:  roundUp(uint64(le.Uint32(file[initSize:])), memory.Page),
		align: uint64(le.Uint32(file[kernelAlignment:])),
		// A kernel that lies lower unpacks itself to this address, and has all of its room there: startup_64 in
		// arch/x86/boot/compressed/head_64.S, LOAD_PHYSICAL_ADDR.
		lowest: le.Uint64(file[prefAddress:]),
	}
	if code >= len(file) || len(file)-code > int(k.room) || headerEnd < setupHeaderEnd || headerEnd > mbrSignatures {
		return nil, errors.New("a bzImage with a damaged header")
	}
	k.header, k.code = file[setupHeader:headerEnd], file[code:]
	return k, nil
}
