package kexec

import (
	"os"
	"slices"
	"sort"
)

// The kernel copies each segment into pages that it allocates one by one, and moves the pages to their destinations
// when it jumps. If an allocated page is itself a destination, the kernel puts it into a list, and it searches that
// whole list for each further page (kernel/kexec_core.c, kimage_alloc_page). If the destinations are free memory, these
// searches take longer than everything else. So the best destination is memory that is in use until the jump; and if
// some of its pages are idle, the stretches with those pages are best loaded first.

// place is a stretch of memory that segments may be put into.
type place struct {
	span
	page uint64 // the size of a page of the running kernel
	idle []bool // for each page, whether the kernel may allocate it; nil if not known
}

// usable are all places, in order.
type usable []place

// places finds out which pages are in use, if the kernel tells and if segments of size bytes are a large part of the
// memory. If they are a small part it does not look: the top of the memory is hardly used, and to look at 8 GiB takes a
// quarter of a second.
func places(ram []span, size, page uint64) usable {
	const much = 4 // with this many times as much memory there are always enough other pages
	var all usable
	total := uint64(0)
	for _, s := range ram {
		all = append(all, place{span: s, page: page})
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
		all[i].idle = idle(flags, all[i].span, page)
	}
	return all
}

// idle reads /proc/kpageflags (Documentation/admin-guide/mm/pagemap.rst): the first page of a free block has the flag
// BUDDY, the others have no flag at all.
func idle(flags *os.File, s span, page uint64) []bool {
	const buddy = 1 << 10
	pages := make([]bool, 0, (s.to-s.from)/page)
	buf := make([]byte, 1<<20)
	for at := s.from / page; at < s.to/page; {
		part := buf[:min(uint64(len(buf)), (s.to/page-at)*8)]
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

// take takes room for size bytes: the place with the fewest idle pages, and among equals the highest, which the
// kernel's allocator uses last.
func (u *usable) take(size, align uint64) (place, bool) {
	return u.takeInside(size, align, span{0, 1 << 63})
}

// takeInside is take within a window of addresses, which begins and ends with a page.
func (u *usable) takeInside(size, align uint64, window span) (place, bool) {
	if len(*u) == 0 || align < (*u)[0].page || align&(align-1) != 0 || size == 0 {
		return place{}, false
	}
	page := (*u)[0].page
	size = roundUp(size, page)
	best, fewest, in := uint64(0), int(size/page)+1, -1
	for i, p := range *u {
		part := span{max(p.from, window.from), min(p.to, window.to)}
		if part.from >= part.to {
			continue
		}
		if at, n, ok := p.cut(part.from, part.to).best(size, align); ok && n <= fewest {
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

// best returns the address in p with the fewest idle pages in the size bytes from there, and their number. If p does
// not know which pages are idle, it counts all as idle.
func (p place) best(size, align uint64) (at uint64, fewest int, ok bool) {
	if p.to-p.from < size {
		return 0, 0, false
	}
	if p.idle == nil {
		at = (p.to - size) &^ (align - 1)
		return at, int(size / p.page), at >= p.from
	}
	n, first, want := 0, 0, int(size/p.page)
	for i, is := range p.idle {
		if is {
			n++
		}
		if i+1-first < want {
			continue
		}
		if begin := p.from + uint64(first)*p.page; begin&(align-1) == 0 && (!ok || n <= fewest) {
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
	part := place{span: span{from, to}, page: p.page}
	if p.idle != nil {
		part.idle = p.idle[(from-p.from)/p.page : (to-p.from)/p.page]
	}
	return part
}

// stretches cuts a place into at most most parts, in the order in which they are best loaded. The longest ones without
// idle pages come last: by then the kernel has filled the destinations of nearly all pages in its list, so that the
// list is short when it is searched for each page of the rest. Of the others, the one with the larger share of idle
// pages comes first.
func (p place) stretches(most int) []place {
	busy := p.busy()
	sort.Slice(busy, func(i, j int) bool { return busy[i].len() > busy[j].len() })
	busy = busy[:min(len(busy), (most-1)/2)]
	sort.Slice(busy, func(i, j int) bool { return busy[i].from < busy[j].from })

	type stretch struct {
		place
		idle float64 // the share of its pages that is idle
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
		from, to := p.from+uint64(r.from)*p.page, p.from+uint64(r.to)*p.page
		until(from)
		rest = append(rest, p.cut(from, to))
		at = to
	}
	until(p.to)
	sort.SliceStable(mixed, func(i, j int) bool { return mixed[i].idle > mixed[j].idle })
	var all []place
	for _, m := range mixed {
		all = append(all, m.place)
	}
	return append(all, rest...)
}

// run is a row of pages, numbered from the first page of the place.
type run struct{ from, to int }

func (r run) len() int { return r.to - r.from }

// busy returns the runs of pages that are not idle; none if p does not know which are.
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
