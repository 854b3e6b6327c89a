package network

import (
	"net/netip"
	"slices"
	"time"
)

// routers are the routers of a link, in the order of their addresses.
type routers []*router

// router is what one router has announced and what is still valid. An advertisement adds to it, and withdraws only
// what it names: "the receipt of a Router Advertisement MUST NOT invalidate all information received in a previous
// advertisement or from another source", RFC 4861 section 6.3.4. Routers split what does not fit into one message.
//
// If routers contradict each other, the RFC prefers the last one. Here each router's word stays valid: otherwise
// anybody on the link could take the network away from an unattended machine.
type router struct {
	addr       netip.Addr // link-local, with its zone
	until      time.Time  // as a default router; in the past: it is none
	preference uint8      // as a default router
	hopLimit   uint8      // 0: never said
	mtu        int        // 0: never said
	prefixes   []slaacPrefix
	onLink     []piece[netip.Prefix]
	routes     []piece[netip.Prefix]
	dns        []piece[netip.Addr]
	search     []piece[string]
}

// piece is one thing that a router announced, with its own end.
type piece[K comparable] struct {
	what       K
	preference uint8     // of a route
	until      time.Time // zero: never
}

// slaacPrefix is a prefix for autoconfigured addresses.
type slaacPrefix struct {
	prefix           netip.Prefix
	valid, preferred time.Time // zero: forever
}

// Limits of what is remembered: anybody on the link can pretend to be many routers.
const (
	maxRouters  = 16  // of a link
	maxPrefixes = 32  // of a router, like the rest
	maxRoutes   = 256 // some routers announce more than a hundred
	maxNames    = 64  // name servers, and search domains: as systemd-networkd
)

