package erofs

import (
	"fmt"
	"hash/maphash"
	"os"
	"sync/atomic"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// Options are what making an image may use.
type Options struct {
	// Grow is asked, now and then, whether the files may take more memory; nil is no limit. Its error ends the packing.
	// Layers are read in parallel, so several goroutines may call it.
	Grow func() error
}

// Packer keeps the contents of an image's layers.
type Packer struct {
	opt   Options
	seed  maphash.Seed // of the hashes that find duplicates
	grown atomic.Int64
}

// New returns a packer.
func New(opt Options) *Packer { return &Packer{opt: opt, seed: maphash.MakeSeed()} }

// Kind returns the name of the file system, as mount(2) knows it.
func (p *Packer) Kind() string { return "erofs" }

// Store makes a place for the contents of one layer: see rootfs.Options. A packer's layers can become only one image.
func (p *Packer) Store() (rootfs.Store, error) {
	pages, err := memory.File("erofs")
	if err != nil {
		return nil, err
	}
	small, err := memory.File("erofs small")
	if err != nil {
		pages.Close()
		return nil, err
	}
	return &Layer{p: p, pages: pages, small: small, pos: block, known: map[sum]int32{}, buf: make([]byte, step)}, nil
}

// write writes to a file in memory.
func (p *Packer) write(f *os.File, b []byte, at int64) error {
	const often = 1 << 20
	n := int64(len(b))
	if after := p.grown.Add(n); p.opt.Grow != nil && after/often != (after-n)/often {
		if err := p.opt.Grow(); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt(b, at); err != nil {
		return fmt.Errorf("cannot keep it: %w", err)
	}
	return nil
}
