package config

import "strings"

// keepKernel is the value of wyr.kernel that leaves the kernel's file in the root. An image of that name has a tag:
// keep:latest.
const keepKernel = "keep"

// checkKernel checks the path of a kernel in the image, or the name of an image that brings one.
func checkKernel(v string) error {
	switch {
	case v == keepKernel:
		return nil
	case strings.HasPrefix(v, "/"):
		return checkPath(v)
	}
	return checkImage(v)
}

// KeepsKernel reports whether wyr.kernel says that the kernel's file stays in the root.
func (c Config) KeepsKernel() bool { return c.Kernel == keepKernel }

// KernelPath returns the path of the kernel in the image, "" if wyr.kernel names none.
func (c Config) KernelPath() string {
	if strings.HasPrefix(c.Kernel, "/") {
		return c.Kernel
	}
	return ""
}

// KernelImage returns the name of the image that brings the kernel, "" if wyr.kernel names none.
func (c Config) KernelImage() string {
	if c.KernelPath() != "" || c.KeepsKernel() {
		return ""
	}
	return c.Kernel
}
