package bundle

import (
	"fmt"
	"runtime"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// What a booted container needs besides its files, of what its own kernel can use (Room.under). With Debian's kernel,
// systemd, dbus and networkd, 60 MiB were in use beside an image on a machine of 224 MiB.
const (
	kernelNeeds  = 40 << 20 // the kernel, out of MemTotal, until its first process runs
	processNeeds = 36 << 20 // the processes of a small system, later, in the memory that the initrd has left
	inodeNeeds   = 1 << 10  // shmem_inode_cache and dentry, for every file, directory and link

	// pageStructure is struct page, which the kernel has for each page of an image that is left in memory, too:
	// ND_REGION_PAGEMAP in drivers/nvdimm/e820.c.
	pageStructure = 64
)

// needs returns the least memory with which the container boots completely: the whole initrd stays in memory until it
// is unpacked.
func needs(s rootfs.Stat, initrd int64) int64 {
	return kernelNeeds + max(initrd, processNeeds) + s.Pages + int64(s.Inodes)*inodeNeeds
}

// underCap reports whether the tree fits into the root that the kernel makes by default: a tmpfs of half the memory
// that is free once the initrd is set aside, and as many inodes as that has pages (mm/shmem.c, shmem_default_max_blocks
// and shmem_default_max_inodes). Beyond that the kernel prints "write error" and boots what it has unpacked by then.
func underCap(total int64, s rootfs.Stat, initrd int64) bool {
	// The next kernel has a little more or less memory than this one. One page in 64 is for that.
	pages := (total - total/64 - initrd) / s.Page / 2
	return s.Pages/s.Page <= pages && int64(s.Inodes) <= pages
}

// liftCap is the kernel argument that lets the root use all the memory (init/do_mounts.c and fs/namespace.c: Linux
// 6.18 and the stable kernels that it was backported to, Debian's 6.1 and 6.12 among them).
const liftCap = "initramfs_options=size=100%,nr_inodes=0"

// reserve is what the boot environment itself needs besides images: the index of an image's files, the buffers of its
// (de)compressors, and what the kernel keeps back.
const reserve = 48 << 20

// Tight reports whether the memory may be too little for an image whose layers have size bytes: they are held while the
// initrd is made of them. The initrd is seldom larger than they are, and the loading kernel holds Copies of it.
func (r Room) Tight(size int64) bool {
	return r.Available < int64(r.Copies+1)*size+2*reserve
}

// spool returns how many bytes of an image's files may be kept uncompressed while its layers of size bytes are read: so
// many that the uncompressed initrd made of them can be loaded (see roomy), and that all of them fit where that is
// more. The rest is packed, about as tightly as the layers are. It is always positive.
func (r Room) spool(size int64) int64 {
	return max(1, min((r.Available-slack)*2/int64(2*r.Copies+3), r.Available-size*3/2-reserve))
}

// Reading returns the limits for reading an image whose layers have size bytes.
//
// An image whose files need more than the memory cannot boot in it, so the memory limits what layers may hold
// uncompressed. But layers that are packed as tightly as real ones are read in any case: upper layers may replace what
// is in them, and another machine may be the one that boots. A bomb is packed a thousand times more tightly.
func (r Room) Reading(size int64) rootfs.Options {
	const most, real = 64 << 30, 16
	bytes := int64(most)
	if size < most/real {
		bytes = min(most, max(r.Available, real*size))
	}
	opt := rootfs.Options{Memory: r.spool(size), MaxBytes: bytes, Cores: r.cores(size)}
	if r.Tight(size) {
		opt.AtOnce = 2
	}
	return opt
}

// cores returns how many processors may decompress layers of size bytes together. Each takes up to 16 MiB of Go's heap,
// which may have as much garbage. All of them take an eighth of the memory, if the files of real layers, three to four
// times as large, can be kept uncompressed. Loading the result takes more than that.
func (r Room) cores(size int64) int {
	const each = 32 << 20
	if r.spool(size)/4 < size {
		return 0
	}
	return int(min(int64(runtime.GOMAXPROCS(0)), r.Available/8/each))
}

// CanDownload refuses an image that this machine cannot hold even as it is stored, before anything is downloaded. size
// is the sum of its layers in the manifest.
func (r Room) CanDownload(size int64) error {
	if size+reserve <= r.Available {
		return nil
	}
	return short("too little memory: to hold the image's layers takes %s and this machine has %s free; %s",
		units.MiB(size+reserve), units.MiB(r.Available), r.Remedy)
}

// CanLoad refuses a bundle that the running kernel could not load: it copies kernel and initrd into the pages where the
// next kernel will find them, and uses no more than half of the memory for that (kernel/kexec_core.c,
// sanity_check_segment_list). With no copies (kexec.Hold) there is no such limit.
func (b *Bundle) CanLoad(r Room) error {
	const kernels = 16 << 20 // what the kernel keeps free for itself, and the page tables
	if need := b.loading(r.Copies) + kernels; need > r.Available {
		return short("too little memory: to load the container's kernel and initrd takes %s "+
			"and this machine has %s free; %s",
			units.MiB(need), units.MiB(r.Available), r.Remedy)
	}
	if r.Copies > 0 && b.held > r.Total/2 {
		return short("too little memory: the container's kernel and initrd take %s, "+
			"and a kernel loads no more than half of the %s of this machine; %s",
			units.MiB(b.held), units.MiB(r.Total), larger)
	}
	return nil
}

// loading returns how many bytes a running kernel needs to load the bundle, if it holds so many copies of the initrd.
func (b *Bundle) loading(copies int) int64 {
	switch copies {
	case 0:
		const list = 64 // for 4 KiB, at most: where they are, the list of moves, and its copy
		return (b.kernel + b.Size + b.Beside) / 4096 * list
	case 1:
		return b.held
	}
	return b.held + b.Size + b.kernel
}

// larger is the remedy if the whole memory of a machine is too little, no matter how much of it is available.
const larger = "use a smaller image or add memory"

// cannotBoot returns the error of a container that would not boot completely. image is the size of an image of files
// that is left in memory.
func (p *Plan) cannotBoot(b *Bundle, image int64) error {
	r := p.opt.Room
	need, files, total := units.MiB(b.Memory), units.MiB(p.booted().Pages+image), r.all()
	if more := decompressors(p.Root, r.Processors); more > 0 {
		return fmt.Errorf("too little memory: the container needs %s to boot (%s of files, %s of initrd, %s for %d "+
			"processors) and the machine has %s; %s",
			need, files, units.MiB(b.Size), units.MiB(more), r.Processors, total, larger)
	}
	return fmt.Errorf("too little memory: the container needs %s to boot (%s of files, %s of initrd) "+
		"and the machine has %s; %s",
		need, files, units.MiB(b.Size), total, larger)
}

// worthSqueezing reports whether a container that would not boot with an initrd of that size might boot with a smaller
// one.
func worthSqueezing(total int64, s rootfs.Stat, initrd int64) bool {
	const best = 2 // no packing was seen to halve what zstd's fastest level made
	return needs(s, initrd) > total && needs(s, initrd/best) <= total
}
