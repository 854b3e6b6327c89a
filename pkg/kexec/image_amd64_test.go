package kexec

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/boot/kexec"

	"gitlab.com/wyrcan/wyrcan/pkg/pram"
)

// TestLayImage leaves images of several sizes in the memory of a machine that has most of it below 4 GiB.
func TestLayImage(t *testing.T) {
	for _, c := range []struct {
		size int
		want string // the memory as the next kernel is told
	}{
		{1, "0+a0000:1 100000+3ff00000:1 40000000+10000:3 50000000+10000:2 fe000000+1000000:2 " +
			"100000000+3fe00000:1 13fe00000+200000:12"},
		{2 << 20, "0+a0000:1 100000+3ff00000:1 40000000+10000:3 50000000+10000:2 fe000000+1000000:2 " +
			"100000000+3fe00000:1 13fe00000+200000:12"},
		{5<<20 + 1, "0+a0000:1 100000+3ff00000:1 40000000+10000:3 50000000+10000:2 fe000000+1000000:2 " +
			"100000000+3fa00000:1 13fa00000+600000:12"},
	} {
		for _, efi := range []bool{false, true} {
			m := fake(t, efi)
			content := bytes.Repeat([]byte{0xab}, c.size)
			n := next{kernel: testKernel(), initrd: []byte("initrd"), image: content, cmdline: "quiet"}
			start, segments := laid(t, m, n)
			mem := physical(segments)
			params := mem.at(uint64(start)-zeroPage, zeroPage)
			if got := mem.table(params[e820Table:], int(params[e820Entries])); got != c.want {
				t.Errorf("%d bytes: the memory is\n%s, want\n%s", c.size, got, c.want)
			}
			data, err := mem.setupData(params)
			if err != nil {
				t.Fatal(err)
			}
			room := (c.size + pram.Unit - 1) / pram.Unit * pram.Unit
			from := uint64(0x140000000 - room)
			if got, want := string(data[marker]), fmt.Sprintf("%x+%x %d", from, room, c.size); got != want {
				t.Errorf("%d bytes: the setup data says %q, want %q", c.size, got, want)
			}
			if got := mem.at(from, uint64(c.size)); !bytes.Equal(got, content) {
				t.Errorf("%d bytes: other bytes are at %#x", c.size, from)
			}
			if efi && len(data[setupEFI]) == 0 {
				t.Error("EFI is forgotten")
			}
			// As long as an image is there, it is no RAM, so that nothing else is in its memory.
			for _, s := range segments {
				at := uint64(s.Phys.Start)
				if inside := at < from+uint64(room) && from < at+uint64(s.Phys.Size); inside && !holds(content, s) {
					t.Errorf("something else than the image is at %#x", at)
				}
			}
			if n := len(segments); n > maxSegments {
				t.Errorf("there are %d segments", n)
			}
		}
	}
}

// laid returns what a machine lays out, which has to fit.
func laid(t *testing.T, m *machine, n next) (uintptr, kexec.Segments) {
	t.Helper()
	start, segments, err := m.lay(n)
	if err != nil {
		t.Fatal(err)
	}
	if err := fits(m, start, segments); err != nil {
		t.Error(err)
	}
	return start, segments
}

func holds(content []byte, s kexec.Segment) bool {
	return len(s.Buf) > 0 && bytes.Contains(content, s.Buf)
}

// TestImageInParts has memory of which nearly every page is idle in another way. Image and initrd are cut into parts,
// of which there are no more than the kernel takes.
func TestImageInParts(t *testing.T) {
	image, initrd := make([]byte, 200<<20), make([]byte, 30<<20)
	for i := range image {
		image[i] = byte(i >> 12 * 7)
	}
	free := place{span: span{2 << 20, 2<<20 + 200<<20}, page: 4096}
	for i := range 200 << 20 / 4096 {
		free.idle = append(free.idle, i%7 == 0 || i/1000%2 == 0)
	}
	segments := free.segments(image, maxSegments-2-fewParts)
	more := place{span: span{1 << 30, 1<<30 + 30<<20}, page: 4096, idle: free.idle[:30<<20/4096]}
	segments = append(segments, more.segments(initrd, maxSegments-2-len(segments))...)
	if n := len(segments); n < 5 || n > maxSegments-2 {
		t.Errorf("there are %d segments", n)
	}
	got := make([]byte, len(image))
	for _, s := range segments {
		if at := int(s.Phys.Start); at < 1<<30 {
			copy(got[at-2<<20:], s.Buf)
		}
	}
	if !bytes.Equal(got, image) {
		t.Error("the image's parts are not the image")
	}
}

