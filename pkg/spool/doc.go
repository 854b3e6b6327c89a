// Package spool keeps the contents of files in memory while it is not known yet which of them a tree will have.
//
// It keeps them as the records of an initramfs that they will be if nothing changes (newc: Linux,
// Documentation/driver-api/early-userspace/buffer-format.rst), so that package initrd need not make them again, nor
// compress them. A spool is a file without a name: room for the head of an archive, records as they are while memory
// lasts, then zstd frames which are archives of their own, or the same in a file elsewhere. It knows nothing of layers and trees.
package spool
