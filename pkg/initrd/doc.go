// Package initrd writes initramfs archives as the kernel's buffer-format.rst describes them
// (https://docs.kernel.org/driver-api/early-userspace/buffer-format.html) and init/initramfs.c reads them: one archive
// in cpio's newc form, compressed or not. It cannot read them. What the form has no place for is lost, such as extended
// attributes and fractions of a second. A file that the kernel would drop without a word is refused by its name.
//
// An initrd is first laid out (layout.go): which records are made, which stay where they are in a spool, which packed
// frames go over, and where an archive ends. That is plain data. Then it is written (write.go).
package initrd
