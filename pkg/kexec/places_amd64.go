package kexec

import (
	"cmp"
	"os"
	"slices"
)

// The kernel copies each segment into pages that it allocates one by one, and moves them where they belong when it jumps. A
// page that it gets and that happens to be another one's destination is put aside, and it goes through all such pages for each
// one that it needs (kernel/kexec_core.c, kimage_alloc_page): where destinations are free memory, that takes longer than
// everything else. So the best place is where memory is in use, as it will be until the jump; and where some of it is not, that
// part is best loaded first.

// place is a stretch of memory that segments may be put into.
type place struct {
	span
	idle []bool // for each page, whether the kernel may give it away; nil if that is not known
}

// usable are all of them, in order.
type usable []place

// places looks at which pages are in use, if the kernel says so and if segments of size bytes are much of the memory. If they
// are not, the top of it has hardly been touched, and to look at 8 GiB takes a quarter of a second.
func places(ram []span, size uint64) usable {
	const much = 4 // times as much memory, and there are always enough other pages
	var all usable
	total := uint64(0)
	for _, s := range ram {
		all = append(all, place{span: s})
		total += s.to - s.from
	}
	if total >= much*size {
		return all
	}
	flags, err := os.Open("/proc/kpageflags")
	if err != nil {
		return all
	}
	defer flags.Close()
	for i := range all {
		all[i].idle = idle(flags, all[i].span)
	}
	return all
}

// idle reads Documentation/admin-guide/mm/pagemap.rst: of a free block of pages the first has a flag, BUDDY, and the others
// have none at all.
func idle(flags *os.File, s span) []bool {
	const buddy = 1 << 10
	pages := make([]bool, 0, (s.to-s.from)/pageSize)
	buf := make([]byte, 1<<20)
	for at := s.from / pageSize; at < s.to/pageSize; {
		part := buf[:min(uint64(len(buf)), (s.to/pageSize-at)*8)]
		if _, err := flags.ReadAt(part, int64(at*8)); err != nil {
			return nil
		}
		for i := 0; i < len(part); i += 8 {
			f := le.Uint64(part[i:])
			pages = append(pages, f == 0 || f&buddy != 0)
		}
		at += uint64(len(part) / 8)
	}
	return pages
}

// take takes room for size bytes: that with the fewest idle pages, or the highest, which is where the kernel's allocator
// turns to last.
func (u *usable) take(size, align uint64) (place, bool) {
	if align < pageSize || align&(align-1) != 0 || size == 0 {
		return place{}, false
	}
	size = pages(size)
	best, fewest, in := uint64(0), int(size/pageSize)+1, -1
	for i, p := range *u {
		if at, n, ok := p.best(size, align); ok && n <= fewest {
			best, fewest, in = at, n, i
		}
	}
	if in < 0 {
		return place{}, false
	}
	p := (*u)[in]
	*u = slices.Replace(*u, in, in+1, p.cut(p.from, best), p.cut(best+size, p.to))
	return p.cut(best, best+size), true
}

// best returns the address in p with the fewest idle pages behind it, and how many those are; all of them if that is not known.
func (p place) best(size, align uint64) (at uint64, fewest int, ok bool) {
	if p.to-p.from < size {
		return 0, 0, false
	}
	if p.idle == nil {
		at = (p.to - size) &^ (align - 1)
		return at, int(size / pageSize), at >= p.from
	}
	n, first, want := 0, 0, int(size/pageSize)
	for i, is := range p.idle {
		if is {
			n++
		}
		if i+1-first < want {
			continue
		}
		if begin := p.from + uint64(first)*pageSize; begin&(align-1) == 0 && (!ok || n <= fewest) {
			at, fewest, ok = begin, n, true
		}
		if p.idle[first] {
			n--
		}
		first++
	}
	return at, fewest, ok
}

// cut returns a part of p.
func (p place) cut(from, to uint64) place {
	part := place{span: span{from, to}}
	if p.idle != nil {
		part.idle = p.idle[(from-p.from)/pageSize : (to-p.from)/pageSize]
	}
	return part
}

// stretches cuts a place into most parts or fewer, in the order in which they are best loaded. The longest without idle
// pages come last: by then the kernel has come to the destinations of nearly all pages that it had put aside, and no more
// than the few that are left are gone through for each page of the rest. Of the others, the more idle one comes first.
func (p place) stretches(most int) []place {
	busy := p.busy()
	slices.SortFunc(busy, func(a, b run) int { return b.len() - a.len() })
	busy = busy[:min(len(busy), (most-1)/2)]
	slices.SortFunc(busy, func(a, b run) int { return a.from - b.from })

	type stretch struct {
		place
		idle float64 // how much of it
	}
	var mixed []stretch
	var rest []place
	at := p.from
	until := func(to uint64) {
		if part := p.cut(at, to); at < to {
			idle := 0
			for _, is := range part.idle {
				if is {
					idle++
				}
			}
			mixed = append(mixed, stretch{part, float64(idle) / float64(to-at)})
		}
	}
	for _, r := range busy {
		from, to := p.from+uint64(r.from)*pageSize, p.from+uint64(r.to)*pageSize
		until(from)
		rest = append(rest, p.cut(from, to))
		at = to
	}
	until(p.to)
	slices.SortStableFunc(mixed, func(a, b stretch) int { return cmp.Compare(b.idle, a.idle) })
	var all []place
	for _, m := range mixed {
		all = append(all, m.place)
	}
	return append(all, rest...)
}

// run is a row of pages, counted from the place's first.
type run struct{ from, to int }

func (r run) len() int { return r.to - r.from }

// busy are the runs of pages that are not idle; none if that is not known.
func (p place) busy() []run {
	var all []run
	for i, is := range p.idle {
		switch {
		case is:
		case len(all) > 0 && all[len(all)-1].to == i:
			all[len(all)-1].to++
		default:
			all = append(all, run{i, i + 1})
		}
	}
	return all
}
