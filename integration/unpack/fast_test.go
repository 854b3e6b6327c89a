//go:build !slow

package unpack

// slow is whether images with more than a hundred thousand files are among those that the kernel unpacks.
const slow = false
