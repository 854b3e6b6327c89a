package network

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// wanted is what a link should have, in the order in which it is to be set.
type wanted struct {
	addresses []address
	routes    []route
	index     map[route]int // where in routes each is, by its key, until they are sorted
}

func (w *wanted) address(a address) {
	if !slices.ContainsFunc(w.addresses, func(b address) bool { return a.key() == b.key() }) {
		w.addresses = append(w.addresses, a)
	}
}

// route adds a route. What is wanted twice is wanted as long as either says.
func (w *wanted) route(r route) {
	if i, twice := w.index[r.key()]; twice {
		w.routes[i].expires = later(w.routes[i].expires, r.expires)
		return
	}
	if w.index == nil {
		w.index = map[route]int{}
	}
	w.index[r.key()] = len(w.routes)
	w.routes = append(w.routes, r)
}

// wanted puts together the configuration and what servers and routers said. The order is that of systemd-networkd: what is
// written in a file stands before what came from outside.
func (l *link) wanted(now time.Time) wanted {
	var w wanted
	l.wantStatic(&w)
	if l.lease4 != nil {
		l.wantLease4(&w, l.lease4)
	}
	if l.linkLocal4Due(now) {
		w.address(linkLocal4(l.dev.MAC, l.linkLocal4Try))
	}
	l.wantRouters(&w, now)
	if l.lease6 != nil && l.conf.DHCPv6.UseAddress {
		for _, a := range l.lease6.addresses {
			if ended(a.valid, now) {
				continue
			}
			// RFC 8415 says nothing of a prefix, so no other address is taken to be on the link: RFC 5942 section 5.
			w.address(address{
				prefix: netip.PrefixFrom(a.addr, 128), flags: unix.IFA_F_NOPREFIXROUTE,
				valid: a.valid, preferred: a.preferred, lapsed: ended(a.preferred, now),
			})
		}
	}
	// A route to a gateway needs the route to the gateway's own network first.
	slices.SortStableFunc(w.routes, func(a, b route) int { return rank(a) - rank(b) })
	return w
}

func rank(r route) int {
	if r.gateway.IsValid() && !r.onlink {
		return 1
	}
	return 0
}

