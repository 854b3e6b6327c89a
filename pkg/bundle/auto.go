package bundle

import (
	"context"
	"fmt"
	"path"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// Auto is the form that suits the memory and the container, for a person who names none.
//
// Unpacked files (Tmpfs) are a file system without the limits of an overlay, and none is faster to read. So they are
// the root where the memory is plenty: where they leave half of it or more to what runs. Where they leave less, the
// root is an image, if the kernel can mount one: it takes a third of the memory, and is mounted long before the files
// would be unpacked. But the kernel also has memory ready for each processor that may ever be there. Where an image
// takes more than the files for that, they are unpacked. Container engines keep images in an overlay, which cannot lie
// on another one. So an image with one of them is unpacked wherever that boots. docs/benchmarks.md has the
// measurements.
const Auto Root = "auto"

// prefer returns the forms that Auto tries, in the order of preference, on a machine with total bytes of memory, 0 if
// that is unknown. engine is the container engine in the image, "" without one. why is a part of a sentence, behind
// "because".
func prefer(total int64, s Sizes, engine string) (forms []Root, why string) {
	switch {
	case total == 0:
		return []Root{Tmpfs}, "the memory of the machine is not known"
	case s.resident(Tmpfs)+kernelNeeds <= total/2 && s.boots(Tmpfs) <= total:
		return []Root{Tmpfs}, "they leave at least half of the memory free"
	case engine != "" && s.least(Tmpfs) <= total:
		return []Root{Tmpfs}, "the image has " + engine + ", which cannot keep its images on an overlay"
	case s.resident(Tmpfs) <= s.resident(SquashFS) && s.least(Tmpfs) <= total:
		return []Root{Tmpfs}, fmt.Sprintf("an image of them would take more memory, %s of it for %d processors",
			units.MiB(decompressors(SquashFS, s.Processors)), s.Processors)
	}
	// EROFS is not among them: its image is as large as the unpacked files. Where that would leave half of the memory,
	// these do so, too.
	return []Root{SquashFS, Tmpfs}, fmt.Sprintf("unpacked files would leave less than half of the %s of memory free",
		units.MiB(total))
}

// Expect returns the form that Auto will probably choose on this machine for an image whose layers have size bytes as
// they are stored. The contents are to wait in that form. If they turn out to need another one, all is done that way
// too, in more time.
func (r Room) Expect(size int64) Root {
	// The large layers of the tests' Debian are 2.4 to 3.8 times smaller than their files. Its tree, in which upper layers
	// hide some of them, is twice as large as all layers are stored.
	files := rootfs.Stat{Pages: size * 5 / 2, Bytes: size * 5 / 2}
	forms, _ := prefer(r.Total, Sizes{Stored: size, Files: files, Processors: r.Processors}, "")
	return forms[0]
}

// engines are programs that keep the images of containers in an overlay.
var engines = []string{"podman", "dockerd", "containerd", "crio", "k3s"}

// engine returns the container engine in the image, "" if there is none.
func (p *Plan) engine() string {
	for _, dir := range []string{"/usr/bin", "/usr/sbin", "/usr/local/bin"} {
		for _, name := range engines {
			if p.exists(path.Join(dir, name)) {
				return name
			}
		}
	}
	return ""
}

// wanted returns the forms of the root to try, in the order of preference. The last one needs nothing of the kernel.
func (p *Plan) wanted() []Root {
	switch {
	case p.opt.Root != Auto && p.opt.Packer != nil:
		return []Root{Root(p.opt.Packer.Kind()), Tmpfs}
	case p.opt.Root != Auto || !p.wyrinit:
		return []Root{Tmpfs}
	}
	if p.opt.Verity == Checked {
		p.Why = "wyr.verity=yes has the kernel check an image of them"
		return []Root{SquashFS, Tmpfs}
	}
	var forms []Root
	forms, p.Why = prefer(p.opt.Room.Total, Sizes{Files: p.booted(), Processors: p.opt.Room.Processors},
		p.engine())
	return forms
}

// packer returns what makes the image, once the contents wait in its form.
func (p *Plan) packer(ctx context.Context) (Packer, error) {
	if k := p.opt.Packer; k != nil && Root(k.Kind()) == p.Root {
		return k, nil
	}
	k, err := p.opt.Repack(p.Root)
	if err != nil {
		return nil, err
	}
	return k, p.tree.Restore(ctx, k.Store)
}
