package boot

import (
	"cmp"
	"slices"
)

// early returns the layers that are read before the others, by their sizes, of which a negative one is not known: the
// smallest ones, with an eighth of all bytes together at most. What they remove or replace is then not kept of the
// others, which hardly wait for them. Containerfiles end with such layers: they delete what only the build needed, and
// change configurations. The choice depends on the sizes alone, so the same image becomes the same root each time.
func early(sizes []int64) []int {
	const most = 8
	var bySize []int
	var left int64
	for i, size := range sizes {
		if size >= 0 {
			bySize = append(bySize, i)
			left += size
		}
	}
	left /= most
	slices.SortFunc(bySize, func(a, b int) int { return cmp.Or(cmp.Compare(sizes[a], sizes[b]), cmp.Compare(b, a)) })
	n := 0
	for n < len(bySize) && sizes[bySize[n]] <= left {
		left -= sizes[bySize[n]]
		n++
	}
	return bySize[:n]
}
