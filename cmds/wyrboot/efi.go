package main

import (
	"context"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/config"
)

// answerTime is how long the question before a change of NVRAM waits. A machine that boots with wyr.efi= and nobody in
// front of it must come up all the same.
const answerTime = 2 * time.Minute

// askEFI asks whether to change NVRAM, where wyr.efi= wants that. A configuration is cleared, and the machine rebooted,
// at once; one that is to be written has to prove itself first, so that is left to persist.
func (c *cmd) askEFI(ctx context.Context) (done bool) {
	change := config.Change{Config: c.config, Store: c.store, Version: version}
	needed, err := change.Needed()
	if err != nil {
		c.sayf("wyr.efi=%s has no effect: %v", c.config.EFI, err)
		return false
	}
	if !needed {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if err := change.Confirm(c.console.Reader(ctx), c.console); err != nil {
		c.sayf("%v", err)
		return false
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

// persist stores the configuration, once its kernel is loaded, if the person at the console agreed to that. It tells
// whether the machine is to reboot, which shows the boot that needs nobody. What cannot be stored is no reason not to
// boot.
func (c *cmd) persist() (reboot bool) {
	if !c.confirmed {
		return false
	}
	if err := (config.Change{Config: c.config, Store: c.store, Version: version}).Apply(); err != nil {
		c.sayf("cannot write NVRAM, so the next boot needs the arguments again: %v", err)
		return false
	}
	c.sayf("NVRAM holds the configuration now; the next boot needs no arguments")
	return true
}
