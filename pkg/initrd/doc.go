// Package initrd writes initramfs archives as the kernel's buffer-format.rst describes them
// (https://docs.kernel.org/driver-api/early-userspace/buffer-format.html) and init/initramfs.c reads them: one archive
// in cpio's newc form, compressed or not. It cannot read them. What the form has no place for, such as extended
// attributes and fractions of a second, it leaves out; what the kernel would drop in silence it refuses by name.
package initrd
