package kexec

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/u-root/u-root/pkg/boot/kexec"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/pram"
)

// frames is the memory of a machine: what is in each frame that something was written to.
type frames map[uint64][]byte

func (f frames) frame(n uint64) []byte {
	if f[n] == nil {
		f[n] = bytes.Repeat([]byte{0xee}, frameSize)
	}
	return f[n]
}

func (f frames) write(at uint64, b []byte) {
	for len(b) > 0 {
		n := copy(f.frame(at / frameSize)[at%frameSize:], b)
		at, b = at+uint64(n), b[n:]
	}
}

func (f frames) read(at, n uint64) []byte {
	var b []byte
	for n > 0 {
		part := f.frame(at / frameSize)[at%frameSize:]
		part = part[:min(n, uint64(len(part)))]
		b, at, n = append(b, part...), at+uint64(len(part)), n-uint64(len(part))
	}
	return b
}

// jump does what the running kernel and our code do at the jump: the segments are filled, then the moves are made, and
// what follows them.
func (f frames) jump(start uint64, segments kexec.Segments) error {
	for _, s := range segments {
		f.write(uint64(s.Phys.Start), append(slices.Clone(s.Buf), make([]byte, uint64(s.Phys.Size)-uint64(len(s.Buf)))...))
	}
	code := f.read(start, 0x200)
	constant := func(opcode string) uint64 { // of the first movabs of this register
		i := bytes.Index(code, []byte(opcode))
		return le.Uint64(code[i+2:])
	}
	at := constant("\x48\xbb")
	for range 1 << 20 {
		entry := f.read(at, listEntry)
		from, to := le.Uint64(entry), le.Uint64(entry[8:])
		at += listEntry
		n := from % frameSize
		if from -= n; n == 0 {
			if at = to; at == 0 {
				f.write(constant("\x48\xbf"), f.read(constant("\x48\xbe"), constant("\x48\xb9")*8))
				return nil
			}
		}
		for i := range n {
			if to%2 != 0 {
				clear(f.frame(to/frameSize + i))
			} else {
				copy(f.frame(to/frameSize+i), f.frame(from/frameSize+i))
			}
		}
	}
	return fmt.Errorf("a list without an end")
}

// held returns what lies in frames of a machine that a random source chooses.
func held(r *rand.Rand, m *machine, mem frames, kernel []byte, initrd, image int) *Held {
	h := &Held{cmdline: "quiet"}
	used := map[uint64]bool{}
	put := func(b []byte, holes bool) *pages {
		p := &pages{bytes: b}
		next := uint64(0)
		for at := 0; at < len(b); at += frameSize {
			page := b[at:min(at+frameSize, len(b))]
			if holes && r.IntN(8) == 0 {
				clear(page)
				p.frames = append(p.frames, hole)
				continue
			}
			for s := m.ram[r.IntN(len(m.ram))]; next == 0 || used[next] || r.IntN(20) == 0; {
				next = s.from/frameSize + uint64(r.Int64N(int64((s.to-s.from)/frameSize)))
				s = m.ram[r.IntN(len(m.ram))]
			}
			used[next] = true
			p.frames = append(p.frames, next)
			mem.write(next*frameSize, append(slices.Clone(page), make([]byte, frameSize-len(page))...))
			next++
			at := next * frameSize
			if !slices.ContainsFunc(m.ram, func(s span) bool { return s.from <= at && at < s.to }) {
				next = 0
			}
		}
		return p
	}
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	h.kernel, h.initrd, h.image = put(kernel, false), put(noise(initrd), true), put(noise(image), true)
	return h
}

// small is a machine that has hardly more memory than it needs.
func small(t testing.TB) *machine {
	files := fakeFiles(false)
	files["proc/iomem"] = "00001000-0009ffff : System RAM\n00100000-044fffff : System RAM\n"
	addMemory(files, "1", [3]string{"0x100000", "0x44fffff", "System RAM"})
	addMemory(files, "2", [3]string{"0x80000000", "0x80000fff", "Reserved"})
	return fakeOf(t, files)
}

