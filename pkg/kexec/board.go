package kexec

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/u-root/u-root/pkg/boot/kexec"
	"gitlab.com/wyrcan/wyrcan/pkg/devicetree"
	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// board is what the running arm64 kernel knows about the machine, and the next kernel must be told. The code for arm64
// is compiled everywhere, so that it is tested everywhere.
type board struct {
	ram        []span           // memory that segments may be put into
	sure       []span           // the part of it that the next kernel has for sure
	page       uint64           // the size of the running kernel's pages
	tree       *devicetree.Tree // as the running kernel was started with
	processors []uint32         // the main ID register of each kind of processor
}

// readBoard reads all of it from /sys and /proc below root.
func readBoard(root string, page uint64) (*board, error) {
	b := &board{page: page, processors: readProcessors(filepath.Join(root, "sys/devices/system/cpu"))}
	ram, err := readRAM(filepath.Join(root, "proc/iomem"), 0)
	if err != nil {
		return nil, err
	}
	b.ram = whole(ram, page)
	// Memory that was added to the running machine is listed as all other memory is. But the next kernel does not know
	// it when it starts, because neither the device tree nor EFI has it. At its own start, a kernel reserves something
	// in each stretch of memory.
	b.sure = whole(slices.DeleteFunc(ram, func(r stretch) bool { return !r.parts }), page)
	const tree = "/sys/firmware/fdt"
	flat, err := smallfile.Read(os.DirFS(root), tree[1:], devicetree.MaxSize)
	if err == nil {
		b.tree, err = devicetree.Parse(flat)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use this machine's device tree, %s: %w", tree, err)
	}
	return b, nil
}

// Offsets in an Image, its flags, and the rules for its place: Documentation/arch/arm64/booting.rst.
const (
	textOffset  = 8
	imageSize   = 16
	imageFlags  = 24
	imageMagic  = 56
	imageHeader = 64

	bigEndian  = 1 << 0
	anyPlace   = 1 << 3 // since Linux 4.6
	imageAlign = 2 << 20
	window     = 1 << 30  // kernel and initrd are in a window whose ends are multiples of this,
	maxWindow  = 32 << 30 // and which is not larger than this
	maxImage   = 1 << 30  // no kernel is larger than that

	// treeAlign is the alignment of the device tree. Kernels map as much as a device tree may have, as normal memory, so
	// nothing but RAM may be there; and the stub has room behind it.
	treeAlign = devicetree.MaxSize
	// granule is the size of the largest page on arm64. The kernel keeps or frees its initrd in whole pages, so nothing
	// else may be in them, whatever its pages are.
	granule = 64 << 10
)

// image is an arm64 kernel whose header was read.
type image struct {
	content      []byte
	offset, room uint64 // from an address that is aligned to imageAlign
}

// parse reads a kernel's header, and refuses a kernel that this machine cannot start.
func (b *board) parse(kernel []byte) (*image, error) {
	if len(kernel) < imageHeader || string(kernel[imageMagic:imageMagic+4]) != "ARM\x64" {
		return nil, errors.New("the container's kernel is no arm64 Image")
	}
	i := &image{content: kernel, offset: le.Uint64(kernel[textOffset:]), room: le.Uint64(kernel[imageSize:])}
	flags := le.Uint64(kernel[imageFlags:])
	switch {
	case i.room == 0 || flags&anyPlace == 0:
		return nil, errors.New("the container's kernel can only start at the beginning of the memory; " +
			"use a newer one (Linux can start at any place since version 4.6)")
	case flags&bigEndian != 0:
		return nil, errors.New("the container's kernel is big-endian, and arm64's containers are little-endian")
	case i.offset >= imageAlign || i.offset%b.page != 0 || i.room > maxImage:
		return nil, errors.New("the container's kernel is an arm64 Image with a damaged header")
	}
	if err := b.canUse(flags >> 1 & 3); err != nil {
		return nil, err
	}
	// A signature may come behind the image, which the kernel itself does not need.
	i.content = kernel[:min(uint64(len(kernel)), i.room)]
	return i, nil
}

