package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/credentials"
	"gitlab.com/wyrcan/wyrcan/pkg/syscred"
)

// systemCredentials reads what the machine's owner gave to the boot environment through the firmware or a hypervisor.
// It needs the drivers to be loaded: fw_cfg has one.
func (c *cmd) systemCredentials(ctx context.Context) syscred.Set {
	root := os.DirFS("/")
	if _, err := fs.Stat(root, "sys/firmware/dmi/entries"); errors.Is(err, fs.ErrNotExist) && c.loader != nil {
		// No device asks for this driver. A machine without SMBIOS refuses it, and has nothing to read.
		_ = c.loader.Add(ctx, "dmi-sysfs")
	}
	set, errs := syscred.Read(root)
	for _, err := range errs {
		c.sayf("%v", err)
	}
	return set
}

// logins returns the logins for registries, and says where they come from.
func (c *cmd) logins() credentials.Credentials {
	logins, said := credentials.Gather(os.DirFS("/"), c.system)
	for _, line := range said {
		c.sayf("%s", line)
	}
	return logins
}
