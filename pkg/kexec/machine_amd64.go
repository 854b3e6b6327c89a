package kexec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// machine is what the running kernel knows about the machine and the next kernel must be told.
type machine struct {
	params   []byte   // boot_params as the running kernel was started with
	memory   []region // the firmware's memory map
	ram      []span   // memory that segments may be put into
	efiMap   []byte   // the part of EFI's memory map that runtime services need; empty without EFI
	efiSetup []byte   // addresses that SetVirtualAddressMap has changed in EFI's tables: struct efi_setup_data
}

// lowest is the lowest address for segments: firmware and kernels use the first MiB for fixed purposes.
const lowest = 1 << 20

// region is an entry of the e820 table.
type region struct {
	span
	kind uint32
}

// efiDescriptor is the size of an EFI_MEMORY_DESCRIPTOR: UEFI 2.10, 7.2.3.
const efiDescriptor = 40

// readMachine reads all of it from /sys and /proc below root.
func readMachine(root string) (*machine, error) {
	m := &machine{}
	var err error
	if m.params, err = os.ReadFile(filepath.Join(root, "sys/kernel/boot_params/data")); err != nil {
		return nil, err
	}
	if len(m.params) != zeroPage {
		return nil, errors.New("the running kernel's boot parameters are of an unknown kind")
	}
	if m.memory, err = readMemory(filepath.Join(root, "sys/firmware/memmap")); err != nil {
		return nil, err
	}
	ram, err := readRAM(filepath.Join(root, "proc/iomem"), lowest)
	if err != nil {
		return nil, err
	}
	m.ram = whole(joined(ram), memory.Page)
	efi := filepath.Join(root, "sys/firmware/efi")
	if _, err := os.Stat(efi); err == nil {
		if err := m.readEFI(efi); err != nil {
			return nil, err
		}
	}
	return m, nil
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

// e820Kinds are the types of memory by their names in /sys/firmware/memmap: e820_type_to_string in
// arch/x86/kernel/e820.c. An unknown type is called reserved, there and here.
var e820Kinds = map[string]uint32{
	"System RAM":                 1,
	"ACPI Tables":                3,
	"ACPI Non-volatile Storage":  4,
	"Unusable memory":            5,
	"Persistent Memory":          7,
	"Persistent Memory (legacy)": 12,
	"Soft Reserved":              0xefffffff,
}

// readMemory reads the firmware's memory map: Documentation/ABI/testing/sysfs-firmware-memmap.
func readMemory(dir string) ([]region, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
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
			kind = 2 // reserved
		}
		all = append(all, region{span{from, last + 1}, kind})
	}
	const room = 128 // entries in the zero page
	if len(all) == 0 || len(all) > room {
		return nil, fmt.Errorf("%d stretches of memory do not fit into the kernel's boot parameters", len(all))
	}
	sort.Slice(all, func(i, j int) bool { return all[i].from < all[j].from })
	return all, nil
}

// readEFI reads what another kernel needs to call the firmware's runtime services. They were told their virtual
// addresses once, and cannot be told again: Documentation/ABI/testing/sysfs-firmware-efi and
// sysfs-firmware-efi-runtime-map.
func (m *machine) readEFI(dir string) error {
	vendor, err := number(dir, "fw_vendor")
	if err != nil {
		return err
	}
	tables, err := number(dir, "config_table")
	if err != nil {
		return err
	}
	systab, err := os.ReadFile(filepath.Join(dir, "systab"))
	if err != nil {
		return err
	}
	var smbios uint64 // 0 if there are only tables of version 3
	for line := range strings.Lines(string(systab)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "SMBIOS="); ok {
			if smbios, err = strconv.ParseUint(value, 0, 64); err != nil {
				return err
			}
		}
	}
	m.efiSetup = le.AppendUint64(nil, vendor)
	m.efiSetup = le.AppendUint64(m.efiSetup, 0)
	m.efiSetup = le.AppendUint64(m.efiSetup, tables)
	m.efiSetup = le.AppendUint64(m.efiSetup, smbios)
	m.efiSetup = append(m.efiSetup, make([]byte, 8*8)...)

	for i := 0; ; i++ {
		entry := filepath.Join(dir, "runtime-map", strconv.Itoa(i))
		var d [5]uint64
		for j, name := range []string{"type", "phys_addr", "virt_addr", "num_pages", "attribute"} {
			if d[j], err = number(entry, name); err != nil {
				break
			}
		}
		if errors.Is(err, fs.ErrNotExist) && i > 0 {
			return nil
		}
		if err != nil {
			return err
		}
		for _, v := range d {
			m.efiMap = le.AppendUint64(m.efiMap, v)
		}
	}
}

// tell writes what a zero page says about the machine.
func (m *machine) tell(params []byte, efiMapAt uint64) {
	for _, same := range []span{
		{screenInfo, screenInfoEnd}, {acpiRSDP, acpiRSDPEnd}, {eddCounts, eddCountsEnd}, {subarch, subarchEnd},
		{mbrSignatures, mbrSignaturesEnd}, {eddBuf, eddBufEnd},
	} {
		copy(params[same.from:same.to], m.params[same.from:])
	}
	// How much memory there is above 1 MiB, in two fields, one of 16 bits.
	le.PutUint16(params[screenExtMemK:], 0)
	for i, r := range m.memory {
		e := params[e820Table+i*20:]
		le.PutUint64(e, r.from)
		le.PutUint64(e[8:], r.to-r.from)
		le.PutUint32(e[16:], r.kind)
		if r.kind == 1 && r.from <= 1<<20 && r.to > 1<<20 {
			kib := (r.to - 1<<20) >> 10
			le.PutUint16(params[screenExtMemK:], uint16(min(kib, 0xfc00)))
			le.PutUint32(params[altMemK:], uint32(min(kib, 0xffffffff)))
		}
	}
	params[e820Entries] = byte(len(m.memory))
	if len(m.efiMap) == 0 {
		return
	}
	copy(params[secureBoot:secureBootEnd], m.params[secureBoot:])
	info := params[efiInfo:]
	copy(info[:8], m.params[efiInfo:])             // the loader's signature, the system table
	le.PutUint32(info[8:], efiDescriptor)          // efi_memdesc_size
	copy(info[12:16], m.params[efiInfo+12:])       // efi_memdesc_version
	le.PutUint32(info[16:], uint32(efiMapAt))      // efi_memmap
	le.PutUint32(info[20:], uint32(len(m.efiMap))) // efi_memmap_size
	copy(info[24:28], m.params[efiInfo+24:])       // efi_systab_hi
	le.PutUint32(info[28:], uint32(efiMapAt>>32))  // efi_memmap_hi
}
