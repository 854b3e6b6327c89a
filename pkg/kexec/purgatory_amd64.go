package kexec

import (
	"errors"
	"sort"

	"github.com/u-root/u-root/pkg/boot/kexec"
)

// The purgatory is what runs between two kernels if contents lie in pages of this process (Hold): it moves them to
// their places. It comes into memory as segments of kexec_load do, into stretches of RAM in which neither pages of ours
// lie nor something has its place: the running kernel fills its segments before our code runs, and our code must not
// overwrite itself.
//
// How the running kernel leaves the machine to it: relocate_kernel_64.S and machine_kexec_64.c in arch/x86/kernel of
// Linux 6.1 and 6.12.
//
//   - One processor runs, in 64-bit mode, with interrupts off and without tables for interrupts and segments. CR4 has
//     no more bits than PAE, LA57 as before, and MCE in a TDX guest; in CR0, WP is off. So there are no global pages,
//     and no PCIDs: a new CR3 is all that new page tables take.
//   - Its page tables map all RAM and all segments to the same addresses (init_pgtable). But they lie in pages of its
//     choice, as its code and its stack do (control pages: kimage_alloc_normal_control_pages in kernel/kexec_core.c
//     keeps them out of the segments' places, and knows nothing of ours). So the purgatory has page tables, a stack and
//     a GDT of its own.
//
// Page tables, spare frame and list:
//
//   - The tables map what may hold RAM, in pages of 2 MiB, which all processors have. Pages of 1 GiB would save 4 KiB
//     for 1 GiB of RAM, and map what is not RAM too: that stops some machines, whose processors read ahead there
//     (Linux, "x86/mm/ident_map: Use gbpages only where full GB page should be mapped").
//   - The next kernel runs with them until it has made its own. Before that, kernels up to 5.9 read EFI's and ACPI's
//     tables, so these are mapped.
//   - With LA57 on, a table of the fifth level is above them. A kernel that wants the other paging mode finds what it
//     needs in both forms: arch/x86/boot/compressed/pgtable_64.c.

const (
	largePage   = 2 << 20
	tableReach  = 1 << 30 // what a table of large pages maps
	tableLimit  = 1 << 47 // what four levels of tables map for sure
	present     = 1<<0 | 1<<1
	large       = 1 << 7
	listEntry   = 16
	listZeros   = 1 << 0
	perTable    = 512
	tableShift3 = 30
	tableShift4 = 39
)

// purgatory is where its parts are.
type purgatory struct {
	tables place // page tables, and behind them the spare frame
	list   []place
}

// reach returns the stretches that the page tables map, of large pages, in order: RAM, the firmware's tables, and what
// EFI's runtime services use.
func (m *machine) reach() []span {
	var all []span
	add := func(s span) {
		s = span{s.from &^ (largePage - 1), roundUp(s.to, largePage)}
		if s.from < s.to && s.to <= tableLimit {
			all = append(all, s)
		}
	}
	for _, r := range m.memory {
		switch r.kind {
		case systemRAM, acpiTables, acpiStorage, legacyPMEM:
			add(r.span)
		}
	}
	// Types of EFI's memory: UEFI 2.10, 7.2, "EFI_MEMORY_TYPE".
	const mmio, mmioPorts = 11, 12
	for b := m.efiMap; len(b) >= efiDescriptor; b = b[efiDescriptor:] {
		if kind := le.Uint64(b); kind != mmio && kind != mmioPorts {
			at := le.Uint64(b[8:])
			add(span{at, at + le.Uint64(b[24:])*frameSize})
		}
	}
	return union(all)
}

// union sorts stretches and unites those that overlap or are beside each other.
func union(spans []span) []span {
	sort.Slice(spans, func(i, j int) bool { return spans[i].from < spans[j].from })
	var all []span
	for _, s := range spans {
		if n := len(all); n > 0 && all[n-1].to >= s.from {
			all[n-1].to = max(all[n-1].to, s.to)
		} else {
			all = append(all, s)
		}
	}
	return all
}

// tables returns page tables, to lie at an address, that map these stretches to the same addresses. The first two pages
// are the tables for five and for four levels.
func tables(at uint64, reach []span) []byte {
	b := make([]byte, 2*frameSize)
	below := map[uint64]int{} // the offsets of tables, by the first address of what each maps and the level
	table := func(parent int, index uint64, key uint64) int {
		if n, ok := below[key]; ok {
			return n
		}
		n := len(b)
		b = append(b, make([]byte, frameSize)...)
		le.PutUint64(b[parent+int(index%perTable)*8:], at+uint64(n)|present)
		below[key] = n
		return n
	}
	le.PutUint64(b, at+frameSize|present)
	for _, s := range reach {
		for address := s.from; address < s.to; address += largePage {
			third := table(frameSize, address>>tableShift4, address>>tableShift4<<tableShift4|1)
			second := table(third, address>>tableShift3, address>>tableShift3<<tableShift3|2)
			le.PutUint64(b[second+int(address/largePage%perTable)*8:], address|present|large)
		}
	}
	return b
}

// tablesSize returns how many bytes tables returns at most.
func tablesSize(reach []span) uint64 {
	n := uint64(2)
	for _, s := range reach {
		n += roundUp(s.to, 1<<tableShift3)>>tableShift3 - s.from>>tableShift3
		n += roundUp(s.to, 1<<tableShift4)>>tableShift4 - s.from>>tableShift4
	}
	return n * frameSize
}

