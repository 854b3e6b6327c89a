package kexec

import (
	"crypto/rand"

	"github.com/u-root/u-root/pkg/boot/kexec"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/pram"
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
	prefAddress               = 0x258
	initSize                  = 0x260
	setupHeaderEnd            = 0x268 // as far as this file reads it: protocol 2.12
	mbrSignatures             = 0x290
	mbrSignaturesEnd          = 0x2d0
	e820Table                 = 0x2d0
	eddBuf, eddBufEnd         = 0xd00, 0xeec
)

// Types of struct setup_data: arch/x86/include/uapi/asm/setup_data.h. The kernel only keeps the memory of the first
// from being used for something else, and shows it in /sys: here that is EFI's memory map, and where an image is.
const (
	setupNone   = 0
	setupMemory = 1
	setupEFI    = 4
	setupRNG    = 9
)

// lay lays out what the next kernel will find in memory, on the machine that /sys and /proc show.
func lay(n next) (uintptr, kexec.Segments, error) {
	m, err := readMachine("/")
	if err != nil {
		return 0, nil, err
	}
	return m.lay(n)
}

// layout is where everything goes. The block holds everything but the kernel, the initrd and the image: the zero page,
// the trampoline, and what the zero page names.
type layout struct{ kernel, initrd, image, block place }

// find finds places for a kernel and what it is given; not yet for the block.
func (free *usable) find(k *bzImage, n next) (at layout, ok bool) {
	found := [3]bool{true, true, true}
	if image := roundUp(uint64(len(n.image)), pram.Unit); image > 0 { // which needs the longest stretch, so it comes first
		at.image, found[0] = free.take(image, pram.Unit)
	}
	at.kernel, found[1] = free.takeInside(k.room, k.align, span{k.lowest, 1 << 63})
	at.initrd, found[2] = free.take(uint64(len(n.initrd)), memory.Page)
	return at, found == [3]bool{true, true, true}
}

// blockSize returns how many bytes the block has at most.
func (m *machine) blockSize(n next) uint64 {
	const small = 512 // for the setup data whose size does not change, and for what aligns them
	return uint64(zeroPage + trampolineSize + len(m.efiMap) + len(n.cmdline) + (len(m.memory)+2)*e820Entry + small)
}

// lay lays out what the next kernel will find in memory, and returns the address that the running kernel has to jump
// to. The segments are in the order in which they are best loaded.
func (m *machine) lay(n next) (uintptr, kexec.Segments, error) {
	k, err := parseKernel(n.kernel)
	if err != nil {
		return 0, nil, err
	}
	free := places(m.ram, k.room+uint64(len(n.initrd))+roundUp(uint64(len(n.image)), pram.Unit), memory.Page)
	at, ok := free.find(k, n)
	if ok {
		at.block, ok = free.take(m.blockSize(n), memory.Page)
	}
	if !ok {
		return 0, nil, noRoom(n)
	}
	b, start := m.block(k, n, at, nil)
	segments := kexec.Segments{
		newSegment(at.kernel.from, k.room, k.code),
		newSegment(b.at, roundUp(uint64(len(b.bytes)), memory.Page), b.bytes),
	}
	if len(n.image) > 0 {
		segments = append(segments, at.image.segments(n.image, maxSegments-len(segments)-fewParts)...)
	}
	segments = append(segments, at.initrd.segments(n.initrd, maxSegments-len(segments))...)
	return start, segments, nil
}

