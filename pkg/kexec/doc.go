// Package kexec hands the machine to another kernel: it loads that kernel with kexec_load(2) or kexec_file_load(2) and
// starts it with reboot(2). It does not unpack or check kernels.
//
// What u-root's packages do well enough is theirs: kexec_file_load and the reboot (boot/kexec.FileLoad and Reboot),
// and the types for segments (boot/kexec.Segments).
//
// On amd64 and arm64 the layout for kexec_load and the call are our own; on others there is kexec_file_load alone. What
// decided that on amd64 (docs/benchmarks.md has the numbers; a plain initrd of 388 MB, under emulation):
//
//   - kexec_file_load took 19.5 s to load and 10.2 s until the next kernel spoke; ours takes 5.8 s and 2.3 s.
//     The kernel hashes all segments twice and holds the initrd one more time; a small machine has no room for that.
//   - boot/linux.KexecLoad took 11.5 to 23.9 s. It unpacks the kernel on the heap and gives the next kernel no EFI
//     runtime map. It writes the initrd's address in 32 bits, so the initrd must lie below 4 GiB.
//   - boot/kexec.Load sorts the segments by address and copies each one on the heap (AlignAndMerge). The order and the
//     place decide how long the kernel takes: 277 MB on 1 GiB took 21.5 s at the top of the memory and 3.5 s where the
//     pages were in use; 4.84 GB did not load within ten minutes until the stretches with idle pages came first.
//   - boot/kexec.MemoryMapFromIOMem also records what lies inside a stretch of RAM, the running kernel among it, and
//     takes it out; kexec may use that memory. It and MemoryMapFromSysfsMemmap read fixed paths only, so that no test
//     can show them a machine.
//
// The running kernel copies what kexec_load is given into pages of its own, and moves these at the jump. For a program
// that jumps itself right away, on amd64, no copy is made (Hold): the contents stay in the program's pages, and code of
// ours moves them at the jump. Then the load takes no time, hardly any memory, and no heed of the rule that segments
// have no more than half of the memory. What that rests on:
//
//   - The pages stay in their frames: they are locked, and looked at again right before reboot(2), which lets no
//     program run in between. A stronger pin (io_uring's registered buffers) would take more code, and memory for each
//     page, to guard the moment in which devices are shut down; nothing was seen that moves pages then.
//   - The order of the moves is found before, so that the code between the kernels has to decide nothing (plan).
//   - That code has its own page tables, stack and list of moves, in memory that no move writes to (purgatory).
//
// A file system image can be left in memory for the next kernel (LoadImage), on amd64: the e820 table says that its
// memory is of type 12, legacy persistent memory. Then:
//
//   - Nothing else comes there. The next kernel uses as memory, and as a place for itself (KASLR), only what the table
//     calls RAM.
//   - The next kernel needs CONFIG_X86_PMEM_LEGACY and CONFIG_BLK_DEV_PMEM. Its driver nd_pmem has page structures made
//     for the image's memory, 64 bytes for each 4 KiB, which for most of it were not made before (mm/memremap.c,
//     pagemap_range). They are made for whole 2 MiB only, so the image begins and ends there: package pram, Unit.
//   - This package makes RAM of the image's memory when another kernel is loaded from the booted system: the piece of
//     setup data says that the memory is ours to give. kexec-tools and kexec_file_load hand the memory on as what it
//     is, without that piece: then it stays an image until the firmware starts the machine.
//   - A crash kernel that kexec_file_load has loaded knows nothing of the image: the kernel tells it of its reserved
//     memory and of the firmware's tables only (arch/x86/kernel/crash.c, crash_setup_memmap_entries). In a dump there
//     is no image, because it is no RAM.
//   - Hibernation ends with the image: the kernel saves RAM only. After the firmware's start, it finds that the memory
//     map is another one, and does not resume (arch/x86/power/hibernate.c, arch_hibernation_header_restore).
//
// On arm64 distributions build kernels without kexec_file_load (Debian does), so kexec_load is the only way, and:
//
//   - boot/linux.KexecLoad takes the memory from the device tree, which has none under UEFI with ACPI: "memory map is
//     empty". It does not look at what the kernel lists as reserved inside of the memory (EFI's tables and runtime
//     services, the tables of interrupt controllers), and it does not keep kernel and initrd within 32 GiB.
//   - pkg/dt, which it reads the device tree with, believes the sizes in it (see pkg/devicetree).
package kexec
