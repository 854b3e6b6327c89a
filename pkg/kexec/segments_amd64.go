package kexec

import (
	"crypto/rand"
	"errors"

	"github.com/u-root/u-root/pkg/boot/kexec"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// Offsets in struct boot_params: Documentation/arch/x86/zero-page.rst, and boot.rst for the setup header in its middle.
// The setup header is copied out of the kernel's file, where it has the same offset.
const (
	zeroPage = 4096

	screenInfo, screenInfoEnd = 0x000, 0x040
	screenExtMemK             = 0x002
	acpiRSDP, acpiRSDPEnd     = 0x070, 0x078
	extRamdiskImage           = 0x0c0
	extRamdiskSize            = 0x0c4
	extCmdLinePtr             = 0x0c8
	efiInfo                   = 0x1c0
	altMemK                   = 0x1e0
	e820Entries               = 0x1e8
	eddCounts, eddCountsEnd   = 0x1e9, 0x1eb
	secureBoot, secureBootEnd = 0x1ec, 0x1ed
	setupHeader               = 0x1f1
	setupSects                = 0x1f1
	jumpOffset                = 0x201 // of the jump at 0x200, which leads behind the header
	typeOfLoader              = 0x210
	loadFlags                 = 0x211
	ramdiskImage              = 0x218
	ramdiskSize               = 0x21c
	cmdLinePtr                = 0x228
	kernelAlignment           = 0x230
	relocatable               = 0x234
	xloadFlags                = 0x236
	subarch, subarchEnd       = 0x23c, 0x240
	setupData                 = 0x250
	initSize                  = 0x260
	setupHeaderEnd            = 0x268 // as far as this file reads it: protocol 2.12
	mbrSignatures             = 0x290
	mbrSignaturesEnd          = 0x2d0
	e820Table                 = 0x2d0
	eddBuf, eddBufEnd         = 0xd00, 0xeec
)

// able is what a kernel must be able to do (in xloadflags) to be started by the code here: take over at its 64-bit
// entry, find its initrd above 4 GiB, and handle the paging that the running kernel leaves behind. Linux can since 5.3.
const able = 1<<0 | 1<<1 | 1<<5 // XLF_KERNEL_64, XLF_CAN_BE_LOADED_ABOVE_4G, XLF_5LEVEL

// entry64 is the offset of the 64-bit entry in a bzImage's protected-mode part: boot.rst, "64-bit Boot Protocol".
const entry64 = 0x200

// Types of struct setup_data: arch/x86/include/uapi/asm/setup_data.h. The kernel only keeps the memory of the first
// from being used for something else: here that holds EFI's memory map.
const (
	setupNone = 0
	setupEFI  = 4
	setupRNG  = 9
)

// lay lays out what the next kernel will find in memory, on the machine that /sys and /proc show.
func lay(image, initrd []byte, cmdline string) (uintptr, kexec.Segments, error) {
	m, err := readMachine("/")
	if err != nil {
		return 0, nil, err
	}
	return m.lay(image, initrd, cmdline)
}

// lay lays out what the next kernel will find in memory, and returns the address that the running kernel has to jump
// to. The segments are in the order in which they are best loaded.
func (m *machine) lay(image, initrd []byte, cmdline string) (uintptr, kexec.Segments, error) {
	if len(image) < setupHeaderEnd || string(image[0x202:0x206]) != "HdrS" {
		return 0, nil, errors.New("not a bzImage")
	}
	if le.Uint16(image[xloadFlags:])&able != able || image[relocatable] == 0 {
		return 0, nil, errors.New("a kernel that cannot be started in 64-bit mode at any place")
	}
	sectors := int(image[setupSects])
	if sectors == 0 {
		sectors = 4 // boot.rst: kernels older than this field
	}
	code := (sectors + 1) * 512
	headerEnd := 0x202 + int(image[jumpOffset])
	room := roundUp(uint64(le.Uint32(image[initSize:])), memory.Page)
	if code >= len(image) || len(image)-code > int(room) || headerEnd < setupHeaderEnd || headerEnd > mbrSignatures {
		return 0, nil, errors.New("a bzImage with a damaged header")
	}
	// One block holds everything but the kernel and the initrd: the zero page, the trampoline, and what the zero page
	// names.
	block := make([]byte, zeroPage+trampolineSize)
	free := places(m.ram, room+uint64(len(initrd)), memory.Page)
	kernelPlace, ok1 := free.take(room, uint64(le.Uint32(image[kernelAlignment:])))
	initrdPlace, ok2 := free.take(uint64(len(initrd)), memory.Page)
	blockPlace, ok3 := free.take(uint64(len(block)+len(m.efiMap)+len(cmdline)+512), memory.Page)
	if !ok1 || !ok2 || !ok3 {
		return 0, nil, noRoom()
	}
	kernelAt, initrdAt, blockAt := kernelPlace.from, initrdPlace.from, blockPlace.from

	var chain uint64 // the address of the last piece of setup data; each piece has the address of the one before it
	setup := func(kind uint32, content []byte) uint64 {
		at := blockAt + uint64(len(block))
		block = le.AppendUint64(block, chain)
		block = le.AppendUint32(block, kind)
		block = le.AppendUint32(block, uint32(len(content)))
		block = append(block, content...)
		block = append(block, make([]byte, -len(block)&7)...)
		chain = at
		return at + 16
	}
	seed := make([]byte, 32)
	rand.Read(seed)
	setup(setupRNG, seed)
	var efiMapAt uint64
	if len(m.efiMap) > 0 {
		setup(setupEFI, m.efiSetup)
		efiMapAt = setup(setupNone, m.efiMap)
	}
	lineAt := blockAt + uint64(len(block))
	block = append(append(block, cmdline...), 0)

	params := block[:zeroPage]
	copy(params[setupHeader:], image[setupHeader:headerEnd])
	m.tell(params, efiMapAt)
	params[typeOfLoader] = 0xd0 // kexec
	params[loadFlags] = 0
	le.PutUint64(params[setupData:], chain)
	for _, p := range []struct {
		low, high int
		value     uint64
	}{
		{cmdLinePtr, extCmdLinePtr, lineAt},
		{ramdiskImage, extRamdiskImage, initrdAt},
		{ramdiskSize, extRamdiskSize, uint64(len(initrd))},
	} {
		le.PutUint32(params[p.low:], uint32(p.value))
		le.PutUint32(params[p.high:], uint32(p.value>>32))
	}
	start := blockAt + zeroPage
	copy(block[zeroPage:], trampoline(start, kernelAt+entry64, blockAt))

	segments := kexec.Segments{
		newSegment(kernelAt, room, image[code:]),
		newSegment(blockAt, roundUp(uint64(len(block)), memory.Page), block),
	}
	for _, p := range initrdPlace.stretches(maxSegments - len(segments)) {
		content := initrd[p.from-initrdAt : min(p.to-initrdAt, uint64(len(initrd)))]
		segments = append(segments, newSegment(p.from, p.to-p.from, content))
	}
	return uintptr(start), segments, nil
}

// trampolineSize is the room for the trampoline and its stack.
const trampolineSize = 4096

// trampoline returns the code, to lie at the address at, that jumps into a kernel. The running kernel jumps to it in
// 64-bit mode with all memory mapped one to one, but without usable segments and with nothing in the registers
// (arch/x86/kernel/relocate_kernel_64.S). The next kernel needs the segments 0x10 and 0x18, and its zero page's address
// in RSI.
func trampoline(at, entry, params uint64) []byte {
	const gdt, size, stack = 0x50, 4 * 8, trampolineSize
	b := []byte{
		0x0f, 0x01, 0x15, gdt + size - 7, 0, 0, 0, // lgdt gdt+size(%rip)
		0xb8, 0x18, 0, 0, 0, // mov $0x18, %eax
		0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0x8e, 0xe0, 0x8e, 0xe8, // mov %eax, %ds; %es; %ss; %fs; %gs
	}
	b = le.AppendUint64(append(b, 0x48, 0xbc), at+stack) // movabs $stack, %rsp
	b = append(b,
		0x6a, 0x10, // push $0x10
		0x48, 0x8d, 0x05, 3, 0, 0, 0, // lea 3(%rip), %rax: behind the lretq
		0x50,       // push %rax
		0x48, 0xcb, // lretq
	)
	b = le.AppendUint64(append(b, 0x48, 0xbe), params) // movabs $params, %rsi
	b = le.AppendUint64(append(b, 0x48, 0xb8), entry)  // movabs $entry, %rax
	b = append(b, 0xff, 0xe0)                          // jmp *%rax
	b = append(b, make([]byte, gdt-len(b))...)
	b = le.AppendUint64(b, 0)
	b = le.AppendUint64(b, 0)
	b = le.AppendUint64(b, 0x00af9a000000ffff) // 0x10: code of 64 bits, all memory
	b = le.AppendUint64(b, 0x00cf92000000ffff) // 0x18: data, all memory
	b = le.AppendUint16(b, size-1)
	return le.AppendUint64(b, at+gdt)
}
