package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// prepare sets what has to be set before the link goes up, takes it up and makes what stands on it. It reports whether it
// got that far: a link waits for the bond or bridge that it belongs to.
func (l *link) prepare() bool {
	nl := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: l.name, Index: l.index}}
	c := l.conf
	master, ok := l.master()
	if !ok {
		return false
	}
	if mac := c.Link.MAC; mac != nil && mac.String() != l.attrs.HardwareAddr.String() {
		l.setting("set the hardware address", whileDown(nl, func() error { return netlink.LinkSetHardwareAddr(nl, mac) }))
	}
	if c.Link.MTU != 0 && c.Link.MTU != l.attrs.MTU {
		l.setting("set the MTU", netlink.LinkSetMTU(nl, c.Link.MTU))
	}
	l.prepareFlags(nl)
	if !l.loopback() {
		l.prepareIP(nl)
	}
	if master != nil && l.attrs.MasterIndex != master.Attrs().Index {
		if master.Type() == "bond" && l.attrs.RawFlags&unix.IFF_UP != 0 {
			l.fail("take it down", netlink.LinkSetDown(nl)) // bond_enslave refuses one that is up
		}
		l.fail("put it into "+master.Attrs().Name, netlink.LinkSetMaster(nl, master))
		l.preparePort(master)
	}
	switch {
	case c.Link.Up():
		l.fail(bringUp, netlink.LinkSetUp(nl))
	case c.Link.Activation == "down" || c.Link.Activation == "always-down":
		l.fail("take it down", netlink.LinkSetDown(nl))
	}
	for _, names := range [][]string{c.VLAN, c.MACVLAN, c.MACVTAP, c.IPVLAN, c.VXLAN} {
		for _, name := range names {
			l.stack(name)
		}
	}
	return true
}

// bringUp is what a link has trouble with that the kernel does not bring up, for want of firmware perhaps.
const bringUp = "bring it up"

// upAgain tries again what the kernel could not do: a driver may have been amid a reset.
func (l *link) upAgain(now time.Time) {
	if l.attrs.RawFlags&unix.IFF_UP != 0 { // with the link below it, say
		l.fail(bringUp, nil)
	}
	if l.trouble[bringUp] == "" || now.Sub(l.upTried) < 5*time.Second {
		return
	}
	l.upTried = now
	l.fail(bringUp, netlink.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: l.name, Index: l.index}}))
}

// master finds the device that the link is to be put into, nil if there is none; ok is false while it does not exist yet.
func (l *link) master() (master netlink.Link, ok bool) {
	for _, name := range []string{l.conf.Bond, l.conf.Bridge, l.conf.VRF} {
		if name == "" {
			continue
		}
		m, err := netlink.LinkByName(name)
		if err != nil {
			l.fail("put it into "+name, errors.New("there is no such device, nor a .netdev file that makes it"))
			return nil, false
		}
		l.fail("put it into "+name, nil)
		if v, isVRF := m.(*netlink.Vrf); isVRF {
			l.vrfTable = v.Table
		}
		return m, true
	}
	return nil, true
}

// stack makes a device on top of this link.
func (l *link) stack(name string) {
	c := l.m.netDev(name)
	if c == nil {
		l.fail("make "+name, fmt.Errorf("%s.network names it but there is no .netdev file for it", l.conf.Name))
		return
	}
	l.fail("make "+name, l.m.makeNetDev(c, l.index))
}

// prepareFlags sets the flags and the group of the device.
func (l *link) prepareFlags(nl netlink.Link) {
	type setter = func(netlink.Link) error
	s := l.conf.Link
	for _, f := range []struct {
		what    string
		want    *bool
		on, off setter
	}{
		{"ARP", s.ARP, netlink.LinkSetARPOn, netlink.LinkSetARPOff},
		{"multicast", s.Multicast, netlink.LinkSetMulticastOn, netlink.LinkSetMulticastOff},
		{"all-multicast", s.AllMulticast, netlink.LinkSetAllmulticastOn, netlink.LinkSetAllmulticastOff},
		{"promiscuous mode", s.Promisc, netlink.SetPromiscOn, netlink.SetPromiscOff},
	} {
		if f.want == nil {
			continue
		}
		set := f.off
		if *f.want {
			set = f.on
		}
		l.setting("set "+f.what, set(nl))
	}
	if s.Group != nil {
		l.setting("set the group", netlink.LinkSetGroup(nl, int(*s.Group)))
	}
}

