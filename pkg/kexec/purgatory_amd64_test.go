package kexec

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// arena is memory of this process that is as the machine's memory to the moves of a list: a frame's number is that of
// its address.
type arena struct {
	bytes []byte
	first uint64 // frame
}

func newArena(t *testing.T, frames int) arena {
	t.Helper()
	b, err := unix.Mmap(-1, 0, frames*frameSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	return arena{b, uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) / frameSize}
}

// fill gives each frame a content of its own.
func (a arena) fill() {
	for i := 0; i < len(a.bytes); i += 8 {
		le.PutUint64(a.bytes[i:], uint64(i)*0x9e3779b97f4a7c15+1)
	}
}

// runCode runs code, which must return.
func runCode(t *testing.T, code []byte) {
	t.Helper()
	b, err := unix.Mmap(-1, 0, frameSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	copy(b, code)
	if err := unix.Mprotect(b, unix.PROT_READ|unix.PROT_EXEC); err != nil {
		t.Fatal(err)
	}
	// A Go function's value is a pointer to a pointer to its code. The code here leaves alone what Go's functions leave
	// alone: the stack, RBP, R14 and XMM15.
	begin := unsafe.SliceData(b)
	value := unsafe.Pointer(&begin)
	(*(*func())(unsafe.Pointer(&value)))()
	runtime.KeepAlive(value)
}

// TestMover runs the code between the kernels in this process: moves in all directions, zeros, a ring, and lists in
// several parts.
func TestMover(t *testing.T) {
	const frames = 600
	for seed := range uint64(60) {
		a := newArena(t, frames)
		a.fill()
		r := rand.New(rand.NewPCG(seed, 1))
		contents := scattered(r, frames-8)
		for _, c := range contents {
			for i, from := range c.from {
				if from != hole {
					c.from[i] = from + a.first
				}
			}
		}
		for i := range contents {
			contents[i].to += a.first
		}
		moves, err := plan(contents)
		if err != nil {
			t.Fatal(err)
		}
		before := slices.Clone(a.bytes)
		at := func(frame int) uint64 { return (a.first + uint64(frame)) * frameSize }
		// The last frames are for a shift, the spare frame, and the list, which has one part or two.
		var p purgatory
		lists := newArena(t, 8)
		begin := lists.first * frameSize
		for i := range uint64(2) {
			p.list = append(p.list, place{span: span{begin + i*4*frameSize, begin + (i*4+1+i*2)*frameSize}})
		}
		if len(moves) > 700 {
			t.Fatalf("%d moves", len(moves))
		}
		for _, s := range p.segments(moves, at(frames-1)) {
			copy(lists.bytes[uint64(s.Phys.Start)-begin:], s.Buf)
		}
		last := shift{from: at(frames-8) + 1536, to: at(frames - 8), size: 5001}
		runCode(t, append(mover(begin, last), 0xc3))
		frame := func(memory []byte, n uint64) []byte { return memory[(n-a.first)*frameSize:][:frameSize] }
		want := slices.Clone(before)
		for _, c := range contents {
			for i, from := range c.from {
				if from == hole {
					clear(frame(want, c.to+uint64(i)))
				} else {
					copy(frame(want, c.to+uint64(i)), frame(before, from))
				}
			}
		}
		copy(want[(frames-8)*frameSize:], before[(frames-8)*frameSize+1536:][:5008])
		if !bytes.Equal(a.bytes[:(frames-1)*frameSize], want[:(frames-1)*frameSize]) {
			t.Fatalf("seed %d: the memory has other bytes", seed)
		}
	}
}

// walk finds an address in page tables as a processor does, with four levels or five.
func walk(tables []byte, at uint64, levels int, address uint64) (uint64, bool) {
	table := at
	if levels == 4 {
		table += frameSize
	}
	for level := levels; level > 1; level-- {
		shift := 12 + 9*(level-1)
		entry := le.Uint64(tables[table-at+address>>shift%512*8:])
		if entry&present != present {
			return 0, false
		}
		table = entry & (1<<52 - 1) &^ (frameSize - 1)
		if level == 2 {
			return table + address%largePage, entry&large != 0
		}
	}
	return 0, false
}

// TestTables finds all that is to be mapped, and nothing else, at its own address.
func TestTables(t *testing.T) {
	for _, reach := range [][]span{
		{{0, 2 << 20}},
		{{0, 1 << 30}, {3 << 30, 3<<30 + 4<<20}},
		{{2 << 20, 1<<30 + 2<<20}, {1 << 40, 1<<40 + 2<<20}, {1<<46 - 2<<20, 1<<46 + 2<<20}},
	} {
		const at = 0x123000
		b := tables(at, reach)
		if n := tablesSize(reach); uint64(len(b)) > n || uint64(len(b)) < n/2 {
			t.Errorf("%x: tables of %#x bytes, expected %#x", reach, len(b), n)
		}
		for _, s := range reach {
			for _, levels := range []int{4, 5} {
				for _, address := range []uint64{s.from, s.from + 4097, (s.from + s.to) / 2, s.to - 1} {
					if got, ok := walk(b, at, levels, address); got != address || !ok {
						t.Errorf("%x: %#x is at %#x, %v, with %d levels", reach, address, got, ok, levels)
					}
				}
				if got, ok := walk(b, at, levels, s.to); ok {
					t.Errorf("%x: %#x is at %#x, with %d levels", reach, s.to, got, levels)
				}
			}
		}
	}
}

// TestReach maps the memory and the firmware's tables, and no devices.
func TestReach(t *testing.T) {
	m := fake(t, false)
	want := []span{{0, 0x40200000}, {1 << 32, 0x140000000}}
	if got := m.reach(); !slices.Equal(got, want) {
		t.Errorf("reach = %x, want %x", got, want)
	}
	for _, d := range [][5]uint64{{6, 0x7f0ff000, 1, 2, 3}, {11, 0xfe000000, 1, 2, 3}, {5, 1 << 62, 1, 2, 3}} {
		for _, v := range d {
			m.efiMap = le.AppendUint64(m.efiMap, v)
		}
	}
	want = []span{{0, 0x40200000}, {0x7f000000, 0x7f200000}, {1 << 32, 0x140000000}}
	if got := m.reach(); !slices.Equal(got, want) {
		t.Errorf("with EFI: reach = %x, want %x", got, want)
	}
	for _, c := range []struct {
		move   move
		inside bool
	}{
		{move{0x100, 0x40000, 10, false}, true},
		{move{spare, 0x40000, 1, false}, true},
		{move{hole, 0x40000, 10, true}, true},
		{move{0x100, spare, 1, false}, true},
		{move{0x401fe, 0x100, 4, false}, false},
		{move{0x100, 0x401fe, 4, false}, false},
		{move{0x13fffe, 0x100, 2, false}, true},
		{move{0x13fffe, 0x100, 3, false}, false},
		{move{0x80000, 0x100, 1, false}, false},
	} {
		if got := inside([]move{c.move}, want); got != c.inside {
			t.Errorf("inside(%+v) = %v", c.move, got)
		}
	}
}

// TestTakeParts takes stretches for a list, from the longest on, if none is long enough for all of it.
func TestTakeParts(t *testing.T) {
	page := uint64(frameSize)
	free := func() usable { return spaces([]span{{page, 2 * page}, {4 * page, 7 * page}, {9 * page, 11 * page}}) }
	for _, c := range []struct {
		n    uint64
		most int
		want []span
	}{
		{0, 1, []span{{9*page + page, 11 * page}}},
		{255, 1, []span{{10 * page, 11 * page}}},
		{256, 1, []span{{9 * page, 11 * page}}},
		{3*256 - 1, 14, []span{{4 * page, 7 * page}}},
		{3 * 256, 14, []span{{4 * page, 7 * page}, {10 * page, 11 * page}}},
		{6*256 - 3, 14, []span{{4 * page, 7 * page}, {9 * page, 11 * page}, {page, 2 * page}}},
		{6*256 - 2, 14, nil},
		{6*256 - 3, 2, nil},
	} {
		u := free()
		got, ok := u.takeParts(c.n, c.most)
		var spans []span
		for _, p := range got {
			spans = append(spans, p.span)
		}
		if ok != (c.want != nil) || !slices.Equal(spans, c.want) {
			t.Errorf("for %d entries in %d parts: %x, %v, want %x", c.n, c.most, spans, ok, c.want)
		}
	}
}
