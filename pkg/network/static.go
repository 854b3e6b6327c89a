package network

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// table returns the routing table for a setting: if none is set, the VRF's or the main table.
func (v *view) table(n uint32) uint32 {
	switch {
	case n != 0:
		return n
	case v.vrfTable != 0:
		return v.vrfTable
	}
	return unix.RT_TABLE_MAIN
}

// wantStatic adds what the file itself says.
func (v *view) wantStatic(w *wanted) {
	for _, s := range v.conf.Addresses {
		a := address{
			prefix: s.Prefix, peer: s.Peer, broadcast: s.Broadcast, label: s.Label, metric: s.Metric,
			lapsed: s.PreferredZero,
		}
		if s.Scope != nil {
			a.scope = *s.Scope
		}
		set := func(on bool, flag uint32) {
			if on {
				a.flags |= flag
			}
		}
		set(s.NoPrefixRoute, unix.IFA_F_NOPREFIXROUTE)
		set(s.HomeAddress, unix.IFA_F_HOMEADDRESS)
		set(s.ManageTemporary, unix.IFA_F_MANAGETEMPADDR)
		set(s.AutoJoin, unix.IFA_F_MCAUTOJOIN)
		set(s.NoDAD6 && s.Prefix.Addr().Is6(), unix.IFA_F_NODAD)
		w.address(&a)
	}
	if v.conf.DefaultRouteOnDevice {
		w.route(&route{family: unix.AF_INET, table: v.table(0), protocol: unix.RTPROT_STATIC,
			scope: unix.RT_SCOPE_LINK, kind: unix.RTN_UNICAST, device: true})
	}
	for _, s := range v.conf.Routes {
		switch {
		case s.GatewayFrom == "":
			w.route(v.staticRoute(&s))
		case s.GatewayFrom == "dhcp4" && v.lease4 == nil, s.GatewayFrom == "ipv6ra" && len(v.heard.routers) == 0:
			w.awaited.routes = append(w.awaited.routes, s)
		}
	}
	w.awaited.dhcp6 = v.conf.DHCP6 && w.clients.routers && w.clients.dhcp6 == dhcp6Off && v.conf.RA.DHCPv6Client != "no"
	for i := range v.conf.Rules {
		r := &v.conf.Rules[i]
		for _, family := range ruleFamilies(r) {
			w.rules = append(w.rules, newRule(r, family))
		}
	}
	w.neighbors = v.conf.Neighbors
}

// staticRoute returns the route of a [Route] section with the defaults of systemd.network(5).
func (v *view) staticRoute(s *netconf.Route) *route {
	r := &route{
		family: routeFamily(s), protocol: cmp.Or(s.Protocol, unix.RTPROT_STATIC),
		kind: cmp.Or(s.Type, unix.RTN_UNICAST),
		dst:  s.Destination, src: s.Source, gateway: s.Gateway, prefsrc: s.PreferredSource, onlink: s.OnLink,
		congestion: s.CongestionControl, metrics: routeMetrics(s),
	}
	if r.dst.IsValid() && r.dst.Bits() == 0 {
		r.dst = netip.Prefix{}
	}
	nowhere := []uint8{unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW}
	r.device = !slices.Contains(nowhere, r.kind)
	r.table = v.routeTable(s)
	r.scope = routeScope(s, r)
	switch {
	case s.Metric != nil:
		r.metric = *s.Metric
	case r.family == unix.AF_INET6:
		r.metric = 1024 // what the kernel takes for none: IP6_RT_PRIO_USER
	}
	switch s.Preference {
	case "high":
		r.preference = preferenceHigh
	case "low":
		r.preference = preferenceLow
	}
	return r
}

// routeFamily returns the family of the addresses in the section; without any it is IPv6.
func routeFamily(s *netconf.Route) int {
	for _, a := range []netip.Addr{s.Destination.Addr(), s.Source.Addr(), s.PreferredSource, s.Gateway} {
		if a.IsValid() {
			return family(a)
		}
	}
	return unix.AF_INET6
}

// routeTable returns the table that the section names, or the usual one for its type.
func (v *view) routeTable(s *netconf.Route) uint32 {
	local := []uint8{unix.RTN_LOCAL, unix.RTN_BROADCAST, unix.RTN_ANYCAST, unix.RTN_NAT}
	if s.Table == 0 && slices.Contains(local, s.Type) {
		return unix.RT_TABLE_LOCAL
	}
	return v.table(s.Table)
}

// routeScope returns the scope that the section names, or the usual one for the route. IPv6 has no scopes.
func routeScope(s *netconf.Route, r *route) uint8 {
	switch {
	case r.family == unix.AF_INET6:
		return unix.RT_SCOPE_UNIVERSE
	case s.Scope != nil:
		return *s.Scope
	}
	switch r.kind {
	case unix.RTN_LOCAL, unix.RTN_NAT:
		return unix.RT_SCOPE_HOST
	case unix.RTN_BROADCAST, unix.RTN_ANYCAST, unix.RTN_MULTICAST:
		return unix.RT_SCOPE_LINK
	case unix.RTN_UNICAST:
		if !r.gateway.IsValid() {
			return unix.RT_SCOPE_LINK
		}
	}
	return unix.RT_SCOPE_UNIVERSE
}

// routeMetrics returns the numbers of RTA_METRICS that the section gives.
func routeMetrics(s *netconf.Route) (m [unix.RTAX_MAX + 1]uint32) {
	m[unix.RTAX_MTU], m[unix.RTAX_ADVMSS], m[unix.RTAX_HOPLIMIT] = uint32(s.MTU), uint32(s.AdvMSS), uint32(s.HopLimit)
	m[unix.RTAX_INITCWND], m[unix.RTAX_INITRWND] = uint32(s.InitCwnd), uint32(s.InitRwnd)
	if s.QuickAck != nil && *s.QuickAck {
		m[unix.RTAX_QUICKACK] = 1
	}
	if s.FastOpenNoCookie != nil && *s.FastOpenNoCookie {
		m[unix.RTAX_FASTOPEN_NO_COOKIE] = 1
	}
	return m
}

// fallbackAfter is how long DHCPv4 may take before a link with LinkLocalAddressing=ipv4 gets its address as a
// fallback.
const fallbackAfter = 25 * time.Second

// wantLinkLocal4 adds the address in 169.254.0.0/16 if it is due.
func (v *view) wantLinkLocal4(w *wanted, now time.Time) {
	fallback := v.conf.LinkLocal4 == netconf.LinkLocal4Fallback
	switch {
	case v.conf.LinkLocal4 == netconf.LinkLocal4On,
		fallback && v.lease4 == nil && !v.since4.IsZero() && now.Sub(v.since4) > fallbackAfter:
		w.address(linkLocal4(v.MAC))
	case fallback && v.lease4 == nil:
		w.awaited.linkLocal4 = true
	}
}

// linkLocal4 returns an address by RFC 3927 section 2.1. It is derived from the hardware address, so it is the same
// at each boot.
func linkLocal4(mac net.HardwareAddr) *address {
	h := uint32(2166136261) // FNV-1a
	for _, b := range mac {
		h = (h ^ uint32(b)) * 16777619
	}
	host := 256 + h%(65536-512) // the first and last 256 addresses are reserved
	return &address{
		prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254, byte(host >> 8), byte(host)}), 16),
		scope:  unix.RT_SCOPE_LINK, metric: 2048,
	}
}