// ended reports whether the time has come; it never does for the zero time.
func ended(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// later returns the later of two ends.
func later(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && a.After(b) {
		return a
	}
	return b
}

// hear takes in an advertisement. It returns false if there are already too many routers.
func (rs *routers) hear(a advert, now time.Time) bool {
	r := rs.find(a.router)
	if r == nil {
		if len(*rs) >= maxRouters { // drop routers of which nothing is valid any more
			*rs = slices.DeleteFunc(*rs, func(r *router) bool { return !r.holds(now) })
		}
		if len(*rs) >= maxRouters {
			return false
		}
		r = &router{addr: a.router}
		*rs = append(*rs, r)
		slices.SortFunc(*rs, func(a, b *router) int { return a.addr.Compare(b.addr) })
	}
	r.hear(a, now)
	return true
}

func (rs routers) find(addr netip.Addr) *router {
	for _, r := range rs {
		if r.addr == addr {
			return r
		}
	}
	return nil
}

// hear takes in what the router announces.
func (r *router) hear(a advert, now time.Time) {
	r.forget(now)
	r.until, r.preference = now.Add(a.lifetime), a.preference
	if a.lifetime == 0 { // it is no default router any more, not by an earlier option either
		r.routes = drop(r.routes, netip.PrefixFrom(netip.IPv6Unspecified(), 0))
	}
	if a.hopLimit != 0 {
		r.hopLimit = a.hopLimit
	}
	if a.mtu != 0 {
		r.mtu = a.mtu
	}
	for _, p := range a.prefixes {
		if p.onLink {
			r.onLink = hear(r.onLink, advertPiece[netip.Prefix]{p.prefix, a.preference, p.valid}, maxPrefixes, now)
		}
		if p.autonomous {
			r.prefixes = hearPrefix(r.prefixes, p, now)
		}
	}
	r.routes = hearAll(r.routes, a.routes, maxRoutes, now)
	r.dns = hearAll(r.dns, a.dns, maxNames, now)
	r.search = hearAll(r.search, a.search, maxNames, now)
}

// forget drops what has ended.
func (r *router) forget(now time.Time) {
	r.prefixes = slices.DeleteFunc(r.prefixes, func(p slaacPrefix) bool { return ended(p.valid, now) })
	r.onLink = living(r.onLink, now)
	r.routes = living(r.routes, now)
	r.dns = living(r.dns, now)
	r.search = living(r.search, now)
}

// holds reports whether anything that the router announced is still valid.
func (r *router) holds(now time.Time) bool {
	return !ended(r.until, now) ||
		slices.ContainsFunc(r.prefixes, func(p slaacPrefix) bool { return !ended(p.valid, now) }) ||
		len(whatLives(r.onLink, now))+len(whatLives(r.routes, now)) > 0 ||
		len(whatLives(r.dns, now))+len(whatLives(r.search, now)) > 0
}

// whatLives returns what has not ended.
func whatLives[K comparable](list []piece[K], now time.Time) (what []K) {
	for _, p := range list {
		if !ended(p.until, now) {
			what = append(what, p.what)
		}
	}
	return what
}

// hearAll takes in all things of one kind from an advertisement. Withdrawals come first, so a message that both
// withdraws and announces the same thing announces it, as with systemd-networkd.
func hearAll[K comparable](list []piece[K], said []advertPiece[K], most int, now time.Time) []piece[K] {
	for _, withdrawn := range []bool{true, false} {
		for _, s := range said {
			if (s.lifetime == 0) == withdrawn {
				list = hear(list, s, most, now)
			}
		}
	}
	return list
}

// hear replaces what was known about one thing. A lifetime of zero withdraws it.
func hear[K comparable](list []piece[K], s advertPiece[K], most int, now time.Time) []piece[K] {
	if s.lifetime == 0 {
		return drop(list, s.what)
	}
	p := piece[K]{s.what, s.preference, until(s.lifetime, now)}
	if i := slices.IndexFunc(list, func(old piece[K]) bool { return old.what == s.what }); i >= 0 {
		list[i] = p
	} else if len(list) < most {
		list = append(list, p)
	}
	return list
}

func drop[K comparable](list []piece[K], what K) []piece[K] {
	return slices.DeleteFunc(list, func(p piece[K]) bool { return p.what == what })
}

func living[K comparable](list []piece[K], now time.Time) []piece[K] {
	return slices.DeleteFunc(list, func(p piece[K]) bool { return ended(p.until, now) })
}

// hearPrefix takes in a prefix for addresses.
func hearPrefix(list []slaacPrefix, p advertPrefix, now time.Time) []slaacPrefix {
	heard := slaacPrefix{p.prefix, until(p.valid, now), until(p.preferred, now)}
	if i := slices.IndexFunc(list, func(old slaacPrefix) bool { return old.prefix == p.prefix }); i >= 0 {
		heard.valid = validUntil(list[i].valid, p.valid, now)
		list[i] = heard
	} else if p.valid != 0 && len(list) < maxPrefixes { // RFC 4862 section 5.5.3 d
		list = append(list, heard)
	}
	return list
}

// validUntil returns when an address ends that was valid until old, after its router gives the prefix a new lifetime.
// No router can end it at once: RFC 4862 section 5.5.3 e, "the two-hour rule".
func validUntil(old time.Time, lifetime time.Duration, now time.Time) time.Time {
	const grace = 2 * time.Hour
	said, least := until(lifetime, now), now.Add(grace)
	switch {
	case lifetime > grace || later(said, old) == said:
		return said
	case later(old, least) == least:
		return old
	}
	return least
}

// prefixesAt returns the prefixes for addresses. A prefix from several routers is valid until the latest end.
func (rs routers) prefixesAt(now time.Time) []slaacPrefix {
	var out []slaacPrefix
	for _, r := range rs {
		for _, p := range r.prefixes {
			if ended(p.valid, now) {
				continue
			}
			i := slices.IndexFunc(out, func(q slaacPrefix) bool { return q.prefix == p.prefix })
			if i < 0 {
				out = append(out, p)
				continue
			}
			out[i].valid, out[i].preferred = later(out[i].valid, p.valid), later(out[i].preferred, p.preferred)
		}
	}
	return out
}

// mtu returns the MTU that the routers want for IPv6 on a link with the MTU own: the smallest, because each router
// may know of a hop that passes no more. It returns 0 if no router wants a possible one.
func (rs routers) mtu(own int) int {
	var mtu int
	for _, r := range rs {
		if r.mtu != 0 && r.mtu <= own && (mtu == 0 || r.mtu < mtu) {
			mtu = r.mtu
		}
	}
	return mtu
}

// hopLimit returns the hop limit that the routers want: the largest, so that no router can cut off what lies behind
// another. A router that gives none accepts the link's own. It returns 0 if no router gives one.
func (rs routers) hopLimit(own uint8) uint8 {
	var most uint8
	open := false
	for _, r := range rs {
		most = max(most, r.hopLimit)
		open = open || r.hopLimit == 0
	}
	if most != 0 && open {
		return max(most, own)
	}
	return most
}
