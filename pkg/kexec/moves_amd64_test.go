package kexec

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// carryOut makes moves in a memory that has a value in each frame. The value of a frame that is nobody's is not known.
func carryOut(memory []uint64, moves []move) {
	kept := uint64(0)
	at := func(frame uint64) *uint64 {
		if frame == spare {
			return &kept
		}
		return &memory[frame]
	}
	for _, m := range moves {
		for i := range uint64(m.frames) {
			if m.zeros {
				*at(m.to + i) = 0
			} else {
				*at(m.to + i) = *at(m.from + i)
			}
		}
	}
}

// check makes the moves for contents in a memory of so many frames, and compares.
func check(t *testing.T, frames int, contents []content) []move {
	t.Helper()
	moves, err := plan(contents)
	if err != nil {
		t.Fatalf("plan = %v", err)
	}
	memory := make([]uint64, frames)
	for i := range memory {
		memory[i] = uint64(i) + 1
	}
	before := slices.Clone(memory)
	carryOut(memory, moves)
	for _, c := range contents {
		for i, from := range c.from {
			want := uint64(0)
			if from != hole {
				want = from + 1
			}
			to := c.to + uint64(i)
			if memory[to] != want {
				t.Fatalf("frame %d has what frame %d had, want that of frame %d", to, memory[to]-1, want-1)
			}
			before[to] = want
		}
	}
	if !slices.Equal(memory, before) {
		t.Fatal("moves have changed a frame that is in no place")
	}
	for _, m := range moves {
		if m.frames == 0 || m.frames > maxFrames {
			t.Fatalf("a move has %d frames", m.frames)
		}
	}
	return moves
}

// numbers returns the numbers from a to b.
func numbers(a, b uint64) []uint64 {
	var all []uint64
	for ; a < b; a++ {
		all = append(all, a)
	}
	return all
}

func TestPlan(t *testing.T) {
	swapped := slices.Concat(numbers(50, 100), numbers(0, 50))
	for name, c := range map[string]struct {
		contents []content
		moves    int
	}{
		"nothing":          {nil, 0},
		"empty":            {[]content{{10, nil}}, 0},
		"already there":    {[]content{{10, numbers(10, 20)}}, 0},
		"elsewhere":        {[]content{{10, numbers(50, 60)}}, 1},
		"a bit lower":      {[]content{{10, numbers(13, 90)}}, 1},
		"one higher":       {[]content{{11, numbers(10, 40)}}, 30},
		"half way higher":  {[]content{{30, numbers(10, 50)}}, 2},
		"zeros":            {[]content{{10, []uint64{hole, hole, 12, hole}}}, 2},
		"zeros for needed": {[]content{{10, []uint64{hole, hole}}, {20, []uint64{10, 11}}}, 2},
		"a ring of two":    {[]content{{10, []uint64{11, 10}}}, 3},
		"halves swapped":   {[]content{{0, swapped}}, 150},
		"two places":       {[]content{{0, numbers(50, 100)}, {50, numbers(0, 50)}}, 150},
		"in a row":         {[]content{{0, numbers(10, 20)}, {10, numbers(20, 30)}, {20, numbers(30, 40)}}, 1},
	} {
		if moves := check(t, 100, c.contents); len(moves) != c.moves {
			t.Errorf("%s: %d moves, want %d: %v", name, len(moves), c.moves, moves)
		}
	}
	long := check(t, 3*maxFrames, []content{{0, numbers(maxFrames+5, 3*maxFrames)}})
	if len(long) != 2 {
		t.Errorf("%d moves of many frames, want 2", len(long))
	}
	if _, err := plan([]content{{10, []uint64{50, 11, 11}}, {50, []uint64{11}}}); err == nil {
		t.Error("plan has taken a frame for two places")
	}
}

// scattered returns places for contents, in a memory of so many frames, and frames that they lie in, as a random source
// says.
func scattered(r *rand.Rand, frames int) []content {
	var all []content
	unused := r.Perm(frames)
	if r.IntN(2) == 0 { // in runs
		slices.Sort(unused)
		for range 8 {
			a := r.IntN(len(unused))
			unused = slices.Concat(unused[a:], unused[:a])
		}
	}
	at := 0
	for range 1 + r.IntN(4) {
		at += r.IntN(frames / 8)
		n := r.IntN(frames / 4)
		if n = min(n, frames-at); n <= 0 {
			break
		}
		c := content{to: uint64(at)}
		for range n {
			if r.IntN(16) == 0 {
				c.from = append(c.from, hole)
				continue
			}
			c.from = append(c.from, uint64(unused[0]))
			unused = unused[1:]
		}
		at += n
		all = append(all, c)
	}
	return all
}

func FuzzPlan(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, uint16(40+seed*5))
	}
	f.Fuzz(func(t *testing.T, seed uint64, frames uint16) {
		if frames < 16 {
			return
		}
		r := rand.New(rand.NewPCG(seed, 0))
		check(t, int(frames), scattered(r, int(frames)))
	})
}

// TestPlanTime plans the moves of 8 GB whose pages lie in no order at all, and half of them where the others are to go.
func TestPlanTime(t *testing.T) {
	const n = 2 << 20
	r := rand.New(rand.NewPCG(1, 2))
	c := content{to: n / 2}
	for _, from := range r.Perm(n) {
		c.from = append(c.from, uint64(from))
	}
	begin := time.Now()
	moves, err := plan([]content{c})
	if err != nil || len(moves) < n/2 {
		t.Fatalf("plan = %d moves, %v", len(moves), err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// BenchmarkPlan plans the moves of 20 GB in no order.
func BenchmarkPlan(b *testing.B) {
	const n = 5 << 20
	r := rand.New(rand.NewPCG(1, 2))
	c := content{to: n / 2}
	for _, from := range r.Perm(n) {
		c.from = append(c.from, uint64(from))
	}
	for b.Loop() {
		if _, err := plan([]content{c}); err != nil {
			b.Fatal(err)
		}
	}
}
