package kexec

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/boot/kexec"
	"github.com/u-root/u-root/pkg/dt"
	"golang.org/x/arch/arm64/arm64asm"
)

// uefiMemory is /proc/iomem of a machine with UEFI and ACPI and 1536 MiB of memory: QEMU 7.2, Linux 6.1.
const uefiMemory = `04000000-07ffffff : reserved
09000000-09000fff : ARMH0011:00
  09000000-09000fff : ARMH0011:00 ARMH0011:00
10000000-3efeffff : PCI Bus 0000:00
40000000-9c43ffff : System RAM
  90800000-947fffff : reserved
  94900000-96c2cfff : reserved
  96c50000-97fcffff : Kernel code
  97fd0000-9844ffff : reserved
  98450000-986effff : Kernel data
  99f00000-99f00fff : reserved
  9a100000-9a10ffff : reserved
  9a112000-9a112fff : reserved
9c440000-9c72ffff : reserved
9c730000-9fbfffff : System RAM
  9d293000-9d293fff : reserved
  9db00000-9f7fffff : reserved
  9f888000-9f888fff : reserved
  9f889000-9f900fff : reserved
  9f903000-9f904fff : reserved
  9f905000-9f919fff : reserved
  9f91a000-9fbfffff : reserved
9fc00000-9ffdffff : reserved
9ffe0000-9fffffff : System RAM
  9ffe0000-9fffffff : reserved
4010000000-401fffffff : PCI ECAM
8000000000-ffffffffff : PCI Bus 0000:00
`

// uefiTree is /sys/firmware/fdt of that machine, which the EFI stub has made.
const uefiTree = `
0A3+7QAAAdkAAAA4AAABKAAAACgAAAARAAAAEAAAAAAAAACxAAAA8AAAAAAAAAAAAAAAAAAAAAAA
AAABAAAAAAAAAAMAAAAEAAAADwAAAAIAAAADAAAABAAAAAAAAAACAAAAAWNob3NlbgAAAAAAAwAA
AAQAAACaAAAAAgAAAAMAAAAEAAAAgQAAAAEAAAADAAAABAAAAGcAAAAwAAAAAwAAAAQAAABSAAAG
MAAAAAMAAAAIAAAAPAAAAACaENnAAAAAAwAAAAgAAAAkAAAAAJ/9ABgAAAADAAAAPAAAABtjb25z
b2xlPXR0eUFNQTAgbG9nbGV2ZWw9NyBreC5zdGFnZT0xIGt4PW91cnMgaW5pdHJkPWluaXRyZAAA
AAACAAAAAgAAAAkjYWRkcmVzcy1jZWxscwAjc2l6ZS1jZWxscwBib290YXJncwBsaW51eCx1ZWZp
LXN5c3RlbS10YWJsZQBsaW51eCx1ZWZpLW1tYXAtc3RhcnQAbGludXgsdWVmaS1tbWFwLXNpemUA
bGludXgsdWVmaS1tbWFwLWRlc2Mtc2l6ZQBsaW51eCx1ZWZpLW1tYXAtZGVzYy12ZXIAbGludXgs
dWVmaS1zZWN1cmUtYm9vdAA=`

// plainMemory is /proc/iomem of a machine that was started with a device tree: a crash kernel is in it, a device's
// memory, and more memory far above.
const plainMemory = `09000000-09000fff : pl011@9000000
40000000-9fffffff : System RAM
  40210000-4158ffff : Kernel code
  41590000-41a0ffff : reserved
  41a10000-41caffff : Kernel data
  48000000-4a32cfff : reserved
    48000000-48000fff : a part of it
  90000000-97ffffff : Crash kernel
880000000-8bfffffff : System RAM
  8b0000800-8b00017ff : reserved
900000000-93fffffff : Persistent Memory
  900000000-93fffffff : System RAM (kmem)
`

