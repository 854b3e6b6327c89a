package network

import (
	"net/netip"
	"slices"
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// view is everything that decides what a link should have: the configuration, the device, and what servers and
// routers said.
type view struct {
	conf *netconf.NetworkConfig
	device
	heard
}

// wanted is what a link should have.
type wanted struct {
	setup   setup   // before it has a carrier
	clients clients // which clients should run

	// With a carrier. The order is that of systemd-networkd: first what the file says, then what servers and routers
	// gave.
	addresses []address
	routes    []route
	rules     []*change
	neighbors []netconf.Neighbor
	mtu       int   // of the lease; 0: the link's own
	mtu6      int   // of IPv6 alone; 0: leave it
	hops      uint8 // the hop limit of IPv6; 0: leave it

	names   names
	awaited awaited

	index map[route]int // the routes by their keys; until they are in order, where each is
}

// clients are the clients that should run on a link.
type clients struct {
	dhcp4, routers bool
	dhcp6          dhcp6Mode
}

// dhcp6Mode is how DHCPv6 is used.
type dhcp6Mode int

const (
	dhcp6Off     dhcp6Mode = iota
	dhcp6Inform            // for all but addresses: an Information-request
	dhcp6Solicit           // for addresses too
)

// names are name servers, search domains and time servers, in order of preference.
type names struct {
	dns          []netip.Addr
	domains, ntp []string
}

// awaited is what the file wants as soon as a server or router says more.
type awaited struct {
	routes     []netconf.Route // whose gateway is not known yet
	dhcp6      bool            // where a router says so
	linkLocal4 bool            // where DHCPv4 gives nothing
}

func (w *wanted) address(a *address) {
	if !w.hasAddress(a.key()) {
		w.addresses = append(w.addresses, *a)
	}
}

func (w *wanted) hasAddress(key addressKey) bool {
	for i := range w.addresses {
		if w.addresses[i].key() == key {
			return true
		}
	}
	return false
}

// route adds a route. If two sources want it, it ends when the later one does.
func (w *wanted) route(r *route) {
	key := r.key()
	if i, twice := w.index[key]; twice {
		w.routes[i].expires = later(w.routes[i].expires, r.expires)
		return
	}
	if w.index == nil {
		w.index = map[route]int{}
	}
	w.index[key] = len(w.routes)
	w.routes = append(w.routes, *r)
}

// want returns what the link should have. It depends on the view and the time only.
func (v *view) want(now time.Time) *wanted {
	w := &wanted{clients: v.wantClients()}
	v.wantSetup(&w.setup)
	v.wantStatic(w)
	if v.lease4 != nil {
		v.wantLease4(w, v.lease4)
	}
	v.wantLinkLocal4(w, now)
	v.wantRouters(w, now)
	v.wantLease6(w, now)
	v.wantLimits(w)
	v.wantNames(&w.names, now)
	w.inOrder()
	return w
}

// wantClients returns each client that can run now.
func (v *view) wantClients() clients {
	var c clients
	if !v.broadcasts || !v.carrier() {
		return c
	}
	c.dhcp4 = v.conf.DHCP4
	if v.linkLocalReady() {
		c.routers = v.conf.AcceptRA
		c.dhcp6 = v.wantDHCP6()
	}
	return c
}

// wantDHCP6 returns how DHCPv6 is used, by the file or by what routers say.
func (v *view) wantDHCP6() dhcp6Mode {
	switch v.conf.DHCPv6.WithoutRA {
	case "solicit":
		return dhcp6Solicit
	case "information-request":
		return dhcp6Inform
	}
	client := v.conf.RA.DHCPv6Client
	switch {
	case len(v.heard.routers) == 0:
		return dhcp6Off
	case client == "always" || client == "yes" && v.managed:
		return dhcp6Solicit
	case client == "yes" && v.other:
		return dhcp6Inform
	}
	return dhcp6Off
}

// wantLease6 adds the addresses of a DHCPv6 lease.
func (v *view) wantLease6(w *wanted, now time.Time) {
	if v.lease6 == nil || !v.conf.DHCPv6.UseAddress {
		return
	}
	for _, a := range v.lease6.addresses {
		if ended(a.valid, now) {
			continue
		}
		// RFC 8415 gives no prefix length, so no other address is assumed to be on the link: RFC 5942 section 5.
		w.address(&address{
			prefix: netip.PrefixFrom(a.addr, 128), flags: unix.IFA_F_NOPREFIXROUTE,
			valid: a.valid, preferred: a.preferred, lapsed: ended(a.preferred, now),
		})
	}
}

// inOrder sorts the routes as the kernel needs them: a route through a gateway comes after the routes to networks on
// the link.
func (w *wanted) inOrder() {
	sort.SliceStable(w.routes, func(i, j int) bool { return rank(w.routes[i]) < rank(w.routes[j]) })
}

func rank(r route) int {
	if r.gateway.IsValid() && !r.onlink {
		return 1
	}
	return 0
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// listed applies a pair of lists as systemd does: if there is an allow list, the deny list is ignored.
func listed(allow, deny []netip.Prefix, p netip.Prefix) bool {
	covers := func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) }
	if len(allow) > 0 {
		return slices.ContainsFunc(allow, covers)
	}
	return !slices.ContainsFunc(deny, covers)
}

// slaac returns the link's addresses in a prefix of at most 64 bits. They are made from the configured tokens, or
// from the hardware address if no token is for this prefix.
func (v *view) slaac(prefix netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	add := func(t netconf.Token) {
		b := prefix.Masked().Addr().As16()
		if id, ok := v.lowerHalf(t, prefix); ok {
			copy(b[8:], id[:])
			out = append(out, netip.PrefixFrom(netip.AddrFrom16(b), prefix.Bits()))
		}
	}
	for _, t := range v.conf.RA.Tokens {
		add(t)
	}
	if len(out) == 0 {
		add(netconf.Token{Mode: "eui64"})
	}
	return out
}

// lowerHalf returns the interface identifier from a token; ok is false if the token is not for that prefix.
func (v *view) lowerHalf(t netconf.Token, prefix netip.Prefix) (id [8]byte, ok bool) {
	switch t.Mode {
	case "static":
		b := t.Addr.As16()
		return [8]byte(b[8:]), true
	case "prefixstable":
		if t.Addr.IsValid() && t.Addr != prefix.Masked().Addr() {
			return id, false
		}
		return v.stableID(t, prefix), true
	}
	return eui64(v.MAC)
}

// eui64 returns the modified EUI-64 interface identifier of RFC 4291 appendix A.
func eui64(mac []byte) (id [8]byte, ok bool) {
	if len(mac) == infiniBandLen { // RFC 4391 section 8: the port's identifier is one
		copy(id[:], mac[infiniBandLen-8:])
		id[0] |= 2
		return id, true
	}
	if len(mac) != 6 {
		return id, false
	}
	copy(id[:3], mac[:3])
	id[3], id[4] = 0xff, 0xfe
	copy(id[5:], mac[3:])
	id[0] ^= 2
	return id, true
}
