package bundle

import (
	"context"
	"slices"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// Sizes are what a container has to keep in memory, in bytes. What is 0 is not known, and estimated.
type Sizes struct {
	Stored int64       // its layers, as a registry has them
	Files  rootfs.Stat // in the root
	Initrd int64       // a compressed initramfs of these files
	Image  int64       // a SquashFS image of them
	EROFS  int64       // an EROFS image of them

	Processors int // that the machine may ever have

	inFile bool // the image is in the initrd, and so in memory twice until that is unpacked
}

// packs is how many times smaller compressed files are: 3.2 for the Debian of the tests, in either form.
const packs = 3

func (s Sizes) initrd() int64 { return known(s.Initrd, s.Files.Bytes/packs) }

// image returns how much memory an image takes. One that is not compressed is as large as the files.
func (s Sizes) image(root Root) int64 {
	if root == EROFS {
		size := known(s.EROFS, s.Files.Pages)
		return size + size*pageStructure/memory.Page
	}
	return known(s.Image, s.Files.Bytes/packs)
}

// decompressor is what Debian's kernel has for a SquashFS image for each processor that may ever be there, plugged in or
// not: a workspace of zstd, and a block of 128 KiB (fs/squashfs/decompressor_multi_percpu.c, and read_page in super.c).
// docs/benchmarks.md has the measurement.
const decompressor = 692 << 10

// decompressors returns what the kernel needs to mount an image and has for as long as it is mounted.
func decompressors(root Root, processors int) int64 {
	if root != SquashFS {
		return 0
	}
	return int64(processors) * decompressor
}

func known(n, estimate int64) int64 {
	if n != 0 {
		return n
	}
	return estimate
}

// resident returns how much memory the files take for as long as the container runs. More comes on top where it writes,
// and for a compressed image where it reads, but the kernel gives that back where something needs it.
func (s Sizes) resident(root Root) int64 {
	if root.IsImage() {
		return s.image(root) + decompressors(root, s.Processors)
	}
	return s.Files.Pages + int64(s.Files.Inodes)*inodeNeeds
}

// boots returns how much memory the container's kernel needs until the root is complete.
func (s Sizes) boots(root Root) int64 {
	switch image := s.image(root); {
	case root.IsImage() && s.inFile:
		return needs(rootfs.Stat{Pages: image}, image) + decompressors(root, s.Processors)
	case root.IsImage():
		return needs(rootfs.Stat{}, 0) + image + decompressors(root, s.Processors)
	}
	return needs(s.Files, s.initrd())
}

// What Wyrcan itself takes of the memory, as measured: docs/benchmarks.md, Memory.
const (
	environment = 49 << 20 // of what its kernel can use, what is not free before the download: programs, drivers
	kernelLoads = 40 << 20 // the container's kernel, where it unpacks itself, and what the running kernel keeps back
	packer      = 16 << 20 // the heap with which an image is made, beyond reserve
)

// loads returns how much memory Wyrcan needs until the container's kernel starts: for what waits while the layers
// arrive, or for what is loaded. All layers wait for an initramfs, of which some machines hold a copy when it is loaded
// (kexec.Copies). For an image nothing waits that it does not have (rootfs.Options.Twice), and where it can stay in
// memory there is no copy of it either (kexec.Hold).
func (s Sizes) loads(root Root) int64 {
	switch image := s.image(root); {
	case root.IsImage() && s.inFile:
		return environment + packer + image + max(reserve, image+kernelLoads)
	case root.IsImage():
		return environment + packer + image + max(reserve, kernelLoads)
	}
	return environment + max(s.Stored+reserve, 2*s.initrd()+kernelLoads)
}

// Usable returns how much of a machine's memory a kernel can use: MemTotal. It takes the rest for itself, with its
// pages' structures of 64 bytes each, and the firmware some. Debian's had 405 of 448 MiB, 422 of 464, and 239 of 288. Usable
// returns 0, as Room has it, only if the machine's memory is not known.
func Usable(machine int64) int64 {
	if machine == 0 {
		return 0
	}
	return max(1, machine-machine/64-hidden)
}

const hidden = 44 << 20

// machineWith returns the memory of the smallest machine, in whole MiB, whose kernel can use that much.
func machineWith(usable int64) int64 { return ((usable+hidden+62)/63*64 + 1<<20 - 1) &^ (1<<20 - 1) }

// least returns how much memory a kernel has to be able to use.
func (s Sizes) least(root Root) int64 { return max(s.loads(root), s.boots(root)) }

// Least returns the memory of the smallest machine that boots the container with that root, in whole MiB.
func (s Sizes) Least(root Root) int64 {
	return machineWith(s.least(root))
}

// threshold returns the memory of the smallest machine on which Auto unpacks the files.
func (s Sizes) threshold(engine bool) int64 {
	least := s.Least(Tmpfs)
	if engine {
		return least
	}
	return max(least, machineWith(2*(s.resident(Tmpfs)+kernelNeeds)))
}

// A Form is one that the container's root can have, or why it cannot.
type Form struct {
	Root Root
	Why  error

	inFile bool // it is an image in the initrd
}

// Forms returns the forms between which Auto chooses, Tmpfs first, and EROFS, which it does not choose.
func (p *Plan) Forms(ctx context.Context) ([]Form, error) {
	config, err := p.config(ctx)
	if err != nil {
		return nil, err
	}
	list := []Form{{Root: Tmpfs}}
	for _, root := range []Root{SquashFS, EROFS} {
		m, why := p.mount(ctx, root, config)
		list = append(list, Form{root, why, m.place == handover.InFile})
	}
	return list, ctx.Err()
}

// Sizes returns the sizes of the container, whose layers have stored bytes. With made, the bundle that was made of it,
// they are the true ones as far as that has them.
func (p *Plan) Sizes(stored int64, made *Bundle) Sizes {
	s := Sizes{Stored: stored, Files: p.files()}
	switch {
	case made == nil:
	case made.Root == EROFS:
		s.EROFS = made.Beside
	case made.Root.IsImage():
		s.Image = max(made.Beside, made.Size)
	case made.Packing == initrd.Zstd:
		s.Initrd = made.Size
	}
	return s
}

// Need is what a form needs, in bytes.
type Need struct {
	Form
	Least    int64 // the memory of the smallest machine that boots the container so
	Resident int64 // the part of it that the files take for as long as the container runs
	Auto     int64 // the memory of the smallest machine on which Auto takes this form, 0 if it does on none
}

// Needs returns what each form needs.
func (p *Plan) Needs(forms []Form, s Sizes) (list []Need) {
	packed := slices.ContainsFunc(forms, func(f Form) bool { return f.Root == SquashFS && f.Why == nil })
	for _, f := range forms {
		s.inFile = f.inFile
		n := Need{Form: f, Least: s.Least(f.Root), Resident: s.resident(f.Root)}
		switch {
		case f.Root == Tmpfs && packed:
			n.Auto = s.threshold(p.engine() != "")
		case f.Root == Tmpfs, f.Root == SquashFS && packed && n.Least < list[0].Auto:
			n.Auto = n.Least
		}
		list = append(list, n)
	}
	return list
}
