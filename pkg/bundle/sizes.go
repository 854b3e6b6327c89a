package bundle

import "gitlab.com/wyrcan/wyrcan/pkg/rootfs"

// Sizes are what a container has to keep in memory, in bytes. What is 0 is not known, and estimated.
type Sizes struct {
	Stored int64       // its layers, as a registry has them
	Files  rootfs.Stat // in the root
	Initrd int64       // a compressed initramfs of these files
	Image  int64       // a SquashFS image of them
}

// packs is how many times smaller compressed files are: 3.2 for the Debian of the tests, in either form.
const packs = 3

func (s Sizes) initrd() int64 { return known(s.Initrd, s.Files.Bytes/packs) }
func (s Sizes) image() int64  { return known(s.Image, s.Files.Bytes/packs) }

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
		return s.image()
	}
	return s.Files.Pages + int64(s.Files.Inodes)*inodeNeeds
}

// boots returns how much memory the container's kernel needs until the root is complete.
func (s Sizes) boots(root Root) int64 {
	if root.IsImage() {
		return needs(rootfs.Stat{}, 0) + s.image()
	}
	return needs(s.Files, s.initrd())
}

// What Wyrcan itself takes of a machine's memory, as measured: docs/benchmarks.md, Memory.
const (
	environment = 97 << 20 // what is not free before the download: the kernel, the programs, the drivers in use
	kernelLoads = 40 << 20 // the container's kernel, where it unpacks itself, and what the running kernel keeps back
)

// loads returns how much of a machine's memory Wyrcan needs until the container's kernel starts: for the layers while
// they arrive, or for what is loaded. An initrd is there a second time while it is loaded. An image is given back on the
// way to its place.
func (s Sizes) loads(root Root) int64 {
	load := kernelLoads + 2*s.initrd()
	if root.IsImage() {
		load = kernelLoads + s.image()
	}
	return environment + max(s.Stored+reserve, load)
}

// Usable returns how much of a machine's memory a kernel can use: it takes the rest for itself and its page tables, and
// the firmware some.
func Usable(machine int64) int64 { return machine / 16 * 15 }

// machineWith returns the memory of the smallest machine, in whole MiB, whose kernel can use that much.
func machineWith(usable int64) int64 { return ((usable+14)/15*16 + 1<<20 - 1) &^ (1<<20 - 1) }

// Least returns the memory of the smallest machine that boots the container with that root, in whole MiB.
func (s Sizes) Least(root Root) int64 {
	return max(machineWith(s.boots(root)), (s.loads(root)+1<<20-1)&^(1<<20-1))
}

// Need is what one form of the root needs.
type Need struct {
	Root     Root
	Least    int64 // the memory of the smallest machine that boots the container so
	Resident int64 // the part of it that the files take for as long as the container runs
	Why      error // why it cannot be; nil if it can
}
