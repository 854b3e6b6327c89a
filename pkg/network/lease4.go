package network

import (
	"encoding/binary"
	"math/bits"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// lease4 is a lease of a DHCPv4 server.
type lease4 struct {
	prefix    netip.Prefix
	broadcast netip.Addr // invalid: the usual one
	server    netip.Addr
	routers   []netip.Addr
	classless bool         // routes come from RFC 3442's option, and routers is to be ignored
	routes    []leaseRoute // else they come from RFC 2132's option
	dns, ntp  []netip.Addr
	domains   []string
	hostname  string
	boot      Boot
	wrong     []string // what is wrong with boot
	mtu       int
	since     time.Time
	lifetime  time.Duration // 0: no end
	renew     time.Duration // T1, counted from since
	rebind    time.Duration // T2
	ack       *dhcpv4.DHCPv4
}

// leaseRoute is a route of a lease. Without a router the destination is on the link.
type leaseRoute struct {
	to  netip.Prefix
	via netip.Addr
}

// readLease4 reads a usable acknowledgement. An option that is wrong is skipped, and the others count.
func readLease4(ack *dhcpv4.DHCPv4) *lease4 {
	ip, _ := netip.AddrFromSlice(ack.YourIPAddr.To4())
	prefix, _ := prefix4(ip, ack.SubnetMask())
	said := boot4(ack)
	l := &lease4{
		prefix:    prefix,
		broadcast: addrOrNone(ack.BroadcastAddress()),
		server:    server4(ack),
		routers:   addrs(ack.Router()),
		dns:       addrs(ack.DNS()),
		ntp:       addrs(ack.NTPServers()),
		hostname:  plainName(ack.HostName()),
		boot:      said.boot,
		wrong:     said.wrong,
		since:     time.Now(),
		ack:       ack,
	}
	if domain := strings.TrimRight(ack.DomainName(), "\x00"); domain != "" {
		l.domains = append(l.domains, domain)
	}
	if search := domainSearch(ack); search != nil {
		l.domains = appendNew(l.domains, slices.DeleteFunc(search.Labels, func(s string) bool { return s == "" }))
	}
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil && mtu >= 68 { // RFC 2132 5.1
		l.mtu = int(mtu)
	}
	l.routes = classlessRoutes(ack.Options.Get(dhcpv4.OptionClasslessStaticRoute))
	l.classless = len(l.routes) > 0
	if !l.classless {
		l.routes = classfulRoutes(ack.Options.Get(dhcpv4.OptionStaticRoutingTable))
	}
	l.times(ack)
	return l
}

// domainSearch returns the search list; nil if there is none, or one that is too long.
func domainSearch(ack *dhcpv4.DHCPv4) *rfc1035label.Labels {
	if len(ack.Options.Get(dhcpv4.OptionDNSDomainSearchList)) > longestNames {
		return nil
	}
	return ack.DomainSearch()
}

// times sets the lifetime and when the lease is to be extended: RFC 2131 section 4.4.5, with its defaults where T1
// and T2 are missing or in the wrong order. A lease without a time has no end.
func (l *lease4) times(ack *dhcpv4.DHCPv4) {
	t := ack.IPAddressLeaseTime(0)
	if t <= 0 || t >= time.Duration(1<<32-1)*time.Second {
		return
	}
	l.lifetime, l.renew, l.rebind = t, ack.IPAddressRenewalTime(0), ack.IPAddressRebindingTime(0)
	if l.rebind <= 0 || l.rebind >= t {
		l.rebind = t / 8 * 7
	}
	if l.renew <= 0 || l.renew >= l.rebind {
		l.renew = t / 2
	}
	if l.renew >= l.rebind {
		l.rebind = t / 8 * 7
	}
}

// prefix4 returns the address with the prefix length of the netmask. If the netmask has holes its lowest bit that is
// set counts, as with systemd. Without a netmask the class of the address counts; ok is false if the address has no
// class.
func prefix4(ip netip.Addr, mask net.IPMask) (p netip.Prefix, ok bool) {
	if len(mask) == 4 {
		return netip.PrefixFrom(ip, 32-bits.TrailingZeros32(binary.BigEndian.Uint32(mask))), true
	}
	n := classBits(ip)
	return netip.PrefixFrom(ip, n), n > 0
}

// classBits returns the length of the network part of an address by its class (RFC 791 section 3.2); 0 if it has
// none.
func classBits(ip netip.Addr) int {
	switch first := ip.As4()[0]; {
	case first < 128:
		return 8
	case first < 192:
		return 16
	case first < 224:
		return 24
	}
	return 0
}

// classlessRoutes reads RFC 3442's option up to the first route that is malformed.
func classlessRoutes(b []byte) []leaseRoute {
	var out []leaseRoute
	for len(b) > 0 {
		n := int(b[0])
		octets := (n + 7) / 8
		if n > 32 || len(b) < 1+octets+4 {
			break
		}
		var to [4]byte
		copy(to[:], b[1:1+octets])
		via := addrOrNone(net.IP(b[1+octets : 1+octets+4]))
		out = append(out, leaseRoute{netip.PrefixFrom(netip.AddrFrom4(to), n).Masked(), via})
		b = b[1+octets+4:]
	}
	return out
}

// classfulRoutes reads the static routes of RFC 2132 section 5.8: pairs of a destination and a router. The class of
// the destination gives its length.
func classfulRoutes(b []byte) []leaseRoute {
	if len(b)%8 != 0 {
		return nil
	}
	var out []leaseRoute
	for pair := range slices.Chunk(b, 8) {
		to := netip.AddrFrom4([4]byte(pair[:4]))
		if n := classBits(to); n > 0 {
			out = append(out, leaseRoute{netip.PrefixFrom(to, n).Masked(), addrOrNone(net.IP(pair[4:]))})
		}
	}
	return out
}

// addrs converts addresses and skips those that no host can have.
func addrs(ips []net.IP) []netip.Addr {
	var out []netip.Addr
	for _, ip := range ips {
		if a := addrOrNone(ip); a.IsValid() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

func addrOrNone(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip)
	a = a.Unmap()
	if !ok || a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}
	}
	return a
}