// plainTree is a machine's device tree as a boot loader leaves it, from which a kernel was started by kexec.
func plainTree(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	tree := &dt.FDT{
		Header: dt.Header{Magic: dt.Magic, Version: 17, LastCompVersion: 16},
		ReserveEntries: []dt.ReserveEntry{{Address: 0x1000, Size: 0x2000}, {Address: 0x48000000, Size: 0x2000000},
			{Address: 0x48000000, Size: 0x1000}},
		RootNode: &dt.Node{Properties: []dt.Property{{Name: "compatible", Value: []byte("linux,dummy-virt\x00")}},
			Children: []*dt.Node{
				{Name: "chosen", Properties: []dt.Property{
					{Name: "stdout-path", Value: []byte("/pl011@9000000\x00")},
					{Name: "kaslr-seed", Value: make([]byte, 8)},
					{Name: "rng-seed", Value: bytes.Repeat([]byte{7}, 64)},
					{Name: "linux,initrd-start", Value: []byte{0x48, 0, 0, 0}},
					{Name: "linux,initrd-end", Value: []byte{0x49, 0xff, 0xff, 0x23}},
					{Name: "bootargs", Value: []byte("secret=old\x00")},
					{Name: "linux,elfcorehdr", Value: make([]byte, 16)},
					{Name: "linux,usable-memory-range", Value: make([]byte, 16)},
					{Name: "linux,ima-kexec-buffer", Value: make([]byte, 16)},
					{Name: "linux,kho-fdt", Value: make([]byte, 16)},
					{Name: "linux,kho-scratch", Value: make([]byte, 16)},
				}},
				{Name: "pl011@9000000", Properties: []dt.Property{{Name: "reg", Value: []byte{9, 0, 0, 0}}}},
			}},
	}
	if _, err := tree.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fakeBoard is a machine with such files.
func fakeBoard(t testing.TB, iomem string, tree []byte, page uint64, midr ...string) *board {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{"proc/iomem": iomem, "sys/firmware/fdt": string(tree)}
	for i, m := range midr {
		files[fmt.Sprintf("sys/devices/system/cpu/cpu%d/regs/identification/midr_el1", i)] = m + "\n"
	}
	for name, content := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := readBoard(root, page)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func uefiBoard(t testing.TB, page uint64) *board {
	t.Helper()
	tree, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(uefiTree, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return fakeBoard(t, uefiMemory, tree, page)
}

// arm64Image is an arm64 kernel of 30000 bytes that needs a MiB and a bit.
func arm64Image() []byte {
	b := bytes.Repeat([]byte{0xcc}, 30000)
	le.PutUint64(b[textOffset:], 0)
	le.PutUint64(b[imageSize:], 1<<20+0x1234)
	le.PutUint64(b[imageFlags:], 1<<1|anyPlace)
	copy(b[imageMagic:], "ARM\x64")
	return b
}

// TestReadReserved reads the memory of two machines, with pages of two sizes.
func TestReadReserved(t *testing.T) {
	for _, c := range []struct {
		iomem string
		page  uint64
		want  []span
	}{
		{uefiMemory, 4 << 10, []span{
			{0x40000000, 0x90800000}, {0x94800000, 0x94900000}, {0x96c2d000, 0x97fd0000}, {0x98450000, 0x99f00000},
			{0x99f01000, 0x9a100000}, {0x9a110000, 0x9a112000}, {0x9a113000, 0x9c440000}, {0x9c730000, 0x9d293000},
			{0x9d294000, 0x9db00000}, {0x9f800000, 0x9f888000}, {0x9f901000, 0x9f903000},
		}},
		{uefiMemory, 64 << 10, []span{
			{0x40000000, 0x90800000}, {0x94800000, 0x94900000}, {0x96c30000, 0x97fd0000}, {0x98450000, 0x99f00000},
			{0x99f10000, 0x9a100000}, {0x9a120000, 0x9c440000}, {0x9c730000, 0x9d290000},
			{0x9d2a0000, 0x9db00000}, {0x9f800000, 0x9f880000},
		}},
		{plainMemory, 4 << 10, []span{
			{0x40000000, 0x41590000}, {0x41a10000, 0x48000000}, {0x4a32d000, 0x90000000}, {0x98000000, 0xa0000000},
			{0x880000000, 0x8b0000000}, {0x8b0002000, 0x8c0000000},
		}},
		{"00000000-00000000 : System RAM\n", 4 << 10, nil}, // as others than root see it
		{"40000000-zz : System RAM\n50000000-4fffffff : System RAM\n0-ffffffffffffffff : System RAM\nSystem RAM\n-\n",
			4 << 10, nil},
	} {
		name := filepath.Join(t.TempDir(), "iomem")
		if err := os.WriteFile(name, []byte(c.iomem), 0o600); err != nil {
			t.Fatal(err)
		}
		ram, err := readRAM(name, 0)
		if got := whole(ram, c.page); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("pages of %d: %#x, %v, want %#x", c.page, got, err, c.want)
		}
	}
}

// TestAdded has memory that was added to the running machine: above and below, and beside the other. It is used only if
// there is no room elsewhere.
func TestAdded(t *testing.T) {
	const iomem = "40000000-4fffffff : System RAM\n80000000-87ffffff : System RAM\n  80210000-8158ffff : Kernel code\n" +
		"  87f00000-87ffffff : reserved\n88000000-9fffffff : System RAM\n100000000-17fffffff : System RAM\n"
	b := fakeBoard(t, iomem, plainTree(t), 4<<10)
	if want := []span{{0x80000000, 0x87f00000}}; !slices.Equal(b.sure, want) || len(b.ram) != 4 {
		t.Errorf("sure is %#x of %#x, want %#x", b.sure, b.ram, want)
	}
	for size, inside := range map[int]bool{100: true, 100 << 20: true, 127 << 20: false} {
		_, segments, err := b.lay(next{kernel: arm64Image(), initrd: make([]byte, size)})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range segments {
			if at := s.Phys.Start; (at >= 0x80000000 && at < 0x88000000) != inside {
				t.Errorf("an initrd of %d: a segment at %#x", size, at)
			}
		}
	}
}

// TestBoardLay reads back what the next kernel finds.
func TestBoardLay(t *testing.T) {
	for name, b := range map[string]*board{
		"UEFI":           uefiBoard(t, 4<<10),
		"UEFI, 64K":      uefiBoard(t, 64<<10),
		"device tree":    fakeBoard(t, plainMemory, plainTree(t), 4<<10),
		"16K, no window": fakeBoard(t, plainMemory, plainTree(t), 16<<10),
	} {
		for _, offset := range []uint64{0, 0x80000} {
			for _, size := range []int{1, 5000, 1<<20 + 5, 100 << 20} {
				kernel, initrd := arm64Image(), bytes.Repeat([]byte("i"), size)
				le.PutUint64(kernel[textOffset:], offset)
				entry, segments, err := b.lay(next{kernel: kernel, initrd: initrd, cmdline: "console=ttyAMA0 quiet"})
				if err == nil {
					err = fitsBoard(b, entry, segments)
				}
				if err == nil {
					err = follow(segments, entry, kernel, initrd)
				}
				if err != nil {
					t.Errorf("%s, offset %#x, initrd of %d: %v", name, offset, size, err)
				}
			}
		}
	}
}

// fitsBoard checks what kexec_load requires of segments, and booting.rst of a kernel's place.
func fitsBoard(b *board, entry uintptr, segments kexec.Segments) error {
	sorted := slices.Clone(segments)
	slices.SortFunc(sorted, func(a, b kexec.Segment) int { return cmp.Compare(a.Phys.Start, b.Phys.Start) })
	var end uint64
	for _, s := range sorted {
		at, room := uint64(s.Phys.Start), uint64(s.Phys.Size)
		if at%b.page != 0 || room%b.page != 0 || uint64(len(s.Buf)) > room || at < end {
			return fmt.Errorf("a segment of %d bytes at %#x with room for %d, where %#x is the first free address",
				len(s.Buf), at, room, end)
		}
		end = at + room
		if !slices.ContainsFunc(b.ram, func(r span) bool { return at >= r.from && end <= r.to }) {
			return fmt.Errorf("a segment at %#x, where there is no memory, or it is reserved", at)
		}
	}
	if len(segments) > maxSegments || !segments.PhysContains(entry) || entry%8 != 0 {
		return fmt.Errorf("%d segments, entry %#x", len(segments), entry)
	}
	return nil
}

// follow follows the pointers from the entry on.
func follow(segments kexec.Segments, entry uintptr, kernel, initrd []byte) error {
	at := func(address, n uint64) []byte {
		var b []byte
		for n > 0 {
			i := slices.IndexFunc(segments, func(s kexec.Segment) bool {
				return address >= uint64(s.Phys.Start) && address < uint64(s.Phys.Start)+uint64(len(s.Buf))
			})
			if i < 0 {
				return nil
			}
			part := segments[i].Buf[address-uint64(segments[i].Phys.Start):]
			part = part[:min(n, uint64(len(part)))]
			b, address, n = append(b, part...), address+uint64(len(part)), n-uint64(len(part))
		}
		return b
	}
	registers, kernelAt, err := execute(at(uint64(entry), 40), uint64(entry))
	if err != nil {
		return err
	}
	if registers["X1"] != 0 || registers["X2"] != 0 || registers["X3"] != 0 {
		return fmt.Errorf("the registers are %v", registers)
	}
	offset := le.Uint64(kernel[textOffset:])
	if (kernelAt-offset)%(2<<20) != 0 || !bytes.Equal(at(kernelAt, uint64(len(kernel))), kernel) {
		return fmt.Errorf("no kernel at %#x", kernelAt)
	}
	treeAt := registers["X0"]
	head := at(treeAt, 8)
	if head == nil || treeAt%(2<<20) != 0 {
		return fmt.Errorf("no device tree at %#x", treeAt)
	}
	tree, err := dt.ReadFDT(bytes.NewReader(at(treeAt, uint64(binary.BigEndian.Uint32(head[4:])))))
	if err != nil {
		return err
	}
	chosen, ok := tree.NodeByName("chosen")
	if !ok {
		return fmt.Errorf("no /chosen")
	}
	start, err1 := chosen.LookProperty("linux,initrd-start")
	last, err2 := chosen.LookProperty("linux,initrd-end")
	if !err1 || !err2 {
		return fmt.Errorf("no initrd")
	}
	a, b := binary.BigEndian.Uint64(start.Value), binary.BigEndian.Uint64(last.Value)
	if !bytes.Equal(at(a, b-a), initrd) {
		return fmt.Errorf("another initrd at %#x", a)
	}
	// What is in the last page of 64 KiB of the initrd.
	for _, s := range segments {
		if p := uint64(s.Phys.Start); p > a && p < roundUp(b, 64<<10) && p >= b {
			return fmt.Errorf("a segment at %#x, in the last page of the initrd", p)
		}
	}
	const gib = 1 << 30
	lowest, highest := min(a, kernelAt), max(b, kernelAt+le.Uint64(kernel[imageSize:]))
	if (highest+gib-1)/gib-lowest/gib > 32 {
		return fmt.Errorf("initrd at %#x and kernel at %#x are too far from each other", a, kernelAt)
	}
	return nil
}

// execute runs the instructions of a stub, as an independent decoder reads them.
func execute(code []byte, pc uint64) (map[string]uint64, uint64, error) {
	begin, x := pc, map[string]uint64{"X1": 1, "X2": 2, "X3": 3, "XZR": 0}
	for range 8 {
		i, err := arm64asm.Decode(code[pc-begin:])
		if err != nil {
			return nil, 0, err
		}
		switch i.Op {
		case arm64asm.LDR:
			from := pc + uint64(i.Args[1].(arm64asm.PCRel))
			if from%8 != 0 { // the MMU is off: memory is accessed like a device's
				return nil, 0, fmt.Errorf("%v at %#x loads from %#x", i, pc, from)
			}
			x[i.Args[0].String()] = le.Uint64(code[from-begin:])
		case arm64asm.MOV:
			x[i.Args[0].String()] = x[i.Args[1].String()]
		case arm64asm.BR:
			return x, x[i.Args[0].String()], nil
		default:
			return nil, 0, fmt.Errorf("%v at %#x", i, pc)
		}
		pc += 4
	}
	return nil, 0, fmt.Errorf("the stub has no end")
}

// TestTell compares /chosen before and after, and all else in the tree.
func TestTell(t *testing.T) {
	read := func(b []byte) *dt.FDT {
		tree, err := dt.ReadFDT(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	uefi := uefiBoard(t, 4<<10)
	for name, c := range map[string]struct {
		b        *board
		keep     map[string]string
		reserved []dt.ReserveEntry
		nodes    int
	}{
		"UEFI": {uefi, map[string]string{
			"linux,uefi-system-table":   "\x00\x00\x00\x00\x9f\xfd\x00\x18",
			"linux,uefi-mmap-start":     "\x00\x00\x00\x00\x9a\x10\xd9\xc0",
			"linux,uefi-mmap-size":      "\x00\x00\x06\x30",
			"linux,uefi-mmap-desc-size": "\x00\x00\x00\x30",
			"linux,uefi-mmap-desc-ver":  "\x00\x00\x00\x01",
			"linux,uefi-secure-boot":    "\x00\x00\x00\x02",
		}, nil, 1},
		"device tree": {fakeBoard(t, plainMemory, plainTree(t), 4<<10),
			map[string]string{"stdout-path": "/pl011@9000000\x00"},
			[]dt.ReserveEntry{{Address: 0x1000, Size: 0x2000}, {Address: 0x48000000, Size: 0x1000}}, 2},
	} {
		seeds := map[string]bool{}
		for range 2 {
			out, err := c.b.tell(0x123456000, 0x1001, "a=1 b")
			if err != nil {
				t.Fatal(err)
			}
			tree := read(out)
			want := map[string]string{
				"linux,initrd-start": "\x00\x00\x00\x01\x23\x45\x60\x00",
				"linux,initrd-end":   "\x00\x00\x00\x01\x23\x45\x70\x01",
				"bootargs":           "a=1 b\x00",
			}
			for k, v := range c.keep {
				want[k] = v
			}
			chosen, _ := tree.NodeByName("chosen")
			for _, p := range chosen.Properties {
				switch size := map[string]int{"kaslr-seed": 8, "rng-seed": 32}[p.Name]; {
				case size == 0 && want[p.Name] != string(p.Value):
					t.Errorf("%s: %s is %q, want %q", name, p.Name, p.Value, want[p.Name])
				case size != 0 && (len(p.Value) != size || seeds[string(p.Value)]):
					t.Errorf("%s: %s is %x", name, p.Name, p.Value)
				case size != 0:
					seeds[string(p.Value)] = true
				}
				delete(want, p.Name)
			}
			if len(want) > 0 {
				t.Errorf("%s: /chosen has no %q", name, want)
			}
			if !slices.Equal(tree.ReserveEntries, c.reserved) || len(tree.RootNode.Children) != c.nodes {
				t.Errorf("%s: reserved are %#x, nodes %d", name, tree.ReserveEntries, len(tree.RootNode.Children))
			}
		}
		if len(seeds) != 4 {
			t.Errorf("%s: %d different seeds, want 4", name, len(seeds))
		}
	}
}

// TestBoardRefuses has kernels that cannot start, and machines that have no room.
func TestBoardRefuses(t *testing.T) {
	put := func(at int, value uint64) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint64(b[at:], value); return b }
	}
	const flags4K = 1<<1 | anyPlace
	for name, c := range map[string]struct {
		change func([]byte) []byte
		midr   []string
		want   string
	}{
		"nothing":             {func(b []byte) []byte { return nil }, nil, "no arm64 Image"},
		"short":               {func(b []byte) []byte { return b[:63] }, nil, "no arm64 Image"},
		"no magic":            {put(imageMagic, 0), nil, "no arm64 Image"},
		"before 3.17":         {put(imageSize, 0), nil, "4.6"},
		"before 4.6":          {put(imageFlags, 1<<1), nil, "4.6"},
		"big-endian":          {put(imageFlags, flags4K|1), nil, "big-endian"},
		"large":               {put(imageSize, 1<<40), nil, "damaged"},
		"very large":          {put(imageSize, 1<<64-1), nil, "damaged"},
		"far away":            {put(textOffset, 2<<20), nil, "damaged"},
		"overflow":            {put(textOffset, 1<<64-0x1000), nil, "damaged"},
		"in a page":           {put(textOffset, 0x80), nil, "damaged"},
		"no room":             {put(imageSize, 1<<30), nil, "no stretch of memory"},
		"16K on a Cortex-A72": {put(imageFlags, 2<<1|anyPlace), []string{"0x00000000410fd083"}, "pages of 16 KiB"},
		"16K on one of two": {put(imageFlags, 2<<1|anyPlace), []string{"0x00000000414fd0c1", "0x00000000410fd034"},
			"pages of 16 KiB"},
		"64K on an Apple": {put(imageFlags, 3<<1|anyPlace), []string{"0x00000000611f0221"}, "pages of 64 KiB"},
	} {
		b := fakeBoard(t, "40000000-47ffffff : System RAM\n", plainTree(t), 4<<10, c.midr...)
		_, _, err := b.lay(next{kernel: c.change(arm64Image()), initrd: []byte("initrd")})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		flags uint64
		midr  []string
		page  uint64
	}{
		"64K on a Cortex-A72":   {3<<1 | anyPlace, []string{"0x00000000410fd083"}, 4 << 10},
		"16K on a Neoverse-N1":  {2<<1 | anyPlace, []string{"0x00000000413fd0c1"}, 4 << 10},
		"16K on an Apple":       {2<<1 | anyPlace, []string{"0x00000000611f0221"}, 4 << 10},
		"as the running kernel": {2<<1 | anyPlace, []string{"0x00000000410fd083"}, 16 << 10},
		"not known":             {2<<1 | anyPlace, nil, 4 << 10},
		"not told":              {anyPlace, []string{"0x00000000410fd083"}, 4 << 10},
	} {
		b := fakeBoard(t, plainMemory, plainTree(t), c.page, c.midr...)
		if _, _, err := b.lay(next{kernel: put(imageFlags, c.flags)(arm64Image()), initrd: []byte("initrd")}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadBoard has machines that cannot be read.
func TestReadBoard(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"proc/iomem": {"sys/firmware/fdt": string(plainTree(t))},
		"device tree, /sys/firmware/fdt: no such file": {"proc/iomem": plainMemory},
		"device tree, /sys/firmware/fdt: no flattened": {"proc/iomem": plainMemory, "sys/firmware/fdt": "firmware"},
		"device tree, /sys/firmware/fdt: it has more than 2048 KiB": {"proc/iomem": plainMemory,
			"sys/firmware/fdt": string(plainTree(t)) + strings.Repeat("x", 2<<20)},
	} {
		root := t.TempDir()
		for name, content := range files {
			name = filepath.Join(root, name)
			os.MkdirAll(filepath.Dir(name), 0o755)
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := readBoard(root, 4<<10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}

// FuzzBoardLay has any kernel and sizes on two machines.
func FuzzBoardLay(f *testing.F) {
	f.Add(arm64Image(), 100, 20, false)
	boards := map[bool]*board{
		false: uefiBoard(f, 4<<10),
		true:  fakeBoard(f, plainMemory, plainTree(f), 64<<10, "0x00000000410fd083"),
	}
	f.Fuzz(func(t *testing.T, kernel []byte, initrd, line int, plain bool) {
		if initrd <= 0 || initrd > 1<<20 || line < 0 || line > 1<<16 {
			return
		}
		b := boards[plain]
		entry, segments, err := b.lay(next{kernel: kernel, initrd: make([]byte, initrd), cmdline: strings.Repeat("x", line)})
		if err != nil {
			return
		}
		if err := fitsBoard(b, entry, segments); err != nil {
			t.Error(err)
		}
	})
}