// TestHoldMoves jumps in machines of which the memory is known, with contents anywhere in it, and finds everything at
// its place.
func TestHoldMoves(t *testing.T) {
	kernel := testKernel()
	le.PutUint32(kernel[initSize:], 40<<20)
	copy(kernel[1024:], "the first code")
	copy(kernel[len(kernel)-8:], "the last")
	for seed := range uint64(24) {
		r := rand.New(rand.NewPCG(seed, 3))
		m, image := fake(t, seed%2 == 0), 3<<20+r.IntN(1<<20)
		if seed%3 == 0 {
			m = small(t)
		}
		if seed%4 == 0 {
			image = 0
		}
		mem := frames{}
		h := held(r, m, mem, slices.Clone(kernel), 1+r.IntN(1<<20), image)
		start, segments, err := m.hold(h)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := fits(m, start, segments); err != nil || len(segments) > maxSegments {
			t.Fatalf("seed %d: %d segments, %v", seed, len(segments), err)
		}
		for _, s := range segments {
			at := span{uint64(s.Phys.Start) / frameSize, (uint64(s.Phys.Start) + uint64(s.Phys.Size)) / frameSize}
			for _, p := range []*pages{h.kernel, h.initrd, h.image} {
				for _, f := range p.frames {
					if at.from <= f && f < at.to {
						t.Fatalf("seed %d: the running kernel would write to frame %#x, which is ours", seed, f)
					}
				}
			}
		}
		if err := mem.jump(uint64(start), segments); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		zero := uint64(start) - zeroPage
		params := mem.read(zero, zeroPage)
		both := func(low, high int) uint64 {
			return uint64(le.Uint32(params[low:])) | uint64(le.Uint32(params[high:]))<<32
		}
		initrd := mem.read(both(ramdiskImage, extRamdiskImage), both(ramdiskSize, extRamdiskSize))
		if !bytes.Equal(initrd, h.initrd.bytes) {
			t.Errorf("seed %d: another initrd", seed)
		}
		if got := mem.read(both(cmdLinePtr, extCmdLinePtr), 6); string(got) != "quiet\x00" {
			t.Errorf("seed %d: the command line is %q", seed, got)
		}
		code := mem.read(uint64(start), 0x200)
		jump := bytes.LastIndex(code, []byte("\xff\xe0"))
		kernelAt := le.Uint64(code[jump-8:]) - entry64
		if got := mem.read(kernelAt, uint64(len(kernel)-1024)); !bytes.Equal(got, kernel[1024:]) || kernelAt%(2<<20) != 0 {
			t.Errorf("seed %d: another kernel at %#x", seed, kernelAt)
		}
		if got := le.Uint64(code[jump-18:]); got != zero {
			t.Errorf("seed %d: RSI is %#x, want %#x", seed, got, zero)
		}
		all := slices.Concat(segments[:len(segments)-1], kexec.Segments{newSegment(kernelAt, 40<<20, nil),
			newSegment(both(ramdiskImage, extRamdiskImage), roundUp(uint64(len(h.initrd.bytes)), frameSize), nil)})
		if image > 0 {
			all = append(all, checkImage(t, mem, zero, h.image.bytes))
		}
		if err := fits(m, start, all); err != nil {
			t.Errorf("seed %d: with all places, %v", seed, err)
		}
	}
}

// checkImage compares the image that was left in memory, and returns where it is.
func checkImage(t *testing.T, mem frames, zero uint64, want []byte) kexec.Segment {
	t.Helper()
	for at := le.Uint64(mem.read(zero+setupData, 8)); at != 0; at = le.Uint64(mem.read(at, 8)) {
		size := le.Uint32(mem.read(at+12, 4))
		image, ok := pram.Unmarshal(mem.read(at+16, uint64(size)))
		if !ok {
			continue
		}
		got := mem.read(image.From, image.Room)
		if !bytes.Equal(got[:image.Size], want) {
			t.Error("another image")
		}
		if !bytes.Equal(got[image.Size:], make([]byte, image.Room-image.Size)) {
			t.Error("something is behind the image")
		}
		return newSegment(image.From, image.Room, nil)
	}
	t.Error("there is no image")
	return kexec.Segment{}
}

// TestHoldNot has what cannot be moved.
func TestHoldNot(t *testing.T) {
	set := func(h *Held) {
		h.kernel, h.initrd, h.image = &pages{bytes: testKernel(), frames: []uint64{0x200, 0x201}},
			&pages{bytes: []byte("initrd"), frames: []uint64{0x300}}, &pages{}
	}
	for name, c := range map[string]struct {
		change func(m *machine, h *Held)
		want   string
	}{
		"it can":    {func(*machine, *Held) {}, ""},
		"no kernel": {func(_ *machine, h *Held) { h.kernel.bytes = nil }, "not a bzImage"},
		"a page at two places": {func(_ *machine, h *Held) {
			h.kernel.frames[1], h.initrd.frames[0] = 0x13d800, 0x13d800
		}, "to two places"},
		"no such memory": {func(_ *machine, h *Held) { h.initrd.frames[0] = 0x50000 }, "lists no memory"},
		"no room for the image": {func(_ *machine, h *Held) {
			h.image.bytes = make([]byte, 2<<30)
		}, "large enough for the container's kernel, initrd and file"},
		"our pages everywhere": {func(m *machine, h *Held) {
			h.image.bytes, m.ram = make([]byte, 2<<20), []span{{0x1000000, 0x3a01000}}
			h.initrd.frames[0] = 0x1000
		}, "no memory left for the code"},
		"a large file": {func(_ *machine, h *Held) {
			h.kernel.bytes = append(h.kernel.bytes, make([]byte, 15480)...)
			le.PutUint32(h.kernel.bytes[initSize:], 20<<10)
		}, "larger than its room"},
	} {
		m, h := fake(t, false), &Held{}
		set(h)
		c.change(m, h)
		_, _, err := m.hold(h)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: hold = %v, want %q", name, err, c.want)
		}
	}
}

