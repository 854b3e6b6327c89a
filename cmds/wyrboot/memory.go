package main

import (
	"os"
	"runtime/debug"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/kexec"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// modules is the directory with the drivers in the initrd: about 50 MB of memory.
const modules = "/lib/modules"

// budget returns the memory that an image may use: all of it but a reserve for the kernel, because nothing else runs
// here.
func budget() bundle.Budget {
	copies := 0
	if kexec.CanHold() != nil {
		copies = kexec.Copies()
	}
	return bundle.Budget{
		Read:       available,
		Copies:     copies,
		Reserve:    24 << 20,
		Processors: memory.Processors(memory.Possible),
		Kernel:     memory.Kernel(memory.BootParams),
		Remedy:     "use a smaller image or add memory",
	}
}

// hold loads a kernel without a copy, for the boot that starts it right away.
func hold(kernel, initrd, image *os.File, cmdline string) (jump func() error, err error) {
	h, err := kexec.Hold(kernel, initrd, image, cmdline)
	if err != nil {
		return nil, err
	}
	return h.Jump, nil
}

func available() (memory.Info, error) { return memory.Read("/proc/meminfo") }

// spare gives up what the boot no longer needs from here on: the drivers for hardware that may still appear, and heap
// that waits to be collected.
func (c *cmd) spare() {
	debug.SetGCPercent(25)
	before, err := available()
	if err != nil {
		return // Read says so
	}
	if _, err := os.Stat(modules); err != nil {
		return
	}
	c.stopDrivers()
	if err := os.RemoveAll(modules); err != nil {
		c.sayf("cannot give up the drivers: %v", err)
	}
	if after, err := available(); err == nil {
		c.sayf("memory is tight: giving up the drivers that are not in use frees %s",
			units.MiB(after.Available-before.Available))
	}
}
