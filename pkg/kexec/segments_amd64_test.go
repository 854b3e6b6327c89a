package kexec

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/u-root/u-root/pkg/boot/kexec"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/pram"
)

// fake is a machine with 1 GiB of memory below 4 GiB and one above, started by EFI. The files are those of Linux 6.1.
func fake(t testing.TB, efi bool) *machine {
	t.Helper()
	return fakeOf(t, fakeFiles(efi))
}

func fakeOf(t testing.TB, files map[string]string) *machine {
	t.Helper()
	m, err := readMachine(writeAll(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// writeAll writes files to a new directory.
func writeAll(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// addMemory adds an entry to the firmware's memory map.
func addMemory(files map[string]string, name string, e [3]string) {
	for i, part := range []string{"start", "end", "type"} {
		files["sys/firmware/memmap/"+name+"/"+part] = e[i] + "\n"
	}
}

func fakeFiles(efi bool) map[string]string {
	params := make([]byte, zeroPage)
	for i := range params {
		params[i] = 0xee // must not be passed on
	}
	copy(params[screenInfo:], "a screen")
	copy(params[acpiRSDP:], "pointers")
	copy(params[eddBuf:], "a disk")
	copy(params[efiInfo:], "EL64\x01\x02\x03\x04")
	copy(params[efiInfo+24:], "\x05\x06\x07\x08")
	params[secureBoot] = 2
	files := map[string]string{
		"sys/kernel/boot_params/data": string(params),
		"proc/iomem": "00000000-00000fff : Reserved\n00001000-0009ffff : System RAM\n00100000-2ce70017 : System RAM\n" +
			"  01000000-02000000 : Kernel code\n2ce70018-2ceace57 : System RAM\n2ceace58-3ffff7ff : System RAM\n" +
			"  30000000-33ffffff : Crash kernel\n50000100-500001ff : System RAM\n" +
			"fd000000-fdffffff : PCI Bus 0000:00\n100000000-13fffffff : System RAM\n",
	}
	for i, e := range []string{
		"0x0 0x9ffff System RAM", "0x100000 0x3fffffff System RAM", "0x100000000 0x13fffffff System RAM",
		"0x40000000 0x4000ffff ACPI Tables", "0xfe000000 0xfeffffff Reserved", "0x50000000 0x5000ffff a new kind",
	} {
		addMemory(files, fmt.Sprint(i), [3]string(strings.SplitN(e, " ", 3)))
	}
	if efi {
		files["sys/firmware/efi/fw_vendor"] = "0x3fbee098\n"
		files["sys/firmware/efi/config_table"] = "0x3f9ec018\n"
		files["sys/firmware/efi/systab"] = "ACPI20=0x3fb7e014\nACPI=0x3fb7e000\nSMBIOS=0x3f9c6000\n"
		for i := range 12 { // "10" sorts before "2"
			for j, name := range []string{"type", "phys_addr", "virt_addr", "num_pages", "attribute"} {
				files[fmt.Sprintf("sys/firmware/efi/runtime-map/%d/%s", i, name)] = fmt.Sprintf("%#x\n", 16*i+j)
			}
		}
	}
	return files
}

// testKernel is the smallest kernel that can be laid out.
func testKernel() []byte {
	b := bytes.Repeat([]byte{0xcc}, 2*512+5000)
	b[setupSects] = 1
	b[jumpOffset] = 0x6a
	copy(b[0x202:], "HdrS")
	le.PutUint32(b[kernelAlignment:], 2<<20)
	b[relocatable] = 1
	le.PutUint16(b[xloadFlags:], 0x7f)
	le.PutUint32(b[initSize:], 40<<20)
	le.PutUint64(b[prefAddress:], 16<<20)
	return b
}

// physical is the memory as the next kernel finds it.
type physical kexec.Segments

func (p physical) at(address, n uint64) []byte {
	for _, s := range p {
		if at := uint64(s.Phys.Start); address >= at && address+n <= at+uint64(len(s.Buf)) {
			return s.Buf[address-at:][:n]
		}
	}
	return nil
}

// table describes n entries of an e820 table.
func (physical) table(b []byte, n int) string {
	var all []string
	for i := range n {
		e := b[20*i:]
		all = append(all, fmt.Sprintf("%x+%x:%d", le.Uint64(e), le.Uint64(e[8:]), le.Uint32(e[16:])))
	}
	return strings.Join(all, " ")
}

// setupData returns the setup data by its types.
func (p physical) setupData(params []byte) (map[uint32][]byte, error) {
	data := map[uint32][]byte{}
	for at := le.Uint64(params[setupData:]); at != 0; {
		head := p.at(at, 16)
		if head == nil {
			return nil, fmt.Errorf("setup data at %#x, where nothing is", at)
		}
		kind, content := le.Uint32(head[8:]), p.at(at+16, uint64(le.Uint32(head[12:])))
		if image, ok := pram.Unmarshal(content); ok && kind == setupNone {
			data[marker] = fmt.Appendf(nil, "%x+%x %d", image.From, image.Room, image.Size)
		} else {
			data[kind] = content
		}
		at = le.Uint64(head)
	}
	return data, nil
}

// marker stands for the type of setup data of package pram.
const marker = 1 << 31

func TestReadRAM(t *testing.T) {
	want := []span{{0x100000, 0x30000000}, {0x34000000, 0x3ffff000}, {0x100000000, 0x140000000}}
	if got := fake(t, false).ram; !slices.Equal(got, want) {
		t.Errorf("readRAM = %#x, want %#x", got, want)
	}
}

func TestLay(t *testing.T) {
	for _, efi := range []bool{false, true} {
		m := fake(t, efi)
		initrd := bytes.Repeat([]byte("initrd"), 1000)
		start, segments, err := m.lay(next{kernel: testKernel(), initrd: initrd, cmdline: "console=ttyS0 quiet"})
		if err != nil {
			t.Fatal(err)
		}
		if err := fits(m, start, segments); err != nil {
			t.Error(err)
		}
		mem, zero := physical(segments), uint64(start)-zeroPage
		params := mem.at(zero, zeroPage)
		both := func(low, high int) uint64 {
			return uint64(le.Uint32(params[low:])) | uint64(le.Uint32(params[high:]))<<32
		}
		if got := mem.at(both(cmdLinePtr, extCmdLinePtr), 20); string(got) != "console=ttyS0 quiet\x00" {
			t.Errorf("the command line is %q", got)
		}
		got := mem.at(both(ramdiskImage, extRamdiskImage), both(ramdiskSize, extRamdiskSize))
		if !bytes.Equal(got, initrd) {
			t.Errorf("the initrd has %d bytes, want %d", len(got), len(initrd))
		}
		if at := both(ramdiskImage, extRamdiskImage); at < 1<<32 {
			t.Errorf("the initrd is at %#x, where memory is scarce", at)
		}
		for at, want := range map[int]string{
			screenInfo: "a ", acpiRSDP: "pointers", eddBuf: "a disk", typeOfLoader: "\xd0\x00", 0x1ef: "\x00",
			// 0x100000 to 0x3fffffff, as kilobytes
			altMemK: "\x00\xfc\x0f\x00", screenExtMemK: "\x00\xfc",
		} {
			if got := params[at:][:len(want)]; string(got) != want {
				t.Errorf("%#x holds %q, want %q", at, got, want)
			}
		}
		const memoryMap = "0+a0000:1 100000+3ff00000:1 40000000+10000:3 " +
			"50000000+10000:2 fe000000+1000000:2 100000000+40000000:1"
		if got := mem.table(params[e820Table:], int(params[e820Entries])); got != memoryMap {
			t.Errorf("the memory is %s, want %s", got, memoryMap)
		}
		// Registers, from the instructions that set them.
		code := mem.at(uint64(start), trampolineSize)
		if got := le.Uint64(code[0x2e:]); got != zero {
			t.Errorf("RSI is %#x, want %#x", got, zero)
		}
		if got := le.Uint64(code[0x38:]); got != uint64(segments[0].Phys.Start)+entry64 {
			t.Errorf("the kernel starts at %#x, lies at %#x", got, segments[0].Phys.Start)
		}

		data, err := mem.setupData(params)
		if err != nil {
			t.Fatal(err)
		}
		if seed := data[setupRNG]; len(seed) != 32 || bytes.Equal(seed, make([]byte, 32)) {
			t.Errorf("the seed is %x", seed)
		}
		info := params[efiInfo:][:32]
		if !efi {
			if len(data) != 1 || !bytes.Equal(info, make([]byte, 32)) {
				t.Errorf("without EFI there are %d pieces of setup data and efi_info %x", len(data), info)
			}
			continue
		}
		setup := data[setupEFI]
		if len(setup) != 96 || le.Uint64(setup) != 0x3fbee098 || le.Uint64(setup[16:]) != 0x3f9ec018 ||
			le.Uint64(setup[24:]) != 0x3f9c6000 {
			t.Errorf("efi_setup_data is %x", setup)
		}
		if string(info[:8]) != "EL64\x01\x02\x03\x04" || le.Uint32(info[8:]) != efiDescriptor ||
			string(info[24:28]) != "\x05\x06\x07\x08" || params[secureBoot] != 2 {
			t.Errorf("efi_info is %x, secure_boot %d", info, params[secureBoot])
		}
		efiMap := mem.at(uint64(le.Uint32(info[16:]))|uint64(le.Uint32(info[28:]))<<32, uint64(le.Uint32(info[20:])))
		if len(efiMap) != 12*efiDescriptor || !bytes.Equal(efiMap, data[setupNone]) {
			t.Fatalf("EFI's memory map has %d bytes", len(efiMap))
		}
		for i := range 12 {
			for j := range 5 {
				if got := le.Uint64(efiMap[i*efiDescriptor+8*j:]); got != uint64(16*i+j) {
					t.Errorf("EFI's memory map, entry %d, field %d: %#x", i, j, got)
				}
			}
		}
	}
}

// fits checks what kexec_load requires of segments (kernel/kexec_core.c, sanity_check_segment_list), and that they are
// in RAM.
func fits(m *machine, start uintptr, segments kexec.Segments) error {
	sorted := slices.Clone(segments)
	slices.SortFunc(sorted, func(a, b kexec.Segment) int { return cmp.Compare(a.Phys.Start, b.Phys.Start) })
	var end uintptr
	for _, s := range sorted {
		at, room := s.Phys.Start, uintptr(s.Phys.Size)
		if at%memory.Page != 0 || room%memory.Page != 0 || uintptr(len(s.Buf)) > room || at < end {
			return fmt.Errorf("a segment of %d bytes at %#x with room for %d, where %#x is the first free address",
				len(s.Buf), at, room, end)
		}
		end = at + room
		if !slices.ContainsFunc(m.ram, func(r span) bool { return uint64(at) >= r.from && uint64(end) <= r.to }) {
			return fmt.Errorf("a segment at %#x, where there is no memory", at)
		}
	}
	if !segments.PhysContains(start) {
		return fmt.Errorf("the start, %#x, is in no segment", start)
	}
	return nil
}

// TestLayNot has kernels that lay refuses, so that kexec_file_load may try them.
func TestLayNot(t *testing.T) {
	m := fake(t, true)
	for name, change := range map[string]func([]byte) []byte{
		"nothing":        func(b []byte) []byte { return b[:0] },
		"short":          func(b []byte) []byte { return b[:setupHeaderEnd-1] },
		"no code":        func(b []byte) []byte { return b[:2*512] },
		"no magic":       func(b []byte) []byte { b[0x202] = 0; return b },
		"32 bits":        func(b []byte) []byte { b[xloadFlags] &^= 1; return b },
		"4-level paging": func(b []byte) []byte { b[xloadFlags] &^= 1 << 5; return b },
		"fixed":          func(b []byte) []byte { b[relocatable] = 0; return b },
		"old header":     func(b []byte) []byte { b[jumpOffset] = 0x62; return b },
		"long header":    func(b []byte) []byte { b[jumpOffset] = 0xff; return b },
		"no alignment":   func(b []byte) []byte { le.PutUint32(b[kernelAlignment:], 0); return b },
		"odd alignment":  func(b []byte) []byte { le.PutUint32(b[kernelAlignment:], 5<<20); return b },
		"no room":        func(b []byte) []byte { le.PutUint32(b[initSize:], 4096); return b },
		"too much room":  func(b []byte) []byte { le.PutUint32(b[initSize:], 3<<30); return b },
	} {
		if _, _, err := m.lay(next{kernel: change(testKernel()), initrd: []byte("initrd")}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := readMachine(t.TempDir()); err == nil {
		t.Error("a machine without /sys: no error")
	}
}

// TestNoSectors has a kernel from before the field with the number of sectors.
func TestNoSectors(t *testing.T) {
	b := testKernel()
	b[setupSects] = 0
	_, segments, err := fake(t, false).lay(next{kernel: b, initrd: []byte("initrd")})
	if err != nil || len(segments[0].Buf) != len(b)-5*512 {
		t.Errorf("lay = %v, %v", segments, err)
	}
}

func TestSegmentSize(t *testing.T) {
	if n := unsafe.Sizeof(rawSegment{}); n != 32 {
		t.Errorf("struct kexec_segment has 32 bytes, rawSegment %d", n)
	}
}

func FuzzLay(f *testing.F) {
	f.Add(testKernel(), 100, 20, 0)
	f.Add(testKernel(), 100, 20, 3<<20+1)
	m := fake(f, true)
	f.Fuzz(func(t *testing.T, kernel []byte, initrd, line, image int) {
		if initrd <= 0 || initrd > 1<<20 || line < 0 || line > 1<<16 || image < 0 || image > 5<<20 {
			return
		}
		start, segments, err := m.lay(next{kernel: kernel, initrd: make([]byte, initrd), image: make([]byte, image),
			cmdline: strings.Repeat("x", line)})
		if err != nil {
			return
		}
		if err := fits(m, start, segments); err != nil {
			t.Error(err)
		}
	})
}

// TestCopies asks the running kernel, and leaves the loaded kernel as it is.
func TestCopies(t *testing.T) {
	before, _ := Loaded() // false as well where a kernel knows no kexec
	if n := Copies(); n != 1 && n != 2 {
		t.Errorf("Copies = %d", n)
	}
	if after, _ := Loaded(); after != before {
		t.Errorf("loaded: %v before, %v after", before, after)
	}
	if os.Geteuid() != 0 && segmentsAllowed() {
		t.Error("a kernel that lets anybody start another")
	}
}

// TestSubmit checks that the running kernel is never asked to jump to an address outside of the segments.
func TestSubmit(t *testing.T) {
	segments := kexec.Segments{newSegment(1<<20, memory.Page, []byte("x"))}
	for _, entry := range []uintptr{0, 1<<20 - 1, 1<<20 + memory.Page} {
		if err := submit(entry, segments); err == nil || !strings.Contains(err.Error(), "is in none of the segments") {
			t.Errorf("submit with the entry %#x = %v, want an error", entry, err)
		}
	}
}
