package inflate

import "sync/atomic"

// Cores counts the processors that Readers share.
type Cores struct {
	n    int
	free atomic.Int64
}

// NewCores returns n processors.
func NewCores(n int) *Cores {
	c := &Cores{n: n}
	c.free.Store(int64(n))
	return c
}

// take takes a processor if one is free.
func (c *Cores) take() bool {
	if c.free.Add(-1) >= 0 {
		return true
	}
	c.free.Add(1)
	return false
}

func (c *Cores) give() { c.free.Add(1) }
