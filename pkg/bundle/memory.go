package bundle

import (
	"fmt"

	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// What a booted container takes besides its files, measured with Debian's kernels and systemd.
const (
	kernelNeeds  = 40 << 20 // what the kernel takes out of MemTotal until its first process runs
	processNeeds = 64 << 20 // what the processes of a small system take later, out of what the initrd has left
	inodeNeeds   = 1 << 10  // shmem_inode_cache and dentry, for every file, directory and link
	pageSize     = 4096
)

// needs is the least memory with which the container boots completely: the initrd stays whole until it is unpacked.
func needs(s rootfs.Stat, initrd int64) int64 {
	return kernelNeeds + max(initrd, processNeeds) + s.Pages + int64(s.Inodes)*inodeNeeds
}

// booted sums up what will be in the booted root: all but the kernel, and a part of a large file beside what it is
// appended to.
func (p *Plan) booted() rootfs.Stat {
	s := p.Stat
	s.Inodes--
	s.Bytes -= p.node.Size
	s.Pages -= (p.node.Size + pageSize - 1) &^ (pageSize - 1)
	if len(p.joins) > 0 {
		s.Pages += initrd.PartSize
	}
	return s
}

// underCap tells whether the tree fits into the root that the kernel makes on its own: a tmpfs of half the memory that
// is free once the initrd is set aside, and as many inodes as that has pages (mm/shmem.c, shmem_default_max_blocks and
// shmem_default_max_inodes). Beyond it the kernel says "write error" and boots what was unpacked by then.
func underCap(total int64, s rootfs.Stat, initrd int64) bool {
	// What the next kernel manages differs a little from what this one does. One page in 64 is for that.
	pages := (total - total/64 - initrd) / pageSize / 2
	return s.Pages/pageSize <= pages && int64(s.Inodes) <= pages
}

// liftCap is the kernel argument that lets the root take all the memory (init/do_mounts.c and fs/namespace.c: Linux
// 6.18 and the stable kernels that it was backported to, Debian's 6.1 and 6.12 among them).
const liftCap = "initramfs_options=size=100%,nr_inodes=0"

// reserve is what the boot environment itself needs beside images: the index of an image's files, the buffers of its
// (de)compressors, and what the kernel does not give away.
const reserve = 48 << 20

// Tight tells whether the memory may be too little for an image whose layers have size bytes: they are held while the
// initrd is made of them, and that, which is seldom larger than they are, as often again as Options.Copies says.
func Tight(m memory.Info, copies int, size int64) bool {
	return m.Available < int64(copies+1)*size+reserve
}

// Spool returns how many bytes of an image's files may be kept as they are while its layers of size bytes are read: so
// many that the initrd that they become, uncompressed, can be loaded (see roomy), and that all of them fit where it is
// more. The rest is packed, about as tightly as the layers were. It is always positive.
func Spool(m memory.Info, copies int, size int64) int64 {
	return max(1, min((m.Available-slack)*2/int64(2*copies+3), m.Available-size*3/2-reserve))
}

// Reading returns the bounds for reading an image whose layers have size bytes, where as many copies of its initrd follow as
// Options.Copies says. grow is asked whether there is memory left.
//
// Files of more than the memory can hold do not boot in it, so that is what layers may hold uncompressed. But layers that are
// packed as tightly as real ones are read in any case: upper layers may replace what is in them, and another machine may be the
// one to boot. A bomb is packed a thousand times more tightly.
func Reading(m memory.Info, copies int, size int64, grow func() error) rootfs.Options {
	const most, real = 64 << 30, 16
	bytes := int64(most)
	if size < most/real {
		bytes = min(most, max(m.Available, real*size))
	}
	return rootfs.Options{Memory: Spool(m, copies, size), MaxBytes: bytes, Grow: grow}
}

// CanDownload refuses an image that this machine cannot even hold as it comes, before anything is downloaded. size is
// the sum of its layers as the manifest gives them.
func CanDownload(m memory.Info, size int64) error {
	if size+reserve <= m.Available {
		return nil
	}
	return fmt.Errorf("too little memory: to hold the image's layers takes %s and this machine has %s free; use a smaller image or add memory",
		units.MiB(size+reserve), units.MiB(m.Available))
}

// Enough returns an error when of the memory that a file in the form of /proc/meminfo tells of less than least bytes
// are left, with a remedy for whoever reads it: before the kernel ends a process for it.
func Enough(file string, least int64, remedy string) error {
	m, err := memory.Read(file)
	if err == nil {
		err = EnoughOf(m, least, remedy)
	}
	return err
}

// EnoughOf is Enough of a memory that was read already.
func EnoughOf(m memory.Info, least int64, remedy string) error {
	if m.Available >= least {
		return nil
	}
	return fmt.Errorf("too little memory: of the %s of this machine %s are left, and the image wants more; %s",
		units.MiB(m.Total), units.MiB(m.Available), remedy)
}

// CanLoad refuses a bundle that the running kernel could not take: it copies kernel and initrd into the pages that the next
// one will find them in, of which it gives no more than half (kernel/kexec_core.c, sanity_check_segment_list).
func (b *Bundle) CanLoad(m memory.Info) error {
	const kernels = 16 << 20 // what it keeps free for itself, and the page tables
	if need := b.loading + kernels; need > m.Available {
		return fmt.Errorf("too little memory: to load the container's kernel and initrd takes %s and this machine has %s free; use a smaller image or add memory",
			units.MiB(need), units.MiB(m.Available))
	}
	if b.held > m.Total/2 {
		return fmt.Errorf("too little memory: the container's kernel and initrd take %s, and a kernel loads no more than half of the %s of this machine; use a smaller image or add memory",
			units.MiB(b.held), units.MiB(m.Total))
	}
	return nil
}

// canBoot refuses a container that would not boot completely on a machine with total bytes of memory.
func canBoot(total int64, s rootfs.Stat, initrd int64) error {
	if need := needs(s, initrd); need > total {
		return fmt.Errorf("too little memory: the container needs %s to boot (%s of files, %s of initrd) and the machine has %s; use a smaller image or add memory",
			units.MiB(need), units.MiB(s.Pages), units.MiB(initrd), units.MiB(total))
	}
	return nil
}

// worthSqueezing tells whether a container that would not boot with an initrd of that size might with a smaller one.
func worthSqueezing(total int64, s rootfs.Stat, initrd int64) bool {
	const best = 2 // no packing has been seen to halve what zstd's fastest level made
	return needs(s, initrd) > total && needs(s, initrd/best) <= total
}
