package kexec

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// machine is what the running kernel knows about the machine and the next kernel must be told.
type machine struct {
	params   []byte   // boot_params as the running kernel was started with
	memory   []region // the firmware's memory map, with images given back
	ram      []span   // memory that segments may be put into
	efiMap   []byte   // the part of EFI's memory map that runtime services need; empty without EFI
	efiSetup []byte   // addresses that SetVirtualAddressMap has changed in EFI's tables: struct efi_setup_data
}

// lowest is the lowest address for segments: firmware and kernels use the first MiB for fixed purposes.
const lowest = 1 << 20

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
	if err := m.takeBack(root, ram); err != nil {
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

// tell writes what a zero page says about the machine, whose memory these regions are.
func (m *machine) tell(params []byte, regions []region, efiMapAt uint64) {
	for _, same := range []span{
		{screenInfo, screenInfoEnd}, {acpiRSDP, acpiRSDPEnd}, {eddCounts, eddCountsEnd}, {subarch, subarchEnd},
		{mbrSignatures, mbrSignaturesEnd}, {eddBuf, eddBufEnd},
	} {
		copy(params[same.from:same.to], m.params[same.from:])
	}
	// How much memory there is above 1 MiB, in two fields, one of 16 bits.
	le.PutUint16(params[screenExtMemK:], 0)
	copy(params[e820Table:], e820(regions))
	for _, r := range regions {
		if r.kind == systemRAM && r.from <= 1<<20 && r.to > 1<<20 {
			kib := (r.to - 1<<20) >> 10
			le.PutUint16(params[screenExtMemK:], uint16(min(kib, 0xfc00)))
			le.PutUint32(params[altMemK:], uint32(min(kib, 0xffffffff)))
		}
	}
	params[e820Entries] = byte(len(regions))
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