// preparePort sets what the file says of the link as a member of its bond or bridge.
func (l *link) preparePort(master netlink.Link) {
	name, c := master.Attrs().Name, l.conf
	set := func(path, value string) {
		l.setting("set "+filepath.Base(path), os.WriteFile(filepath.Join("/sys/class/net", path), []byte(value), 0))
	}
	switch master.Type() {
	case "bond":
		if c.PrimarySlave {
			set(filepath.Join(name, "bonding/primary"), l.name)
		}
		if c.ActiveSlave {
			set(filepath.Join(name, "bonding/active_slave"), l.name)
		}
	case "bridge":
		if c.Port.Cost != 0 {
			set(filepath.Join(l.name, "brport/path_cost"), fmt.Sprint(c.Port.Cost))
		}
		if c.Port.Priority != nil {
			set(filepath.Join(l.name, "brport/priority"), fmt.Sprint(*c.Port.Priority))
		}
		for _, f := range c.Port.Flags {
			set(filepath.Join(l.name, "brport", f.Name), map[bool]string{true: "1", false: "0"}[f.On])
		}
	}
}

// prepareIP decides what the kernel does on its own: link-local addresses yes or no, router advertisements never, as they are
// taken in here.
func (l *link) prepareIP(nl netlink.Link) {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err == nil {
		l.prepareLinkLocal(nl)
		l.sysctl("ipv6", "accept_ra", "0")
	}
	for _, s := range l.conf.Sysctl {
		if s.Value != "" {
			l.sysctl(s.Family, s.Key, s.Value)
		}
	}
}

// Modes of IFLA_INET6_ADDR_GEN_MODE: linux/if_link.h.
const (
	genModeEUI64 = iota
	genModeNone
	genModeStablePrivacy
	genModeRandom
)

func (l *link) addrGenMode() int {
	switch c := l.conf; {
	case !c.LinkLocal6 || c.AddrGenMode == "none":
		return genModeNone
	case c.AddrGenMode == "random":
		return genModeRandom
	case c.AddrGenMode == "stable-privacy" || c.AddrGenMode == "" && (c.StableSecret.IsValid() || l.stableToken()):
		return genModeStablePrivacy
	}
	return genModeEUI64
}

// stableToken reports whether addresses in announced prefixes are to be stable; the link-local one is to be so as well.
func (l *link) stableToken() bool {
	return slices.ContainsFunc(l.conf.RA.Tokens, func(t netconf.Token) bool { return t.Mode == "prefixstable" })
}

// prepareLinkLocal decides how the kernel makes the link-local address. Without one the link has no IPv6 at all, so the
// usual way is taken where the other fails.
func (l *link) prepareLinkLocal(nl netlink.Link) {
	const what = "set the way of IPv6 link-local addresses"
	mode := l.addrGenMode()
	if mode == genModeStablePrivacy {
		// The kernel wants the secret first: inet6_validate_link_af in net/ipv6/addrconf.c.
		secret := l.conf.StableSecret
		if !secret.IsValid() {
			secret = netip.AddrFrom16(l.secret("link-local"))
		}
		l.sysctl("ipv6", "stable_secret", secret.String())
	}
	err := netlink.LinkSetIP6AddrGenMode(nl, mode)
	l.setting(what, err)
	if err != nil && mode != genModeEUI64 && mode != genModeNone {
		l.setting(what, netlink.LinkSetIP6AddrGenMode(nl, genModeEUI64))
	}
}

func (l *link) sysctl(family, key, value string) {
	path := filepath.Join("/proc/sys/net", family, "conf", l.name, key)
	err := os.WriteFile(path, []byte(value), 0)
	if err != nil {
		if key == "stable_secret" {
			value = "one" // it is to stay one
		}
		l.notice(fmt.Sprintf("cannot set %s to %s: %v", key, value, err))
	}
}