// block makes the block, and returns the address in it that the running kernel has to jump to. before is code that runs
// before the next kernel.
func (m *machine) block(k *bzImage, n next, at layout, before []byte) (*block, uintptr) {
	b := &block{at: at.block.from, bytes: make([]byte, zeroPage+trampolineSize)}
	seed := make([]byte, 32)
	rand.Read(seed)
	b.setup(setupRNG, seed)
	var efiMapAt uint64
	if len(m.efiMap) > 0 {
		b.setup(setupEFI, m.efiSetup)
		efiMapAt = b.setup(setupNone, m.efiMap)
	}
	regions := m.memory
	if len(n.image) > 0 {
		regions = with(regions, at.image.span, legacyPMEM)
		left := pram.Image{From: at.image.from, Room: at.image.to - at.image.from, Size: uint64(len(n.image))}
		b.setup(setupNone, left.Marshal())
	}
	few := min(len(regions), e820Room)
	if more := regions[few:]; len(more) > 0 {
		b.setup(setupMemory, e820(more))
	}
	lineAt := b.end()
	b.bytes = append(append(b.bytes, n.cmdline...), 0)

	params := b.bytes[:zeroPage]
	copy(params[setupHeader:], k.header)
	m.tell(params, regions[:few], efiMapAt)
	params[typeOfLoader] = 0xd0 // kexec
	params[loadFlags] = 0
	le.PutUint64(params[setupData:], b.chain)
	for _, p := range []struct {
		low, high int
		value     uint64
	}{
		{cmdLinePtr, extCmdLinePtr, lineAt},
		{ramdiskImage, extRamdiskImage, at.initrd.from},
		{ramdiskSize, extRamdiskSize, uint64(len(n.initrd))},
	} {
		le.PutUint32(params[p.low:], uint32(p.value))
		le.PutUint32(params[p.high:], uint32(p.value>>32))
	}
	start := b.at + zeroPage
	copy(b.bytes[zeroPage:], trampoline(start, at.kernel.from+entry64, b.at, before))
	return b, uintptr(start)
}

// fewParts is how many parts the initrd has at least if there is also an image, beside which it is small.
const fewParts = 3

// block is memory that is built up, and will lie at an address.
type block struct {
	at    uint64
	bytes []byte
	chain uint64 // the address of the last piece of setup data; each piece has the address of the one before it
}

func (b *block) end() uint64 { return b.at + uint64(len(b.bytes)) }

// setup appends a piece of setup data, and returns the address of its content.
func (b *block) setup(kind uint32, content []byte) uint64 {
	at := b.end()
	b.bytes = le.AppendUint64(b.bytes, b.chain)
	b.bytes = le.AppendUint32(b.bytes, kind)
	b.bytes = le.AppendUint32(b.bytes, uint32(len(content)))
	b.bytes = append(b.bytes, content...)
	b.bytes = append(b.bytes, make([]byte, -len(b.bytes)&7)...)
	b.chain = at
	return at + 16
}

// trampolineSize is the room for the trampoline and its stack.
const trampolineSize = 4096

// trampoline returns the code, to lie at the address at, that jumps into a kernel. The running kernel jumps to it in
// 64-bit mode with all memory mapped one to one, but without usable segments and with nothing in the registers
// (arch/x86/kernel/relocate_kernel_64.S). The next kernel needs the segments 0x10 and 0x18, and its zero page's address
// in RSI. before runs between the two: it may use all registers.
func trampoline(at, entry, params uint64, before []byte) []byte {
	const gdt, size, stack = 0x200, 4 * 8, trampolineSize
	b := le.AppendUint32([]byte{0x0f, 0x01, 0x15}, gdt+size-7) // lgdt gdt+size(%rip)
	b = append(b,
		0xb8, 0x18, 0, 0, 0, // mov $0x18, %eax
		0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0x8e, 0xe0, 0x8e, 0xe8, // mov %eax, %ds; %es; %ss; %fs; %gs
	)
	b = le.AppendUint64(append(b, 0x48, 0xbc), at+stack) // movabs $stack, %rsp
	b = append(b,
		0x6a, 0x10, // push $0x10
		0x48, 0x8d, 0x05, 3, 0, 0, 0, // lea 3(%rip), %rax: behind the lretq
		0x50,       // push %rax
		0x48, 0xcb, // lretq
	)
	b = append(b, before...)
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
