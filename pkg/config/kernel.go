package config

import "fmt"

// keepKernel is the value of wyr.kernel that leaves the kernel's file in the root.
const keepKernel = "keep"

// checkKernel says why a value of wyr.kernel is refused.
func checkKernel(value string) error {
	if value == keepKernel {
		return nil
	}
	return fmt.Errorf("%q is none of the values of wyr.kernel: %s", value, keepKernel)
}

// KeepsKernel reports whether wyr.kernel says that the kernel's file stays in the root.
func (c Config) KeepsKernel() bool { return c.Kernel == keepKernel }
