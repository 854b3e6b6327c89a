package network

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// setup is what a link should have before it has a carrier.
type setup struct {
	mac       net.HardwareAddr // nil: leave it
	mtu       int              // 0: leave it
	flags     []flag
	group     *uint32
	linkLocal *linkLocal // nil: the link has no IPv6
	sysctls   []netconf.Sysctl
	master    master // the device that it is put into
	port      port   // as a member of its master
	up        upDown
	above     []string // the devices that are made on top of it
}

type flag struct {
	name string
	on   bool
}

// upDown is whether a link is brought up or taken down.
type upDown int

const (
	leaveIt upDown = iota
	bringItUp
	takeItDown
)

// linkLocal is how the kernel makes the IPv6 link-local address.
type linkLocal struct {
	mode   int
	secret netip.Addr // of genModeStablePrivacy
}

// port is what the file says about the link as a member of its master. Only what belongs to the master's kind is
// used.
type port struct {
	primary, active bool // of a bond
	bridge          *netconf.BridgePort
}

// wantSetup fills in what the file says about the link itself.
func (v *view) wantSetup(s *setup) {
	c := v.conf
	s.mac, s.mtu, s.group = c.Link.MAC, v.roomForIPv6(c.Link.MTU), c.Link.Group
	s.master, s.port, s.above = masterOf(c), port{c.PrimarySlave, c.ActiveSlave, &c.Port}, above(c)
	add := func(name string, on *bool) {
		if on != nil {
			s.flags = append(s.flags, flag{name, *on})
		}
	}
	add("ARP", c.Link.ARP)
	add("multicast", c.Link.Multicast)
	add("all-multicast", c.Link.AllMulticast)
	add("promiscuous mode", c.Link.Promisc)
	if !v.loopback() {
		if v.ipv6 {
			s.linkLocal = v.wantLinkLocal()
		}
		s.sysctls = c.Sysctl
	}
	switch {
	case c.Link.Up():
		s.up = bringItUp
	case c.Link.Activation == "down" || c.Link.Activation == "always-down":
		s.up = takeItDown
	}
}

// master is a device that links are put into. Its name is "" where there is none.
type master struct{ kind, name string }

// masterOf returns what the file puts its links into.
func masterOf(c *netconf.NetworkConfig) master {
	for _, m := range []master{{"bond", c.Bond}, {"bridge", c.Bridge}, {"VRF", c.VRF}} {
		if m.name != "" {
			return m
		}
	}
	return master{}
}

// above returns the names of the devices that the file stacks on its links.
func above(c *netconf.NetworkConfig) []string {
	return slices.Concat(c.VLAN, c.MACVLAN, c.MACVTAP, c.IPVLAN, c.VXLAN)
}

// Modes of IFLA_INET6_ADDR_GEN_MODE: linux/if_link.h.
const (
	genModeEUI64 = iota
	genModeNone
	genModeStablePrivacy
	genModeRandom
)

// wantLinkLocal returns the mode that the file says, or the one that suits the rest of it.
func (v *view) wantLinkLocal() *linkLocal {
	c := v.conf
	switch {
	case !c.LinkLocal6 || c.AddrGenMode == "none":
		return &linkLocal{mode: genModeNone}
	case c.AddrGenMode == "random":
		return &linkLocal{mode: genModeRandom}
	case c.AddrGenMode == "stable-privacy" || c.AddrGenMode == "" && (c.StableSecret.IsValid() || stableToken(c)):
		l := &linkLocal{genModeStablePrivacy, c.StableSecret}
		if !l.secret.IsValid() {
			l.secret = netip.AddrFrom16(v.secret("link-local"))
		}
		return l
	}
	return &linkLocal{mode: genModeEUI64}
}

// stableToken reports whether addresses in announced prefixes are to be stable; the link-local one is stable then, too.
func stableToken(c *netconf.NetworkConfig) bool {
	return slices.ContainsFunc(c.RA.Tokens, func(t netconf.Token) bool { return t.Mode == "prefixstable" })
}

// changes returns what brings the link there, in the order in which the kernel takes it. The master, if there is one,
// exists by then.
func (s *setup) changes(d, master *device) []*change {
	t := d.target()
	var out []*change
	add := func(c *change) { out = append(out, c) }
	if s.mac != nil && s.mac.String() != d.MAC.String() {
		add(setMAC(t, s.mac))
	}
	if s.mtu != 0 && s.mtu != d.mtu {
		add(setMTU(t, s.mtu))
	}
	for _, f := range s.flags {
		add(setFlag(t, f.name, f.on))
	}
	if s.group != nil {
		add(setGroup(t, int(*s.group)))
	}
	if s.linkLocal != nil {
		if s.linkLocal.secret.IsValid() {
			// The kernel wants the secret first: inet6_validate_link_af in net/ipv6/addrconf.c.
			add(setSysctl(t, "ipv6/stable_secret", s.linkLocal.secret.String()))
		}
		// Router advertisements are read here, never by the kernel.
		add(setGenMode(t, s.linkLocal.mode))
		add(setSysctl(t, "ipv6/accept_ra", "0"))
	}
	for _, o := range s.sysctls {
		if o.Value == "" {
			continue
		}
		add(setSysctl(t, o.Family+"/"+o.Key, o.Value))
	}
	if master != nil && d.master != master.index {
		if master.Kind == "bond" && d.up() {
			add(linkDown(t)) // bond_enslave refuses one that is up
		}
		add(enslave(t, master.target()))
		out = append(out, s.port.changes(d, master)...)
	}
	switch s.up {
	case bringItUp:
		add(linkUp(t))
	case takeItDown:
		add(linkDown(t))
	}
	return out
}

// changes returns what the file says of the link as a member of its bond or bridge.
func (p *port) changes(d, master *device) []*change {
	var out []*change
	set := func(value string, path ...string) {
		out = append(out, setFile(d.target(), filepath.Join(path...), value))
	}
	switch master.Kind {
	case "bond":
		if p.primary {
			set(d.Name, master.Name, "bonding/primary")
		}
		if p.active {
			set(d.Name, master.Name, "bonding/active_slave")
		}
	case "bridge":
		if p.bridge.Cost != 0 {
			set(fmt.Sprint(p.bridge.Cost), d.Name, "brport/path_cost")
		}
		if p.bridge.Priority != nil {
			set(fmt.Sprint(*p.bridge.Priority), d.Name, "brport/priority")
		}
		for _, f := range p.bridge.Flags {
			set(digit(f.On), d.Name, "brport", f.Name)
		}
	}
	return out
}
