package network

import (
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// table is the routing table meant by a setting: where there is none, the main one or that of the link's VRF.
func (l *link) table(n uint32) uint32 {
	switch {
	case n != 0:
		return n
	case l.vrfTable != 0:
		return l.vrfTable
	}
	return unix.RT_TABLE_MAIN
}

// wantStatic is what the file itself says.
func (l *link) wantStatic(w *wanted) {
	for _, s := range l.conf.Addresses {
		a := address{
			prefix: s.Prefix, peer: s.Peer, broadcast: s.Broadcast, label: s.Label, metric: s.Metric, lapsed: s.PreferredZero,
		}
		if s.Scope != nil {
			a.scope = *s.Scope
		}
		for flag, on := range map[uint32]bool{
			unix.IFA_F_NOPREFIXROUTE:  s.NoPrefixRoute,
			unix.IFA_F_HOMEADDRESS:    s.HomeAddress,
			unix.IFA_F_MANAGETEMPADDR: s.ManageTemporary,
			unix.IFA_F_MCAUTOJOIN:     s.AutoJoin,
			unix.IFA_F_NODAD:          s.NoDAD6 && s.Prefix.Addr().Is6(),
		} {
			if on {
				a.flags |= flag
			}
		}
		w.address(a)
	}
	if l.conf.DefaultRouteOnDevice {
		w.route(route{family: unix.AF_INET, table: l.table(0), protocol: unix.RTPROT_STATIC, scope: unix.RT_SCOPE_LINK, kind: unix.RTN_UNICAST, device: true})
	}
	for _, s := range l.conf.Routes {
		if s.GatewayFrom == "" {
			w.route(l.staticRoute(s))
		}
	}
}

// staticRoute is a [Route] section with the defaults of systemd.network(5).
func (l *link) staticRoute(s netconf.Route) route {
	r := route{
		family: unix.AF_INET6, table: s.Table, protocol: s.Protocol, kind: s.Type,
		dst: s.Destination, src: s.Source, gateway: s.Gateway, prefsrc: s.PreferredSource, onlink: s.OnLink,
		congestion: s.CongestionControl,
	}
	for _, a := range []netip.Addr{s.Destination.Addr(), s.Source.Addr(), s.PreferredSource, s.Gateway} {
		if a.IsValid() {
			r.family = family(a)
			break
		}
	}
	if r.dst.IsValid() && r.dst.Bits() == 0 {
		r.dst = netip.Prefix{}
	}
	if r.protocol == 0 {
		r.protocol = unix.RTPROT_STATIC
	}
	if r.kind == 0 {
		r.kind = unix.RTN_UNICAST
	}
	switch r.kind {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
	default:
		r.device = true
	}
	if r.table == 0 {
		r.table = l.table(0)
		if s.Type == unix.RTN_LOCAL || s.Type == unix.RTN_BROADCAST || s.Type == unix.RTN_ANYCAST || s.Type == unix.RTN_NAT {
			r.table = unix.RT_TABLE_LOCAL
		}
	}
	switch {
	case r.family == unix.AF_INET6:
		r.scope = unix.RT_SCOPE_UNIVERSE
	case s.Scope != nil:
		r.scope = *s.Scope
	case r.kind == unix.RTN_LOCAL || r.kind == unix.RTN_NAT:
		r.scope = unix.RT_SCOPE_HOST
	case r.kind == unix.RTN_BROADCAST || r.kind == unix.RTN_ANYCAST || r.kind == unix.RTN_MULTICAST:
		r.scope = unix.RT_SCOPE_LINK
	case (r.kind == unix.RTN_UNICAST) && !r.gateway.IsValid():
		r.scope = unix.RT_SCOPE_LINK
	}
	if s.Metric != nil {
		r.metric = *s.Metric
	} else if r.family == unix.AF_INET6 {
		r.metric = 1024 // what the kernel takes for none: IP6_RT_PRIO_USER
	}
	switch s.Preference {
	case "high":
		r.preference = preferenceHigh
	case "low":
		r.preference = preferenceLow
	}
	for i, v := range map[int]int{
		unix.RTAX_MTU: s.MTU, unix.RTAX_ADVMSS: s.AdvMSS, unix.RTAX_HOPLIMIT: s.HopLimit,
		unix.RTAX_INITCWND: s.InitCwnd, unix.RTAX_INITRWND: s.InitRwnd,
	} {
		r.metrics[i] = uint32(v)
	}
	if s.QuickAck != nil && *s.QuickAck {
		r.metrics[unix.RTAX_QUICKACK] = 1
	}
	if s.FastOpenNoCookie != nil && *s.FastOpenNoCookie {
		r.metrics[unix.RTAX_FASTOPEN_NO_COOKIE] = 1
	}
	return r
}

// fallbackAfter is how long DHCPv4 may take before a link with LinkLocalAddressing=ipv4 gets its address as a fallback.
const fallbackAfter = 25 * time.Second

// linkLocal4Due reports whether the link is to have an address of 169.254.0.0/16 now.
func (l *link) linkLocal4Due(now time.Time) bool {
	switch l.conf.LinkLocal4 {
	case netconf.LinkLocal4On:
		return true
	case netconf.LinkLocal4Fallback:
		return l.lease4 == nil && !l.dhcp4Since.IsZero() && now.Sub(l.dhcp4Since) > fallbackAfter
	}
	return false
}

// linkLocal4 is the n-th choice of an address by RFC 3927 section 2.1: pseudo-random from the hardware address, so that the same
// machine has the same one after a boot.
func linkLocal4(mac net.HardwareAddr, n uint32) address {
	h := uint32(2166136261) ^ n*2654435761 // FNV-1a
	for _, b := range mac {
		h = (h ^ uint32(b)) * 16777619
	}
	host := 256 + h%(65536-512) // the first and last 256 addresses are reserved
	return address{
		prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254, byte(host >> 8), byte(host)}), 16),
		scope:  unix.RT_SCOPE_LINK, metric: 2048,
	}
}
