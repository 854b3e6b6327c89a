package kexec

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/pram"
)

// region is an entry of the e820 table.
type region struct {
	span
	kind uint32
}

// Kinds of regions: arch/x86/include/asm/e820/types.h. The kernel leaves legacy persistent memory alone
// (E820_TYPE_PRAM): to the kernel it is no RAM. The driver nd_e820 makes a block device of each such region.
const (
	systemRAM   = 1
	reserved    = 2
	acpiTables  = 3
	acpiStorage = 4
	legacyPMEM  = 12
)

// e820Kinds are the types of memory by their names in /sys/firmware/memmap: e820_type_to_string in
// arch/x86/kernel/e820.c. An unknown type is called reserved, there and here.
var e820Kinds = map[string]uint32{
	"System RAM":                 systemRAM,
	"ACPI Tables":                acpiTables,
	"ACPI Non-volatile Storage":  acpiStorage,
	"Unusable memory":            5,
	"Persistent Memory":          7,
	"Persistent Memory (legacy)": legacyPMEM,
	"Soft Reserved":              0xefffffff,
}

const (
	e820Entry = 20 // bytes
	// e820Room is how many entries the zero page has room for. The rest goes into setup data (boot.rst,
	// SETUP_E820_EXT), which a kernel reads that knows machines of several nodes: E820_MAX_ENTRIES is 128 and 3 more
	// for each node that it may have.
	e820Room = 128
	// maxEntries is far more than any firmware has.
	maxEntries = 1024
)

// readMemory reads the firmware's memory map: Documentation/ABI/testing/sysfs-firmware-memmap.
func readMemory(dir string) ([]region, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 || len(entries) > maxEntries {
		return nil, fmt.Errorf("%s lists %d stretches of memory, and not 1 to %d", dir, len(entries), maxEntries)
	}
	var all []region
	for _, e := range entries {
		from, err := number(dir, e.Name(), "start")
		if err != nil {
			return nil, err
		}
		last, err := number(dir, e.Name(), "end")
		if err != nil {
			return nil, err
		}
		name, err := os.ReadFile(filepath.Join(dir, e.Name(), "type"))
		if err != nil {
			return nil, err
		}
		kind, ok := e820Kinds[strings.TrimSpace(string(name))]
		if !ok {
			kind = reserved
		}
		all = append(all, region{span{from, last + 1}, kind})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].from < all[j].from })
	return all, nil
}

// takeBack makes RAM of the images that were left in memory for the running system, for they end with it; and it sets
// the RAM that segments may be put into. An image's memory is as good for that as any: nothing is written there before
// the running system has ended.
//
// ram is the RAM that the running kernel has. Memory that was added to the running machine is left out: the next kernel
// will not know it.
func (m *machine) takeBack(root string, ram []stretch) error {
	images, err := pram.Read(os.DirFS(root))
	if err != nil {
		return err
	}
	for _, image := range images {
		s := span{image.From, image.From + image.Room}
		i := slices.Index(m.memory, region{s, legacyPMEM})
		if i < 0 {
			continue // the image's region is not there: nothing of it is known
		}
		m.memory[i].kind = systemRAM
		ram = append(ram, stretch{span: s})
	}
	sort.Slice(ram, func(i, j int) bool { return ram[i].from < ram[j].from })
	m.memory = united(m.memory)
	for _, s := range whole(joined(ram), memory.Page) {
		for _, r := range m.memory {
			if from, to := max(s.from, r.from), min(s.to, r.to); r.kind == systemRAM && from < to {
				m.ram = append(m.ram, span{roundUp(from, memory.Page), to &^ (memory.Page - 1)})
			}
		}
	}
	return nil
}

// joined joins stretches of RAM that are beside each other. A boot loader's setup data is listed as a stretch of any
// length between two others.
func joined(ram []stretch) []stretch {
	var all []stretch
	for _, r := range ram {
		if n := len(all); n > 0 && all[n-1].to == r.from {
			all[n-1].to = r.to
		} else {
			all = append(all, r)
		}
	}
	return all
}

// united unites regions of RAM that are beside each other.
func united(regions []region) []region {
	var all []region
	for _, r := range regions {
		if n := len(all); n > 0 && all[n-1].to == r.from && all[n-1].kind == systemRAM && r.kind == systemRAM {
			all[n-1].to = r.to
		} else {
			all = append(all, r)
		}
	}
	return all
}

// with returns regions in which a part of the RAM is of another kind.
func with(regions []region, part span, kind uint32) []region {
	all := []region{{part, kind}}
	for _, r := range regions {
		if r.kind != systemRAM || r.to <= part.from || part.to <= r.from {
			all = append(all, r)
			continue
		}
		if r.from < part.from {
			all = append(all, region{span{r.from, part.from}, systemRAM})
		}
		if part.to < r.to {
			all = append(all, region{span{part.to, r.to}, systemRAM})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].from < all[j].from })
	return all
}

// e820 writes regions as struct boot_e820_entry: arch/x86/include/uapi/asm/bootparam.h.
func e820(regions []region) []byte {
	var b []byte
	for _, r := range regions {
		b = le.AppendUint64(b, r.from)
		b = le.AppendUint64(b, r.to-r.from)
		b = le.AppendUint32(b, r.kind)
	}
	return b
}
