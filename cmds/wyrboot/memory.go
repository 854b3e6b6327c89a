package main

import (
	"os"
	"runtime/debug"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/kexec"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// modules is where the initrd has the drivers: about 50 MB of memory.
const modules = "/lib/modules"

// room reads how much memory there is for an image whose layers have size bytes. Where that may be too little, what the
// boot can do without from here on is given up: drivers for hardware that may still appear, and heap that waits to be
// collected.
func (c *cmd) room(size int64) (memory.Info, error) {
	mem, err := memory.Read(meminfo)
	if err != nil || !bundle.Tight(mem, kexec.Copies(), size) {
		return mem, err
	}
	debug.SetGCPercent(25)
	if _, err := os.Stat(modules); err != nil {
		return mem, nil
	}
	c.stopDrivers()
	if err := os.RemoveAll(modules); err != nil {
		c.sayf("cannot give up the drivers: %v", err)
	}
	before := mem.Available
	if mem, err = memory.Read(meminfo); err == nil {
		c.sayf("memory is tight: giving up the drivers that are not in use frees %s", units.MiB(mem.Available-before))
	}
	return mem, err
}

const meminfo = "/proc/meminfo"

// enough returns an error when the memory is about to run out, before the kernel ends this process for it.
func enough() error { return bundle.Enough(meminfo, 24<<20, "use a smaller image or add memory") }
