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

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// listed is systemd's rule for a pair of lists: with an allow list only that counts.
func listed(allow, deny []netip.Prefix, p netip.Prefix) bool {
	covers := func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) }
	if len(allow) > 0 {
		return slices.ContainsFunc(allow, covers)
	}
	return !slices.ContainsFunc(deny, covers)
}

// slaac makes the link's addresses in a prefix of at most 64 bits, by the configured tokens or, where none of them is for this
// prefix, from the hardware address.
func (l *link) slaac(prefix netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	add := func(t netconf.Token) {
		b := prefix.Masked().Addr().As16()
		if id, ok := l.lowerHalf(t, prefix); ok {
			copy(b[8:], id[:])
			out = append(out, netip.PrefixFrom(netip.AddrFrom16(b), prefix.Bits()))
		}
	}
	for _, t := range l.conf.RA.Tokens {
		add(t)
	}
	if len(out) == 0 {
		add(netconf.Token{Mode: "eui64"})
	}
	return out
}

// lowerHalf is the interface identifier that a token gives in a prefix, if it is for that prefix.
func (l *link) lowerHalf(t netconf.Token, prefix netip.Prefix) (id [8]byte, ok bool) {
	switch t.Mode {
	case "static":
		b := t.Addr.As16()
		return [8]byte(b[8:]), true
	case "prefixstable":
		if t.Addr.IsValid() && t.Addr != prefix.Masked().Addr() {
			return id, false
		}
		return l.stableID(t, prefix), true
	}
	return eui64(l.dev.MAC)
}

// eui64 is the modified EUI-64 interface identifier of RFC 4291 appendix A.
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