func (l *link) wantLease4(w *wanted, lease *lease4) {
	c := l.conf.DHCPv4
	var expires time.Time
	if lease.lifetime > 0 {
		expires = lease.since.Add(lease.lifetime)
	}
	own := lease.prefix.Addr()
	table := l.table(c.RouteTable)
	a := address{prefix: lease.prefix, label: c.Label, metric: c.RouteMetric, valid: expires}
	base := route{family: unix.AF_INET, table: table, protocol: unix.RTPROT_DHCP, kind: unix.RTN_UNICAST, metric: c.RouteMetric, prefsrc: own, device: true}
	base.metrics[unix.RTAX_MTU] = uint32(c.RouteMTU)
	base.metrics[unix.RTAX_INITCWND] = uint32(c.InitCwnd)
	base.metrics[unix.RTAX_INITRWND] = uint32(c.InitRwnd)
	if c.QuickAck {
		base.metrics[unix.RTAX_QUICKACK] = 1
	}
	if table != l.table(0) { // the kernel would put the route to the network into the main table
		a.flags |= unix.IFA_F_NOPREFIXROUTE
		r := base
		r.dst, r.scope = lease.prefix.Masked(), unix.RT_SCOPE_LINK
		w.route(r)
	}
	w.address(a)

	onLink := func(to netip.Prefix) {
		r := base
		r.dst, r.scope = to, unix.RT_SCOPE_LINK
		w.route(r)
	}
	// The netmask may leave the gateway out (a /32 does), so it gets a route of its own.
	via := func(to netip.Prefix, gateway netip.Addr) {
		onLink(host(gateway))
		r := base
		if to.Bits() > 0 {
			r.dst = to
		}
		r.gateway = gateway
		w.route(r)
	}
	auto := func(to netip.Prefix, gateway netip.Addr) {
		switch {
		case to == host(own):
			r := base
			r.dst, r.scope = to, unix.RT_SCOPE_HOST
			w.route(r)
		case !gateway.IsValid():
			onLink(to)
		default:
			via(to, gateway)
		}
	}
	// RFC 3442: where there are classless routes the Router option does not count.
	router := netip.Addr{}
	if len(lease.routers) > 0 && len(lease.classless) == 0 {
		router = lease.routers[0]
	}
	if c.UseGateway && len(lease.routers) > 0 && (len(lease.classless) == 0 || !c.UseRoutes) {
		via(netip.Prefix{}, lease.routers[0])
	}
	if c.UseRoutes {
		for _, r := range lease.classless {
			auto(r.to, r.via)
		}
	}
	// gatewayFor is the next hop to a destination: none if it is on the link, and found false if there is no way.
	gatewayFor := func(to netip.Prefix) (gateway netip.Addr, found bool) {
		bits := -1
		if lease.prefix.Bits() <= to.Bits() && lease.prefix.Contains(to.Addr()) {
			bits, found = lease.prefix.Bits(), true
		}
		for _, r := range lease.classless {
			if r.to.Bits() <= to.Bits() && r.to.Contains(to.Addr()) && r.to.Bits() >= bits {
				bits, gateway, found = r.to.Bits(), r.via, true
			}
		}
		if !found && router.IsValid() {
			return router, true
		}
		return gateway, found
	}
	for _, s := range l.conf.Routes {
		if s.GatewayFrom != "dhcp4" {
			continue
		}
		to := s.Destination
		if !to.IsValid() {
			to = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		gateway, found := gatewayFor(to)
		if !found || !gateway.IsValid() {
			continue
		}
		onLink(host(gateway))
		s.Gateway = gateway
		r := l.staticRoute(s)
		if s.Protocol == 0 {
			r.protocol = unix.RTPROT_DHCP
		}
		if s.Metric == nil {
			r.metric = c.RouteMetric
		}
		if s.Table == 0 {
			r.table = table
		}
		w.route(r)
	}
	servers := func(use, routes bool, list []netip.Addr) {
		if !use || !routes {
			return
		}
		for _, s := range list {
			if gateway, found := gatewayFor(host(s)); found && !s.IsLoopback() {
				auto(host(s), gateway)
			}
		}
	}
	servers(c.UseDNS, c.RoutesToDNS, lease.dns)
	servers(c.UseNTP, c.RoutesToNTP, lease.ntp)
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// listed is systemd's rule for a pair of lists: with an allow list only that counts.
func listed(allow, deny []netip.Prefix, p netip.Prefix) bool {
	covers := func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) }
	if len(allow) > 0 {
		return slices.ContainsFunc(allow, covers)
	}
	return !slices.ContainsFunc(deny, covers)
}

// slaac makes the link's addresses in a prefix of at most 64 bits, by the configured tokens or from the hardware address.
func (l *link) slaac(prefix netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	tokens := l.conf.RA.Tokens
	if len(tokens) == 0 {
		tokens = []netconf.Token{{Mode: "eui64"}}
	}
	upper := prefix.Masked().Addr().As16()
	for _, t := range tokens {
		b := upper
		switch t.Mode {
		case "static":
			lower := t.Addr.As16()
			copy(b[8:], lower[8:])
		default:
			id, ok := eui64(l.dev.MAC)
			if !ok {
				continue
			}
			copy(b[8:], id[:])
		}
		out = append(out, netip.PrefixFrom(netip.AddrFrom16(b), prefix.Bits()))
	}
	return out
}

// eui64 is the modified EUI-64 interface identifier of RFC 4291 appendix A.
func eui64(mac []byte) (id [8]byte, ok bool) {
	if len(mac) != 6 {
		return id, false
	}
	copy(id[:3], mac[:3])
	id[3], id[4] = 0xff, 0xfe
	copy(id[5:], mac[3:])
	id[0] ^= 2
	return id, true
}