// given is the image's memory in the fake machine, in the midst of the upper GiB.
var given = pram.Image{From: 0x110000000, Room: 0x8000000, Size: 1}

// afterImage has the fake machine's files in a system that an image was left for.
func afterImage() map[string]string {
	files := fakeFiles(false)
	files["proc/iomem"] = strings.Replace(files["proc/iomem"], "100000000-13fffffff : System RAM\n",
		"100000000-10fffffff : System RAM\n110000000-117ffffff : Persistent Memory (legacy)\n"+
			"  110000000-117ffffff : namespace0.0\n118000000-13fffffff : System RAM\n", 1)
	addMemory(files, "2", [3]string{"0x100000000", "0x10fffffff", "System RAM"})
	addMemory(files, "6", [3]string{"0x110000000", "0x117ffffff", "Persistent Memory (legacy)"})
	addMemory(files, "7", [3]string{"0x118000000", "0x13fffffff", "System RAM"})
	return files
}

// TestTakeBack reads a machine in which there is an image: it is RAM for the next kernel, and segments may go there.
// Other memory of that kind, which the firmware has told of, stays what it is.
func TestTakeBack(t *testing.T) {
	data := func(i pram.Image) string { return string(i.Marshal()) }
	const dir = "sys/kernel/boot_params/setup_data/"
	whole := []span{{0x100000, 0x30000000}, {0x34000000, 0x3ffff000}, {0x100000000, 0x140000000}}
	cut := []span{{0x100000, 0x30000000}, {0x34000000, 0x3ffff000}, {0x100000000, 0x110000000}, {0x118000000, 0x140000000}}
	const below = "0+a0000:1 100000+3ff00000:1 40000000+10000:3 50000000+10000:2 fe000000+1000000:2 "
	const again = below + "100000000+40000000:1"
	const kept = below + "100000000+10000000:1 110000000+8000000:12 118000000+28000000:1"
	for name, c := range map[string]struct {
		change func(files map[string]string)
		ram    []span
		table  string
	}{
		"ours": {func(files map[string]string) { files[dir+"0/data"] = data(given) }, whole, again},
		"ours among others": {func(files map[string]string) {
			files[dir+"0/data"] = strings.Repeat("\x07", 32)
			files[dir+"1/data"] = data(given)
		}, whole, again},
		"the firmware's": {func(map[string]string) {}, cut, kept},
		"another place": {func(files map[string]string) {
			other := given
			other.From += 1 << 21
			files[dir+"0/data"] = data(other)
		}, cut, kept},
		"another size": {func(files map[string]string) {
			other := given
			other.Room -= 1 << 21
			files[dir+"0/data"] = data(other)
		}, cut, kept},
		"damaged": {func(files map[string]string) { files[dir+"0/data"] = data(given)[1:] }, cut, kept},
	} {
		files := afterImage()
		c.change(files)
		m := fakeOf(t, files)
		if !slices.Equal(m.ram, c.ram) {
			t.Errorf("%s: segments may go to %#x, want %#x", name, m.ram, c.ram)
		}
		if got := (physical{}).table(e820(m.memory), len(m.memory)); got != c.table {
			t.Errorf("%s: the memory is\n%s, want\n%s", name, got, c.table)
		}
		// And once more with another image.
		laid(t, m, next{kernel: testKernel(), initrd: []byte("initrd"), image: []byte("image")})
	}
}