// lay lays out what the next kernel will find in memory, and returns the address that the running kernel has to jump
// to. The segments are in the order in which they are best loaded.
func (b *board) lay(n next) (uintptr, kexec.Segments, error) {
	if len(n.image) > 0 {
		return 0, nil, errors.New("on arm64 no image can be left in memory")
	}
	i, err := b.parse(n.kernel)
	if err != nil {
		return 0, nil, err
	}
	size := uint64(len(n.initrd))
	at, ok := b.find(i, size, b.sure)
	if !ok {
		at, ok = b.find(i, size, b.ram)
	}
	if !ok {
		return 0, nil, noRoom(n)
	}
	kernelAt, blockAt := at.kernel.from+i.offset, at.block.from
	tree, err := b.tell(at.initrd.from, size, n.cmdline)
	if err != nil {
		return 0, nil, err
	}
	// The stub comes behind the tree, where an instruction may be.
	start := roundUp(uint64(len(tree)), 8)
	block := append(tree, make([]byte, start-uint64(len(tree)))...)
	block = append(block, stub(kernelAt, blockAt)...)
	segments := kexec.Segments{
		newSegment(kernelAt, roundUp(i.room, b.page), i.content),
		newSegment(blockAt, roundUp(uint64(len(block)), b.page), block),
	}
	content := at.initrd.cut(at.initrd.from, at.initrd.from+roundUp(size, b.page))
	segments = append(segments, content.segments(n.initrd, maxSegments-len(segments))...)
	return uintptr(blockAt + start), segments, nil
}

// found is where everything goes.
type found struct{ initrd, kernel, block place }

// find finds places for an initrd, for the kernel, and for a block with the device tree and the stub.
func (b *board) find(i *image, initrd uint64, ram []span) (at found, ok bool) {
	free := places(ram, initrd+i.room, b.page)
	// The initrd needs the longest stretch, so it comes first.
	if at.initrd, ok = free.take(roundUp(initrd, granule), granule); !ok {
		return at, false
	}
	at.kernel, ok = free.takeInside(roundUp(i.offset+i.room, granule), imageAlign, near(at.initrd.span))
	if !ok {
		return at, false
	}
	at.block, ok = free.take(treeAlign+granule, treeAlign)
	return at, ok
}

// near returns where a kernel may be whose initrd is at s.
func near(s span) span {
	last, first := roundUp(s.to, window), s.from&^(window-1)
	return span{last - min(last, maxWindow), first + maxWindow}
}

// tell returns the device tree for the next kernel: the machine's, with another /chosen.
func (b *board) tell(initrdAt, size uint64, cmdline string) ([]byte, error) {
	t := *b.tree
	t.Reserved = b.withoutInitrd()
	// What a kernel leaves there for a crash kernel, or for the one kernel that it starts: drivers/of/kexec.c.
	t.Drop("linux,elfcorehdr", "linux,usable-memory-range", "linux,ima-kexec-buffer", "linux,kho-fdt",
		"linux,kho-scratch")
	be := binary.BigEndian
	seed := make([]byte, 8+32)
	rand.Read(seed)
	t.Set("linux,initrd-start", be.AppendUint64(nil, initrdAt))
	t.Set("linux,initrd-end", be.AppendUint64(nil, initrdAt+size))
	t.Set("bootargs", append([]byte(cmdline), 0))
	t.Set("kaslr-seed", seed[:8])
	t.Set("rng-seed", seed[8:])
	return t.Bytes()
}

// withoutInitrd returns the reserved memory without that of the running kernel's initrd, which kexec_file_load and boot
// loaders reserve.
func (b *board) withoutInitrd() []devicetree.Reservation {
	start, ok1 := number32or64(b.tree.Get("linux,initrd-start"))
	end, ok2 := number32or64(b.tree.Get("linux,initrd-end"))
	var all []devicetree.Reservation
	for _, r := range b.tree.Reserved {
		whole := r.Address+r.Size == end || r.Size == roundUp(end-start, b.page)
		if !ok1 || !ok2 || r.Address != start || !whole {
			all = append(all, r)
		}
	}
	return all
}

// number32or64 reads a property that may have one cell or two: Devicetree Specification, 3.6.
func number32or64(value []byte, ok bool) (uint64, bool) {
	switch {
	case ok && len(value) == 4:
		return uint64(binary.BigEndian.Uint32(value)), true
	case ok && len(value) == 8:
		return binary.BigEndian.Uint64(value), true
	}
	return 0, false
}

// stub returns the code, to lie at an address that is a multiple of 8, that jumps into a kernel. A kernel that was
// loaded by kexec_load is not given the device tree: the running kernel jumps with 0 in X0, with the MMU off and with
// interrupts masked (machine_kexec and arch/arm64/kernel/relocate_kernel.S in Linux 6.1 and 6.12; dtb_mem is for
// kexec_file_load). Encodings: Arm Architecture Reference Manual, C6.2, "LDR (literal)", "MOV (register)", "BR".
func stub(kernel, tree uint64) []byte {
	var b []byte
	for _, instruction := range []uint32{
		0x580000d1, // 00: ldr x17, 18
		0x580000e0, // 04: ldr x0, 20
		0xaa1f03e1, // 08: mov x1, xzr
		0xaa1f03e2, // 0c: mov x2, xzr
		0xaa1f03e3, // 10: mov x3, xzr
		0xd61f0220, // 14: br x17
	} {
		b = le.AppendUint32(b, instruction)
	}
	b = le.AppendUint64(b, kernel)  // 18
	return le.AppendUint64(b, tree) // 20
}
