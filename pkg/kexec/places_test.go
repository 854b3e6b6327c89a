package kexec

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// TestIdle reads flags as Linux lists them: a free block of four pages, a page of a program, a hole, a free page.
func TestIdle(t *testing.T) {
	var b []byte
	for _, f := range []uint64{0, 1 << 10, 0, 0, 0, 1<<3 | 1<<5 | 1<<12, 1 << 20, 1 << 10} {
		b = le.AppendUint64(b, f)
	}
	name := filepath.Join(t.TempDir(), "kpageflags")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := []bool{true, true, true, true, false, false, true}
	if got := idle(f, span{memory.Page, 8 * memory.Page}, memory.Page); !slices.Equal(got, want) {
		t.Errorf("idle = %v, want %v", got, want)
	}
	if got := idle(f, span{0, 9 * memory.Page}, memory.Page); got != nil {
		t.Errorf("idle of what the kernel does not show = %v", got)
	}
}

// TestTake compares take with a plain count at every possible address.
func TestTake(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		var free usable
		for at := uint64(1 << 20); len(free) < 3; {
			n := r.Uint64N(60)
			p := place{span: span{at, at + n*memory.Page}, page: memory.Page, idle: []bool{}}
			for range n {
				p.idle = append(p.idle, r.IntN(3) == 0)
			}
			if seed%3 == 0 {
				p.idle = nil // not known
			}
			free = append(free, p)
			at += (n + r.Uint64N(20)) * memory.Page
		}
		var taken []span
		for range 4 {
			size, align := (1+r.Uint64N(30))*memory.Page, uint64(memory.Page)<<r.IntN(4)
			want, wantIdle := int64(-1), int(size/memory.Page)+1
			for _, p := range free {
				for at := (p.from + align - 1) &^ (align - 1); at+size <= p.to; at += align {
					n := int(size / memory.Page)
					if p.idle != nil {
						n = 0
						for i := range size / memory.Page {
							if p.idle[(at-p.from)/memory.Page+i] {
								n++
							}
						}
					}
					if n <= wantIdle {
						want, wantIdle = int64(at), n
					}
				}
			}
			got, ok := free.take(size, align)
			at := got.from
			if ok != (want >= 0) || ok && at != uint64(want) {
				t.Fatalf("seed %d: take(%#x, %#x) = %#x, %v, want %#x", seed, size, align, at, ok, want)
			}
			if !ok {
				continue
			}
			if got.to != at+size || got.idle != nil && len(got.idle) != int(size/memory.Page) {
				t.Fatalf("seed %d: %#x to %#x is taken for %#x, with %d pages", seed, at, got.to, size, len(got.idle))
			}
			for _, s := range taken {
				if at < s.to && s.from < at+size {
					t.Fatalf("seed %d: %#x is taken twice", seed, at)
				}
			}
			taken = append(taken, span{at, at + size})
		}
	}
}

// TestStretches draws a place as a row of pages, x for an idle one, and the stretches in their order.
func TestStretches(t *testing.T) {
	for _, c := range []struct {
		pages string
		most  int
		want  string
	}{
		{"......", 5, "......"},
		{"xxx", 5, "xxx"},
		{"x...x.....", 5, "x x ... ....."},
		{"x...x.....", 4, "x...x ....."}, // of four, one may be without idle pages
		{"x.x.x....x..x.......xx.", 5, "xx. x.x.x x..x .... ......."},
		{"...x.x.x.x.....", 5, "x.x.x.x ... ....."},
	} {
		p := place{span: span{1 << 20, 1<<20 + uint64(len(c.pages))*memory.Page}, page: memory.Page}
		for _, page := range c.pages {
			p.idle = append(p.idle, page == 'x')
		}
		var got []string
		for _, s := range p.stretches(c.most) {
			got = append(got, c.pages[(s.from-p.from)/memory.Page:(s.to-p.from)/memory.Page])
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s in %d: %v, want %s", c.pages, c.most, got, c.want)
		}
	}
	unknown := place{span: span{1 << 20, 2 << 20}, page: memory.Page}
	if got := unknown.stretches(14); len(got) != 1 || got[0].span != unknown.span {
		t.Errorf("a place of which nothing is known is cut into %v", got)
	}
}