// inside reports whether all frames of moves are mapped by the page tables.
func inside(moves []move, reach []span) bool {
	mapped := func(frame, n uint64) bool {
		if frame == spare {
			return true
		}
		s := span{frame * frameSize, (frame + n) * frameSize}
		i := sort.Search(len(reach), func(i int) bool { return s.from < reach[i].to })
		return i < len(reach) && reach[i].from <= s.from && s.to <= reach[i].to
	}
	for _, m := range moves {
		if !mapped(m.to, uint64(m.frames)) || !m.zeros && !mapped(m.from, uint64(m.frames)) {
			return false
		}
	}
	return true
}

// takeParts takes places for a list of n entries: one place if there is a stretch that is long enough, else at most
// most ones.
func (u *usable) takeParts(n uint64, most int) ([]place, bool) {
	var all []place
	for range most {
		size := roundUp((n+1)*listEntry, frameSize) // with one more, which goes on to the next part or is the end
		if p, ok := u.take(size, frameSize); ok {
			return append(all, p), true
		}
		longest := uint64(0)
		for _, p := range *u {
			longest = max(longest, p.to-p.from)
		}
		p, ok := u.take(longest, frameSize)
		if !ok {
			break
		}
		all = append(all, p)
		n -= (p.to-p.from)/listEntry - 1
	}
	return nil, false
}

// segments writes the list of moves, as segments for its parts. An entry has two words: the address to copy from and
// the number of frames; the address to copy to, and a bit that says that zeros are to come there. Without a number of
// frames, the second word is the address of the next entry, or 0 at the end.
func (p *purgatory) segments(moves []move, spareAt uint64) kexec.Segments {
	address := func(frame uint64) uint64 {
		if frame == spare {
			return spareAt
		}
		return frame * frameSize
	}
	var all kexec.Segments
	for i, part := range p.list {
		size := part.to - part.from
		n := min(len(moves), int(size/listEntry)-1)
		b := make([]byte, 0, (n+1)*listEntry)
		for _, m := range moves[:n] {
			from, to := uint64(m.frames), address(m.to)
			if m.zeros {
				to |= listZeros
			} else {
				from |= address(m.from)
			}
			b = le.AppendUint64(le.AppendUint64(b, from), to)
		}
		moves = moves[n:]
		next := uint64(0)
		if i+1 < len(p.list) {
			next = p.list[i+1].from
		}
		b = le.AppendUint64(le.AppendUint64(b, 0), next)
		all = append(all, newSegment(part.from, size, b))
	}
	return all
}

// shift is a last move, of bytes in whole words, to a lower address.
type shift struct{ from, to, size uint64 }

// switchTables returns code that makes page tables the processor's: see tables.
func switchTables(at uint64) []byte {
	b := le.AppendUint64([]byte{0x48, 0xb8}, at+frameSize) // movabs $four levels, %rax
	b = append(b,
		0x0f, 0x20, 0xe1, // mov %cr4, %rcx
		0x0f, 0xba, 0xe1, 0x0c, // bt $12, %ecx: LA57
		0x73, 0x0a, // jnc over the next
	)
	b = le.AppendUint64(append(b, 0x48, 0xb8), at) // movabs $five levels, %rax
	return append(b, 0x0f, 0x22, 0xd8)             // mov %rax, %cr3
}

// mover returns code that makes the moves of a list, and then a shift. It needs no stack. It changes RAX, RBX, RCX, RSI
// and RDI.
func mover(list uint64, last shift) []byte {
	b := []byte{0xfc}                                // cld
	b = le.AppendUint64(append(b, 0x48, 0xbb), list) // movabs $list, %rbx
	b = append(b,
		0x48, 0x8b, 0x33, // 00 next: mov (%rbx), %rsi
		0x48, 0x8b, 0x7b, 0x08, // 03: mov 8(%rbx), %rdi
		0x48, 0x83, 0xc3, 0x10, // 07: add $16, %rbx
		0x89, 0xf1, // 0b: mov %esi, %ecx
		0x48, 0x81, 0xe6, 0x00, 0xf0, 0xff, 0xff, // 0d: and $~0xfff, %rsi
		0x81, 0xe1, 0xff, 0x0f, 0x00, 0x00, // 14: and $0xfff, %ecx
		0x74, 0x16, // 1a: jz 32
		0xc1, 0xe1, 0x09, // 1c: shl $9, %ecx: frames to words
		0x48, 0x0f, 0xba, 0xf7, 0x00, // 1f: btr $0, %rdi
		0x72, 0x05, // 24: jc 2b
		0xf3, 0x48, 0xa5, // 26: rep movsq
		0xeb, 0xd5, // 29: jmp 00
		0x31, 0xc0, // 2b: xor %eax, %eax
		0xf3, 0x48, 0xab, // 2d: rep stosq
		0xeb, 0xce, // 30: jmp 00
		0x48, 0x89, 0xfb, // 32: mov %rdi, %rbx
		0x48, 0x85, 0xff, // 35: test %rdi, %rdi
		0x75, 0xc6, // 38: jnz 00
	)
	b = le.AppendUint64(append(b, 0x48, 0xbe), last.from)
	b = le.AppendUint64(append(b, 0x48, 0xbf), last.to)
	b = le.AppendUint64(append(b, 0x48, 0xb9), (last.size+7)/8)
	return append(b, 0xf3, 0x48, 0xa5)
}

// errNoPurgatory is the error of a machine whose memory is full of our pages.
var errNoPurgatory = errors.New("there is no memory left for the code that moves the container's files to their places")