// elsewhere skips loopback addresses: a server that names them means its own resolver, not this machine's.
func elsewhere(list []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), netip.Addr.IsLoopback)
}

// wantLease4 adds what the configuration takes from a lease.
func (v *view) wantLease4(w *wanted, lease *lease4) {
	p := v.leasePlan(w, lease)
	p.address()
	p.gateway()
	if p.conf.UseRoutes {
		for _, r := range lease.routes {
			p.auto(r.to, r.via)
		}
	}
	for _, s := range v.conf.Routes {
		if s.GatewayFrom == "dhcp4" {
			p.through(s)
		}
	}
	if p.conf.UseDNS && p.conf.RoutesToDNS {
		p.servers(lease.dns)
	}
	if p.conf.UseNTP && p.conf.RoutesToNTP {
		p.servers(lease.ntp)
	}
}

// leasePlan collects what a link should have from one lease.
type leasePlan struct {
	view    *view
	want    *wanted
	lease   *lease4
	conf    netconf.DHCPv4
	base    route // what all routes have
	expires time.Time
}

func (v *view) leasePlan(w *wanted, lease *lease4) *leasePlan {
	c := v.conf.DHCPv4
	p := &leasePlan{view: v, want: w, lease: lease, conf: c}
	if lease.lifetime > 0 {
		p.expires = lease.since.Add(lease.lifetime)
	}
	p.base = route{
		family: unix.AF_INET, table: v.table(c.RouteTable), protocol: unix.RTPROT_DHCP, kind: unix.RTN_UNICAST,
		metric: c.RouteMetric, prefsrc: lease.prefix.Addr(), device: true,
	}
	p.base.metrics[unix.RTAX_MTU] = uint32(c.RouteMTU)
	p.base.metrics[unix.RTAX_INITCWND] = uint32(c.InitCwnd)
	p.base.metrics[unix.RTAX_INITRWND] = uint32(c.InitRwnd)
	if c.QuickAck {
		p.base.metrics[unix.RTAX_QUICKACK] = 1
	}
	return p
}

