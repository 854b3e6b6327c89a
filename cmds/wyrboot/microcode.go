package main

import "gitlab.com/wyrcan/wyrcan/pkg/microcode"

// microcode returns whose microcode the container's kernel gets: that of this machine's processors.
func (c *cmd) microcode() microcode.Wanted {
	if c.config.NoMicrocode {
		return microcode.Wanted{}
	}
	here, err := microcode.Here(c.root)
	if err != nil { // it boots without
		c.sayf("the processor gets no microcode from the image: %v", err)
	}
	return here
}
