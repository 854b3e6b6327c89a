package network

import (
	"crypto/rand"
	"net"
	"slices"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// linkFile is what a .link file makes of a new device, as udev would.
type linkFile struct {
	conf     *netconf.LinkConfig
	name     string
	altNames []string
}

// linkFileFor applies the first .link file that fits the device; ok is false if none fits.
func linkFileFor(files []*netconf.LinkConfig, d *device, host netconf.Host, names predictable) (linkFile, bool) {
	for _, c := range files {
		if fits(&c.Match, d, &host) {
			return linkFile{c, newName(c, d.Name, names), alternatives(c, names)}, true
		}
	}
	return linkFile{}, false
}

// changes returns the changes to the device. The new name comes after the settings, the alternative names after it.
func (f linkFile) changes(d *device) []*change {
	t, c := d.target(), f.conf
	out := ethtoolChanges(t, &c.Ethtool)
	add := func(c *change) { out = append(out, c) }
	mac := c.MAC
	if c.MACPolicy == "random" && mac == nil {
		mac = randomMAC()
	}
	if mac != nil && mac.String() != d.MAC.String() {
		add(setMAC(t, mac))
	}
	if c.MTU != 0 && c.MTU != d.mtu {
		add(setMTU(t, c.MTU))
	}
	if c.Alias != "" {
		add(setAlias(t, c.Alias))
	}
	if c.TxQueue != nil {
		add(setTxQueue(t, int(*c.TxQueue)))
	}
	if f.name != d.Name {
		add(rename(t, f.name))
	}
	for _, a := range f.altNames {
		if a != f.name && !slices.Contains(d.AltNames, a) {
			add(addAltName(t, a))
		}
	}
	return out
}

// newName returns the name from the first policy that gives one, else the name in the file, else the present one.
func newName(c *netconf.LinkConfig, present string, names predictable) string {
	for _, p := range c.Policies {
		if p == "keep" && names.user || p == "kernel" && names.kernel {
			return present
		}
		if n := names.byPolicy(p); n != "" {
			return n
		}
	}
	if c.NewName != "" {
		return c.NewName
	}
	return present
}

// alternatives returns the alternative names that the file gives.
func alternatives(c *netconf.LinkConfig, names predictable) []string {
	out := slices.Clone(c.AltNames)
	for _, p := range c.AltPolicies {
		if n := names.byPolicy(p); n != "" {
			out = appendNew(out, []string{n})
		}
	}
	return out
}

// randomMAC returns a locally administered unicast address.
func randomMAC() net.HardwareAddr {
	mac := make(net.HardwareAddr, 6)
	rand.Read(mac)
	mac[0] = mac[0]&^1 | 2
	return mac
}
