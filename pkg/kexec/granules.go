package kexec

import (
	"fmt"
	"path/filepath"
	"slices"
)

// Sizes of pages, as the flags of an Image number them.
var pageSizes = [4]uint64{0, 4 << 10, 16 << 10, 64 << 10}

// lacking are processors that cannot have pages of a certain size: there the kernel stops before it can say a word
// (arch/arm64/kernel/head.S, __no_granule_support). The register that says it, ID_AA64MMFR0_EL1, does not show it to
// programs (Documentation/arch/arm64/cpu-feature-registers.rst). So these are the implementer and the part number in
// the main ID register, MIDR_EL1, of which the manuals say so. All have pages of 4 KiB.
var lacking = []struct {
	implementer, part uint32
	page              uint64
}{
	{0x41, 0xd03, 16 << 10},   // Cortex-A53
	{0x41, 0xd07, 16 << 10},   // Cortex-A57
	{0x41, 0xd08, 16 << 10},   // Cortex-A72
	{0x46, 0x001, 16 << 10},   // A64FX
	{0x61, anyPart, 64 << 10}, // Apple
}

// anyPart stands for all processors of an implementer.
const anyPart = 1 << 16

// readProcessors returns the main ID register of each kind of processor below dir:
// Documentation/ABI/testing/sysfs-devices-system-cpu.
func readProcessors(dir string) []uint32 {
	files, _ := filepath.Glob(filepath.Join(dir, "cpu*/regs/identification/midr_el1"))
	var all []uint32
	for _, name := range files {
		if midr, err := number(name); err == nil && !slices.Contains(all, uint32(midr)) {
			all = append(all, uint32(midr))
		}
	}
	return all
}

// canUse returns an error if the machine's processors cannot have pages of the size with this number.
func (b *board) canUse(size uint64) error {
	page := pageSizes[size]
	if page == b.page {
		return nil // as the running kernel proves
	}
	for _, midr := range b.processors {
		for _, l := range lacking {
			if midr>>24 == l.implementer && (midr>>4&0xfff == l.part || l.part == anyPart) && page == l.page {
				return fmt.Errorf("the container's kernel uses pages of %d KiB, which this machine's processor "+
					"does not have (MIDR_EL1 %#x); use a kernel with pages of 4 KiB", page>>10, midr)
			}
		}
	}
	return nil
}
