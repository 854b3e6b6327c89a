package main

import (
	"context"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/config"
)

// answerTime is how long to wait for an answer before NVRAM is changed. A machine that boots with wyr.efi= must come up
// even if nobody is in front of it.
const answerTime = 2 * time.Minute

// askEFI asks whether to change NVRAM, if wyr.efi= wants that, unless it says yes itself. It clears a configuration at
// once, and reports done: the machine reboots. A configuration that is to be written must first load a kernel, so
// persist writes it.
func (c *cmd) askEFI(ctx context.Context) (done bool) {
	change := config.Change{Config: c.found.Config, Store: c.store, Version: version}
	needed, err := change.Needed()
	if err != nil {
		c.sayf("wyr.efi=%s has no effect: %v", c.config.EFI, err)
		return false
	}
	if !needed {
		return false
	}
	if !c.config.EFIYes {
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		if err := change.Confirm(c.console.Reader(ctx), c.console); err != nil {
			c.sayf("%v", err)
			return false
		}
	}
	if c.config.EFI == config.EFIWrite {
		c.confirmed = true
		return false
	}
	if err := change.Apply(); err != nil {
		c.sayf("cannot clear NVRAM: %v", err)
		return false
	}
	c.sayf("NVRAM is cleared")
	return true
}

// persist stores the configuration, once its kernel is loaded, if the person at the console, or wyr.efi=write,yes,
// agreed to that. It reports whether the machine is to reboot, which shows the unattended boot. If NVRAM cannot be
// written, the machine boots anyway.
func (c *cmd) persist() (reboot bool) {
	if !c.confirmed {
		return false
	}
	if err := (config.Change{Config: c.found.Config, Store: c.store, Version: version}).Apply(); err != nil {
		c.sayf("cannot write NVRAM, so the next boot needs the arguments again: %v", err)
		return false
	}
	c.sayf("NVRAM holds the configuration now; the next boot needs no arguments")
	return true
}
