package squashfs

import (
	"fmt"
	"hash/maphash"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync/atomic"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// Packer compresses the contents of an image's layers. Its layers share the processors.
type Packer struct {
	opt   Options
	codec codec
	seed  maphash.Seed // of the hashes that find duplicates
	free  chan *job
	extra chan struct{} // a place for each block that a layer has on its way beyond own
	grown atomic.Int64
}

// own is how many blocks each layer may have on their way. All layers together may have one more for each processor.
const own = 2

// New returns a packer.
func New(opt Options) (*Packer, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	// Each worker takes a block and what compresses it. More workers are not worth the memory.
	workers := min(runtime.GOMAXPROCS(0), 16)
	c, err := newCodec(opt, workers)
	if err != nil {
		return nil, err
	}
	return &Packer{opt: opt, codec: c, seed: maphash.MakeSeed(), free: make(chan *job, 2*workers),
		extra: make(chan struct{}, workers)}, nil
}

// Kind returns the name of the file system, as mount(2) knows it.
func (p *Packer) Kind() string { return "squashfs" }

// Lost returns the names of the attributes of a file that an image cannot hold, in order.
func (p *Packer) Lost(n *rootfs.Node) []string {
	var lost []string
	for _, name := range slices.Sorted(maps.Keys(n.Xattrs)) {
		if canHold(name, n.Xattrs[name]) != nil {
			lost = append(lost, name)
		}
	}
	return lost
}

// Store makes a place for the contents of one layer: see rootfs.Options. A packer's layers can become only one image.
func (p *Packer) Store() (rootfs.Store, error) {
	open := p.opt.File
	if open == nil {
		open = func() (*os.File, error) { return memory.File("squashfs") }
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	return newLayer(p, f), nil
}

// grow notes that a file is about to take n bytes more.
func (p *Packer) grow(n int64) error {
	const often = 1 << 20
	after := p.grown.Add(n)
	if p.opt.Grow == nil || after/often == (after-n)/often {
		return nil
	}
	return p.opt.Grow()
}

// write writes to a layer's file, or to the image.
func (p *Packer) write(f *os.File, b []byte, at int64) error {
	if err := p.grow(int64(len(b))); err != nil {
		return err
	}
	if _, err := f.WriteAt(b, at); err != nil {
		return fmt.Errorf("cannot keep it: %w", err)
	}
	return nil
}

// job is a block that is being compressed.
type job struct {
	raw    []byte
	packed []byte
	err    error
	done   chan struct{}
	extra  bool // it has a place in Packer.extra

	extent, fragment int32 // which it is a part of; one of them is none
	block            int   // in the extent
}

// job returns a job with room for a block.
func (p *Packer) job() *job {
	select {
	case j := <-p.free:
		return j
	default:
		return &job{raw: make([]byte, 0, p.opt.BlockSize)}
	}
}

// start compresses a block.
func (p *Packer) start(j *job) {
	j.done = make(chan struct{})
	go func() {
		defer close(j.done)
		j.packed, j.err = p.codec.pack(j.packed[:0], j.raw)
	}()
}

// recycle takes the memory of a job that is done.
func (p *Packer) recycle(j *job) {
	if j.extra {
		<-p.extra
		j.extra = false
	}
	j.raw = j.raw[:0]
	select {
	case p.free <- j:
	default:
	}
}
