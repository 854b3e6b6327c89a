package network

import (
	"cmp"
	"slices"
	"strconv"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// minMTU6 is the least MTU of a link with IPv6: RFC 8200 section 5. With less, the kernel removes IPv6 from the link:
// addrconf_notify in net/ipv6/addrconf.c.
const minMTU6 = 1280

// minMTU4 is the least MTU that a lease can set: the client must accept messages of 576 bytes (RFC 2131 section 2)
// with the IP and UDP headers. systemd-networkd has the same limit.
const minMTU4 = 576 + 20 + 8

// linkMTU returns the MTU to set where a file or a lease asks for one. Like systemd-networkd it leaves room for IPv6,
// unless the file does not use IPv6.
func linkMTU(c *netconf.NetworkConfig, asked int) int {
	if asked == 0 || !usesIPv6(c) {
		return asked
	}
	return max(asked, minMTU6, mtu6(c))
}

// usesIPv6 reports whether links of the file may have IPv6 addresses.
func usesIPv6(c *netconf.NetworkConfig) bool {
	if c.Bond != "" {
		return false
	}
	return c.LinkLocal6 ||
		slices.ContainsFunc(c.Addresses, func(a netconf.Address) bool { return a.Prefix.Addr().Is6() }) ||
		slices.ContainsFunc(c.Neighbors, func(n netconf.Neighbor) bool { return n.Address.Is6() }) ||
		slices.ContainsFunc(c.Routes, func(r netconf.Route) bool {
			return r.GatewayFrom == "ipv6ra" || r.Gateway.Is6() || r.PreferredSource.Is6() ||
				r.Destination.Addr().Is6() || r.Source.Addr().Is6()
		})
}

// mtu6 returns the MTU that the file sets for IPv6; 0 if it sets none.
func mtu6(c *netconf.NetworkConfig) (mtu int) {
	for _, s := range c.Sysctl {
		if s.Family == "ipv6" && s.Key == "mtu" {
			mtu, _ = strconv.Atoi(s.Value)
		}
	}
	return mtu
}

// wantLimits adds the MTUs and the hop limit from the lease and the routers. When the link has lost its routers, IPv6
// gets back its former values.
func (v *view) wantLimits(w *wanted) {
	if v.lease4 != nil && v.conf.DHCPv4.UseMTU && v.lease4.mtu != 0 {
		w.mtu = v.roomForIPv6(max(v.lease4.mtu, minMTU4))
	}
	if !v.ipv6 {
		return
	}
	if v.conf.RA.UseMTU {
		w.mtu6 = v.heard.routers.mtu(v.mtu)
	}
	if own := mtu6(v.conf); w.mtu6 == 0 && own <= v.mtu {
		w.mtu6 = own
	}
	if v.conf.RA.UseHopLimit {
		w.hops = v.heard.routers.hopLimit(v.ownHops)
	}
	if v.ownHops != 0 && len(v.heard.routers) == 0 {
		w.mtu6, w.hops = cmp.Or(w.mtu6, v.mtu), v.ownHops
	}
}

// roomForIPv6 returns the MTU to set where this one is asked for.
func (v *view) roomForIPv6(mtu int) int {
	if !v.ipv6 {
		return mtu
	}
	return linkMTU(v.conf, mtu)
}
