// Package cores shares a machine's processors among readers, each of which could use all of them.
package cores

import "sync/atomic"

// Least is how many processors a machine must have for a reader to use several. With fewer, the other stages of reading
// a layer use them: receiving and hashing it, hashing the archive, and keeping the contents.
const Least = 4

// Cores counts processors. Nobody waits for one: who gets none does with the one that it has. It bounds memory, too, if
// a processor is given back when its result is used up.
type Cores struct {
	n    int
	free atomic.Int64
}

// New returns n processors.
func New(n int) *Cores {
	c := &Cores{n: n}
	c.free.Store(int64(n))
	return c
}

// Number returns how many there are.
func (c *Cores) Number() int { return c.n }

// Use takes a processor, whether or not one is free, for somebody who goes on in any case.
func (c *Cores) Use() { c.free.Add(-1) }

// Take takes a processor if one is free, and reports whether it has.
func (c *Cores) Take() bool {
	if c.free.Add(-1) >= 0 {
		return true
	}
	c.free.Add(1)
	return false
}

// Give gives a processor back.
func (c *Cores) Give() { c.free.Add(1) }
