package main

import (
	"io/fs"
	"os"
	"runtime"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/network"
	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// machine returns what this machine is called, for ${mac} and the like.
func (c *cmd) machine(links []network.LinkState) config.Machine {
	m := config.Machine{Arch: runtime.GOARCH, UUID: machineUUID(c.root), Serial: machineSerial(c.root)}
	if l := bootLink(links); l != nil {
		m.MAC, m.Hostname = l.MAC.String(), l.Hostname
	}
	if name, err := os.Hostname(); m.Hostname == "" && err == nil && name != "(none)" { // the kernel's default
		m.Hostname = name
	}
	return m
}

// bootLink returns the link that leads to the registry, as far as can be told: the first usable one with a default
// route, else the first usable one. It returns nil if there is none.
func bootLink(states []network.LinkState) *network.LinkState {
	var found *network.LinkState
	for i, s := range states {
		if s.Usable && (found == nil || len(found.Gateways) == 0 && len(s.Gateways) > 0) {
			found = &states[i]
		}
	}
	return found
}

// machineUUID returns the UUID of the machine by its SMBIOS table (DMTF DSP0134, 7.2.1), "" if it has none: all zeros
// and all ones mean that.
func machineUUID(root fs.FS) string {
	id := strings.ToLower(text(root, "sys/class/dmi/id/product_uuid"))
	if strings.Trim(id, "0-") == "" || strings.Trim(id, "f-") == "" {
		return ""
	}
	return id
}

// machineSerial returns the serial number of the machine, from its SMBIOS table or its device tree.
func machineSerial(root fs.FS) string {
	for _, name := range []string{"sys/class/dmi/id/product_serial", "sys/firmware/devicetree/base/serial-number"} {
		if s := text(root, name); s != "" {
			return s
		}
	}
	return ""
}

// text returns the content of a small file without the white space and the zero bytes around it.
func text(root fs.FS, name string) string {
	b, _ := smallfile.Read(root, name, 4096) // what cannot be read is not known
	return strings.Trim(string(b), " \t\r\n\x00")
}
