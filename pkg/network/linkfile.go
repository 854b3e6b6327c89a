package network

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// applyLinkFile does to a device what the first .link file that fits it says, as udev does when the device appears.
func (l *link) applyLinkFile(nl netlink.Link, names predictable) {
	i := slices.IndexFunc(l.m.conf.Links, func(c *netconf.LinkConfig) bool { return c.Match.Fits(l.dev, l.m.host) })
	if i < 0 {
		return
	}
	c := l.m.conf.Links[i]
	try := func(what string, err error) {
		if err != nil {
			l.notice(fmt.Sprintf("%s.link: cannot %s: %v", c.Name, what, err))
		}
	}
	applyEthtool(l.index, c.Ethtool, try)
	mac := c.MAC
	if c.MACPolicy == "random" && mac == nil {
		mac = randomMAC()
	}
	if mac != nil && mac.String() != l.attrs.HardwareAddr.String() {
		try("set the hardware address", whileDown(nl, func() error { return netlink.LinkSetHardwareAddr(nl, mac) }))
	}
	if c.MTU != 0 && c.MTU != l.attrs.MTU {
		try("set the MTU", netlink.LinkSetMTU(nl, c.MTU))
	}
	if c.Alias != "" {
		try("set the alias", netlink.LinkSetAlias(nl, c.Alias))
	}
	if c.TxQueue != nil {
		try("set the queue length", netlink.LinkSetTxQLen(nl, int(*c.TxQueue)))
	}
	if name := newName(c, l.name, names); name != l.name {
		err := whileDown(nl, func() error { return netlink.LinkSetName(nl, name) })
		try(fmt.Sprintf("rename it to %q", name), err)
		if err == nil {
			l.m.logf("%s: renamed to %s by %s.link", l.name, name, c.Name)
			l.name = name
		}
	}
	for _, a := range alternatives(c, names) {
		if a != l.name && !slices.Contains(l.dev.AltNames, a) {
			try(fmt.Sprintf("add the name %q", a), netlink.LinkAddAltName(nl, a))
		}
	}
}

// newName is the name that the first policy gives, else the one in the file, else the present one.
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

// alternatives are the further names that the file gives.
func alternatives(c *netconf.LinkConfig, names predictable) []string {
	out := slices.Clone(c.AltNames)
	for _, p := range c.AltPolicies {
		if n := names.byPolicy(p); n != "" {
			out = appendNew(out, []string{n})
		}
	}
	return out
}

// whileDown tries, and where the device is too busy tries again with it down. It stays down: it is brought up later.
func whileDown(nl netlink.Link, f func() error) error {
	err := f()
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	if err := netlink.LinkSetDown(nl); err != nil {
		return err
	}
	return f()
}

// randomMAC is a locally administered unicast address.
func randomMAC() net.HardwareAddr {
	mac := make(net.HardwareAddr, 6)
	rand.Read(mac)
	mac[0] = mac[0]&^1 | 2
	return mac
}
