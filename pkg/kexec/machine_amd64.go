package kexec

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

// span is a stretch of physical memory; to is the first address after it.
type span struct{ from, to uint64 }

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
	if m.ram, err = readRAM(filepath.Join(root, "proc/iomem")); err != nil {
		return nil, err
	}
	efi := filepath.Join(root, "sys/firmware/efi")
	if _, err := os.Stat(efi); err == nil {
		if err := m.readEFI(efi); err != nil {
			return nil, err
		}
	}
	return m, nil
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

// readRAM returns the RAM that the running kernel uses, from lowest on, in order and in whole pages.
func readRAM(file string) ([]span, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var ram []span
	s := bufio.NewScanner(f)
	for s.Scan() {
		// "00100000-bffd6fff : System RAM"; lines about parts of a stretch are indented
		from, rest, _ := strings.Cut(s.Text(), "-")
		last, name, _ := strings.Cut(rest, " : ")
		a, err1 := strconv.ParseUint(from, 16, 64)
		b, err2 := strconv.ParseUint(last, 16, 64)
		if name != "System RAM" || err1 != nil || err2 != nil || b < lowest {
			continue
		}
		// A boot loader's setup data is listed as a stretch of RAM of any length.
		if n := len(ram); n > 0 && ram[n-1].to == a {
			ram[n-1].to = b + 1
		} else {
			ram = append(ram, span{max(a, lowest), b + 1})
		}
	}
	for i, r := range ram {
		ram[i] = span{pages(r.from), r.to &^ (memory.Page - 1)}
	}
	ram = slices.DeleteFunc(ram, func(r span) bool { return r.from >= r.to })
	return ram, s.Err()
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

// number reads a sysfs file that holds one number.
func number(path ...string) (uint64, error) {
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 0, 64)
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