// TestWithout takes frames out of memory.
func TestWithout(t *testing.T) {
	ram := spaces([]span{{10 * frameSize, 20 * frameSize}, {30 * frameSize, 40 * frameSize}})
	for _, c := range []struct {
		frames []uint64
		want   string
	}{
		{nil, "10-20 30-40"},
		{[]uint64{hole, 5, 20, 29, 40, hole}, "10-20 30-40"},
		{[]uint64{19, hole, 10, 12, 13, 31}, "11-12 14-19 30-31 32-40"},
		{numbers(10, 20), "30-40"},
		{numbers(15, 35), "10-15 35-40"},
		{numbers(0, 50), ""},
	} {
		var got []string
		for _, p := range ram.without([]content{{0, c.frames}}) {
			got = append(got, fmt.Sprintf("%d-%d", p.from/frameSize, p.to/frameSize))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("without %v: %s, want %s", c.frames, s, c.want)
		}
	}
}

func TestEncryption(t *testing.T) {
	for text, want := range map[string]string{
		"processor : 0\nflags\t\t: fpu sse2 hypervisor\nbugs : sev\n": "",
		"flags\t\t: fpu sme sse2\n":                                   "sme",
		"model name : tdx_guest\nflags\t\t: fpu tdx_guest\n":          "tdx_guest",
		"flags\t\t: fpu sev_snp_x\n":                                  "",
		"":                                                            "",
	} {
		if got := encryption([]byte(text)); got != want {
			t.Errorf("encryption(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestPlain takes the log of a kernel that encrypts nothing for that only if its beginning is still there.
func TestPlain(t *testing.T) {
	const begin = "<5>[    0.000000] Linux version 6.1.0-56-amd64 (debian-kernel@lists.debian.org)\n"
	for log, want := range map[string]bool{
		"":                                   false,
		"<6>[    9.000000] the end of a log": false,
		begin + "<6>[    0.100000] Memory: 1 K available":                              true,
		begin + "<6>[    0.200000] AMD Memory Encryption Features active: SME\n":       false, // 5.10
		begin + "<6>[    0.200000] Memory Encryption Features active: AMD SEV\n":       false,
		begin + "<6>[    0.200000] AMD Secure Memory Encryption (SME) active\n":        false, // 4.14
		begin + "<6>[    0.200000] AMD Secure Encrypted Virtualization (SEV) active\n": false,
	} {
		if got := plain([]byte(log)); got != want {
			t.Errorf("plain(%q) = %v", log, got)
		}
	}
}

// TestKernelLog reads the log of this machine's kernel.
func TestKernelLog(t *testing.T) {
	if size, err := unix.Klogctl(unix.SYSLOG_ACTION_SIZE_UNREAD, nil); err != nil || size == 0 {
		t.Skipf("the kernel has no log for this program: %v", err)
	}
	if log := kernelLog(); !bytes.HasPrefix(log, []byte("<")) {
		t.Errorf("the kernel's log is %q", log)
	}
}

// TestPages finds the frames of a file with holes, and does not fill these.
func TestPages(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root is told where pages are")
	}
	f, err := memory.File("test")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, page := range []int64{3, 4, 9, 17} {
		if _, err := f.WriteAt([]byte{byte(page)}, page*frameSize); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(21*frameSize + 5); err != nil {
		t.Fatal(err)
	}
	p, err := hold(f)
	if err != nil {
		t.Fatal(err)
	}
	defer p.release()
	f.Close()
	maps, err := os.Open(pagemap)
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	if changed, err := p.read(maps); err != nil || !changed {
		t.Fatalf("the first read = %v, %v", changed, err)
	}
	if changed, err := p.read(maps); err != nil || changed {
		t.Errorf("the second read = %v, %v", changed, err)
	}
	if len(p.frames) != 22 || len(p.bytes) != 21*frameSize+5 {
		t.Fatalf("%d frames of %d bytes", len(p.frames), len(p.bytes))
	}
	seen := map[uint64]bool{}
	for i, frame := range p.frames {
		there := slices.Contains([]int{3, 4, 9, 17}, i)
		if (frame != hole) != there || there && (frame == 0 || seen[frame]) {
			t.Errorf("page %d is in frame %#x", i, frame)
		}
		seen[frame] = true
	}
	p.frames[9]++
	if changed, err := p.read(maps); err != nil || !changed {
		t.Errorf("after a page was moved, read = %v, %v", changed, err)
	}
	for _, f := range []*os.File{nil, empty(t)} {
		if p, err := hold(f); err != nil || len(p.frames) != 0 {
			t.Errorf("hold of nothing = %v, %v", p, err)
		}
	}
}

func empty(t *testing.T) *os.File {
	t.Helper()
	f, err := memory.File("empty")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