// TestManyRegions has a machine with more regions than the zero page holds.
func TestManyRegions(t *testing.T) {
	files := fakeFiles(false)
	const more = 125 // with the six that there are, and two more by the image
	for i := range more {
		at := 0x200000000 + 0x20000*i
		addMemory(files, fmt.Sprint(i+6), [3]string{fmt.Sprintf("%#x", at), fmt.Sprintf("%#x", at+0xffff), "Reserved"})
	}
	m := fakeOf(t, files)
	n := next{kernel: testKernel(), initrd: []byte("initrd"), image: []byte("image"), cmdline: strings.Repeat("x", 2000)}
	start, segments := laid(t, m, n)
	mem := physical(segments)
	params := mem.at(uint64(start)-zeroPage, zeroPage)
	if n := int(params[e820Entries]); n != 128 {
		t.Errorf("the zero page has %d entries", n)
	}
	data, err := mem.setupData(params)
	if err != nil {
		t.Fatal(err)
	}
	rest := data[setupMemory]
	want := len(m.memory) + 1 - 128
	if len(rest) != want*20 {
		t.Fatalf("the rest has %d bytes, want %d entries", len(rest), want)
	}
	last := mem.table(rest, want)
	if end := fmt.Sprintf("%x+10000:2", 0x200000000+0x20000*(more-1)); !strings.HasSuffix(last, end) {
		t.Errorf("the rest is %s, want %s at the end", last, end)
	}
	for i := range maxEntries {
		files[fmt.Sprintf("sys/firmware/memmap/%d/start", i)] = "0x0\n"
	}
	files[fmt.Sprintf("sys/firmware/memmap/%d/start", maxEntries)] = "0x0\n"
	if _, err := readMachine(writeAll(t, files)); err == nil || !strings.Contains(err.Error(), "1025 stretches") {
		t.Errorf("a machine with %d regions: %v, want an error", maxEntries+1, err)
	}
}

// TestUnknownRAM has memory that was added to the running machine. The next kernel is not told of it.
func TestUnknownRAM(t *testing.T) {
	files := fakeFiles(false)
	files["proc/iomem"] += "140000000-1ffffffff : System RAM\n"
	m := fakeOf(t, files)
	if want := fake(t, false).ram; !slices.Equal(m.ram, want) {
		t.Errorf("segments may go to %#x, want %#x", m.ram, want)
	}
}

// TestPreferred has a machine that has room for the kernel only below the address at which it would unpack itself.
func TestPreferred(t *testing.T) {
	m := fake(t, false)
	kernel := testKernel()
	le.PutUint32(kernel[initSize:], 10<<20)
	n := next{kernel: kernel, initrd: []byte("initrd")}
	m.ram = []span{{1 << 20, 15 << 20}, {16 << 20, 20 << 20}}
	if _, segments, err := m.lay(n); err == nil {
		t.Errorf("the kernel is laid to %#x", segments[0].Phys.Start)
	}
	m.ram = []span{{1 << 20, 15 << 20}, {16 << 20, 30 << 20}}
	_, segments, err := m.lay(n)
	if err != nil || segments[0].Phys.Start < 16<<20 {
		t.Errorf("the segments are %v, %v, want the kernel at 16 MiB or above", segments, err)
	}
}

// TestHalf has segments of half of the memory, and of a page more.
func TestHalf(t *testing.T) {
	root := writeAll(t, map[string]string{"meminfo": "MemTotal:  1000 kB\nMemAvailable: 900 kB\n"})
	segments := kexec.Segments{newSegment(0, 200<<10, nil), newSegment(1<<20, 300<<10, nil)}
	if err := half(segments, root+"/meminfo"); err != nil {
		t.Error(err)
	}
	segments = append(segments, newSegment(2<<20, 4<<10, nil))
	if err := half(segments, root+"/meminfo"); err == nil || !strings.Contains(err.Error(), "half") {
		t.Errorf("half = %v, want an error", err)
	}
}

func TestNoRoomForImage(t *testing.T) {
	m := fake(t, false)
	m.ram = []span{{1 << 20, 100 << 20}}
	n := next{kernel: testKernel(), initrd: []byte("initrd"), image: make([]byte, 98<<20)}
	if _, _, err := m.lay(n); err == nil || !strings.Contains(err.Error(), "file system image") {
		t.Errorf("lay = %v, want an error that names the image", err)
	}
}
