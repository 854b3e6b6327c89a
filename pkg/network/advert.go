package network

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/ipv6"
)

// advert is one router advertisement: RFC 4861 section 4.2. A lifetime of zero withdraws; infinity has no end.
type advert struct {
	router     netip.Addr    // link-local, with its zone
	lifetime   time.Duration // as a default router
	preference uint8         // as a default router
	managed    bool          // addresses come from DHCPv6
	other      bool          // other configuration comes from DHCPv6
	hopLimit   uint8         // 0: not said
	mtu        int           // 0: not said
	prefixes   []advertPrefix
	routes     []advertPiece[netip.Prefix]
	dns        []advertPiece[netip.Addr]
	search     []advertPiece[string]
}

type advertPrefix struct {
	prefix             netip.Prefix
	onLink, autonomous bool
	valid, preferred   time.Duration
}

// advertPiece is a route, a name server or a search domain.
type advertPiece[K comparable] struct {
	what       K
	preference uint8 // of a route
	lifetime   time.Duration
}

// Types of options: RFC 4861 section 4.6, RFC 4191 section 2.3, RFC 8106 section 5.
const (
	optPrefix = 3
	optMTU    = 5
	optRoute  = 24
	optRDNSS  = 25
	optDNSSL  = 31
)

// maxOptions is the number of options of an advertisement that are read, the same as systemd-networkd reads.
const maxOptions = 128

// parseAdvert reads the ICMPv6 message of a router advertisement. It skips an option that is malformed or unknown and
// reads the others: RFC 4861 section 6.1.2. It refuses the message only if an option has no end: section 4.6.
//
// The ndp library does not fit: it refuses the whole message for one bad option, drops the bits of a route's prefix
// after the last whole byte, and refuses options of 256 bytes and more.
func parseAdvert(b []byte, router netip.Addr) (advert, error) {
	const header = 16
	if len(b) < header || b[0] != byte(ipv6.ICMPTypeRouterAdvertisement) || b[1] != 0 {
		return advert{}, errors.New("not a router advertisement")
	}
	a := advert{
		router:     router,
		hopLimit:   b[4],
		managed:    b[5]&0x80 != 0,
		other:      b[5]&0x40 != 0,
		preference: b[5] >> 3 & 3,
		lifetime:   time.Duration(binary.BigEndian.Uint16(b[6:])) * time.Second,
	}
	if a.preference == preferenceReserved { // RFC 4191 section 2.2
		a.preference = preferenceMedium
	}
	for n, rest := 0, b[header:]; len(rest) > 0; n++ {
		if len(rest) < 8 || rest[1] == 0 || int(rest[1])*8 > len(rest) {
			return advert{}, errors.New("an option of a router advertisement has no end")
		}
		option := rest[:int(rest[1])*8]
		rest = rest[len(option):]
		if n < maxOptions {
			a.read(option)
		}
	}
	return a, nil
}

// read takes in one option and skips it if it is malformed. If a message says something twice, the first counts, as
// with systemd-networkd.
func (a *advert) read(o []byte) {
	switch o[0] {
	case optPrefix:
		p, ok := readPrefix(o)
		if ok && !slices.ContainsFunc(a.prefixes, func(q advertPrefix) bool { return q.prefix == p.prefix }) {
			a.prefixes = append(a.prefixes, p)
		}
	case optMTU:
		// RFC 8200 section 5: no link has a smaller MTU.
		if mtu := binary.BigEndian.Uint32(o[4:]); len(o) == 8 && mtu >= minMTU6 && mtu <= 1<<30 && a.mtu == 0 {
			a.mtu = int(mtu)
		}
	case optRoute:
		r, ok := readRoute(o)
		if ok && !slices.ContainsFunc(a.routes, func(s advertPiece[netip.Prefix]) bool { return s.what == r.what }) {
			a.routes = append(a.routes, r)
		}
	case optRDNSS:
		for _, server := range readServers(o, a.router.Zone()) {
			a.dns = append(a.dns, advertPiece[netip.Addr]{what: server, lifetime: lifetime32(o[4:])})
		}
	case optDNSSL:
		for _, domain := range readDomains(o) {
			a.search = append(a.search, advertPiece[string]{what: domain, lifetime: lifetime32(o[4:])})
		}
	}
}

// infinity is the lifetime of what has no end: all ones, RFC 4861 section 4.6.2.
const infinity = 0xffffffff * time.Second

// lifetime32 reads a lifetime of 32 bits, of which all ones are infinity.
func lifetime32(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Second
}

// readPrefix reads a Prefix Information option.
func readPrefix(o []byte) (p advertPrefix, ok bool) {
	if len(o) != 32 || o[2] > 128 {
		return p, false
	}
	p = advertPrefix{
		prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte(o[16:])), int(o[2])).Masked(),
		onLink: o[3]&0x80 != 0,
		// RFC 4862 section 5.5.3 d: an interface identifier has 64 bits, and fills up the prefix to 128.
		autonomous: o[3]&0x40 != 0 && o[2] == 64,
		valid:      lifetime32(o[4:]),
		preferred:  lifetime32(o[8:]),
	}
	// RFC 4862 section 5.5.3 b and c: a router cannot announce the link-local prefix, and the preferred lifetime is
	// not longer than the valid one.
	a := p.prefix.Addr()
	return p, !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsUnspecified() && p.preferred <= p.valid
}

// readRoute reads a Route Information option. Its length tells how many bytes of the prefix it holds.
func readRoute(o []byte) (r advertPiece[netip.Prefix], ok bool) {
	bits := int(o[2])
	if len(o) > 24 || bits > 128 || len(o)-8 < (bits+63)/64*8 {
		return r, false
	}
	var addr [16]byte
	copy(addr[:], o[8:])
	r.what = netip.PrefixFrom(netip.AddrFrom16(addr), bits).Masked()
	r.preference = o[3] >> 3 & 3
	r.lifetime = lifetime32(o[4:])
	return r, r.preference != preferenceReserved // RFC 4191 section 2.3
}

// readServers reads the addresses of a Recursive DNS Server option and adds the zone to link-local ones.
func readServers(o []byte, zone string) (servers []netip.Addr) {
	if len(o)%16 != 8 {
		return nil
	}
	for rest := o[8:]; len(rest) > 0; rest = rest[16:] {
		s := netip.AddrFrom16([16]byte(rest))
		if s.IsUnspecified() || s.IsMulticast() || s.IsLoopback() {
			continue // no name server can have this address
		}
		if s.IsLinkLocalUnicast() {
			s = s.WithZone(zone)
		}
		servers = append(servers, s)
	}
	return servers
}

// readDomains reads the names of a DNS Search List option: RFC 1035 section 3.1 without compression, padded with zeros.
func readDomains(o []byte) (names []string) {
	var labels []string
	for rest := o[8:]; len(rest) > 0; {
		n := int(rest[0])
		rest = rest[1:]
		switch {
		case n > 63 || n > len(rest):
			return nil
		case n > 0:
			labels = append(labels, string(rest[:n]))
			rest = rest[n:]
		case len(labels) > 0:
			// A dot inside a label would change the name.
			if !slices.ContainsFunc(labels, func(l string) bool { return strings.Contains(l, ".") }) {
				names = append(names, domains([]string{strings.Join(labels, ".")})...)
			}
			labels = nil
		}
	}
	if len(labels) > 0 {
		return nil // the last name has no end
	}
	return names
}

// until returns when a lifetime that begins now ends. The zero time means never.
func until(lifetime time.Duration, now time.Time) time.Time {
	if lifetime >= infinity {
		return time.Time{}
	}
	return now.Add(lifetime)
}
