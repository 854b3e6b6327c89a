package bundle

import (
	"fmt"

	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// What a booted container takes besides its files and its initrd, measured with Debian's kernels and systemd.
const (
	systemNeeds = 98 << 20 // a kernel, its page tables, and the processes of a small system: 110 MiB with 11500 files
	inodeNeeds  = 1 << 10  // shmem_inode_cache and dentry, for every file, directory and link
	pageSize    = 4096
)

// needs is the least memory with which the container boots completely: the initrd stays whole until it is unpacked.
func needs(s rootfs.Stat, initrd int64) int64 {
	return systemNeeds + initrd + s.Pages + int64(s.Inodes)*inodeNeeds
}

// underCap tells whether the tree fits into the root that the kernel makes on its own: a tmpfs of half the memory that is
// free once the initrd is set aside, and as many inodes as that has pages (mm/shmem.c, shmem_default_max_blocks and
// shmem_default_max_inodes). Beyond it the kernel says "write error" and boots what was unpacked by then.
func underCap(total int64, s rootfs.Stat, initrd int64) bool {
	// What the next kernel manages differs a little from what this one does. One page in 64 is for that.
	pages := (total - total/64 - initrd) / pageSize / 2
	return s.Pages/pageSize <= pages && int64(s.Inodes) <= pages
}

// liftCap is the kernel argument that lets the root take all the memory (init/do_mounts.c and fs/namespace.c: Linux 6.18 and
// the stable kernels that it was backported to, Debian's 6.1 and 6.12 among them).
const liftCap = "initramfs_options=size=100%,nr_inodes=0"

// CanDownload refuses an image that this machine cannot even hold as it comes, before anything is downloaded. size is
// the sum of its layers as the manifest gives them.
func CanDownload(m memory.Info, size int64) error {
	if size <= m.Available {
		return nil
	}
	return fmt.Errorf("too little memory: the image's layers alone have %s and this machine has %s free; use a smaller image or add memory",
		console.MiB(size), console.MiB(m.Available))
}

// canBoot refuses a container that would not boot completely on a machine with total bytes of memory.
func canBoot(total int64, s rootfs.Stat, initrd int64) error {
	if need := needs(s, initrd); need > total {
		return fmt.Errorf("too little memory: the container needs %s to boot (%s of files, %s of initrd) and this machine has %s; use a smaller image or add memory",
			console.MiB(need), console.MiB(s.Pages), console.MiB(initrd), console.MiB(total))
	}
	return nil
}