func (p *leasePlan) address() {
	a := address{prefix: p.lease.prefix, label: p.conf.Label, metric: p.conf.RouteMetric, valid: p.expires}
	if p.lease.prefix.Bits() <= 30 { // RFC 3021
		a.broadcast = p.lease.broadcast
	}
	if p.base.table != p.view.table(0) { // the kernel would put the route to the network into the main table
		a.flags |= unix.IFA_F_NOPREFIXROUTE
		p.onLink(p.lease.prefix.Masked())
	}
	p.want.address(&a)
}

func (p *leasePlan) onLink(to netip.Prefix) {
	r := p.base
	r.dst, r.scope = to, unix.RT_SCOPE_LINK
	p.want.route(&r)
}

// via adds a route through a gateway. The gateway may lie outside the netmask (with a /32 it does), so it gets a
// route of its own.
func (p *leasePlan) via(to netip.Prefix, gateway netip.Addr) {
	p.onLink(host(gateway))
	r := p.base
	if to.Bits() > 0 {
		r.dst = to
	}
	r.gateway = gateway
	p.want.route(&r)
}

// auto adds a route through a gateway, or on the link if there is no gateway.
func (p *leasePlan) auto(to netip.Prefix, gateway netip.Addr) {
	own := p.lease.prefix.Addr()
	switch {
	case to.Addr().IsLoopback():
		r := p.base
		r.dst, r.scope, r.prefsrc = to, unix.RT_SCOPE_HOST, netip.Addr{}
		p.want.route(&r)
	case to.Addr() == own:
		r := p.base
		r.dst, r.scope = to, unix.RT_SCOPE_HOST
		p.want.route(&r)
	case !gateway.IsValid():
		p.onLink(to)
	default:
		p.via(to, gateway)
	}
}

// gateway adds the default route. RFC 3442: with classless routes the Router option is ignored.
func (p *leasePlan) gateway() {
	if p.conf.UseGateway && len(p.lease.routers) > 0 && (!p.lease.classless || !p.conf.UseRoutes) {
		p.via(netip.Prefix{}, p.lease.routers[0])
	}
}

// gatewayFor returns the next hop to a destination, which is invalid if the destination is on the link. found is
// false if there is no route.
func (p *leasePlan) gatewayFor(to netip.Prefix) (gateway netip.Addr, found bool) {
	bits := -1
	if covers(p.lease.prefix, to) {
		bits, found = p.lease.prefix.Bits(), true
	}
	for _, r := range p.lease.routes {
		if covers(r.to, to) && r.to.Bits() >= bits {
			bits, gateway, found = r.to.Bits(), r.via, true
		}
	}
	if !found && !p.lease.classless && len(p.lease.routers) > 0 {
		return p.lease.routers[0], true
	}
	return gateway, found
}

func covers(p, q netip.Prefix) bool { return p.Bits() <= q.Bits() && p.Contains(q.Addr()) }

// through adds a route of the file whose gateway comes from the lease.
func (p *leasePlan) through(s netconf.Route) {
	to := s.Destination
	if !to.IsValid() {
		to = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	gateway, found := p.gatewayFor(to)
	if !found || !gateway.IsValid() {
		return
	}
	p.onLink(host(gateway))
	s.Gateway = gateway
	r := p.view.staticRoute(&s)
	if s.Protocol == 0 {
		r.protocol = unix.RTPROT_DHCP
	}
	if s.Metric == nil {
		r.metric = p.conf.RouteMetric
	}
	if s.Table == 0 {
		r.table = p.base.table
	}
	p.want.route(r)
}

// servers adds a route to each server.
func (p *leasePlan) servers(list []netip.Addr) {
	for _, s := range list {
		if gateway, found := p.gatewayFor(host(s)); found {
			p.auto(host(s), gateway)
		}
	}
}
