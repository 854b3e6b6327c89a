package network

import (
	"net/netip"
	"slices"
	"time"
)

// routers are those that advertised themselves on a link, in the order of their addresses.
type routers []*router

// router is what one router has said so far and what of that still holds. An advertisement adds to it, and withdraws
// only what it names: "the receipt of a Router Advertisement MUST NOT invalidate all information received in a previous
// advertisement or from another source", RFC 4861 section 6.3.4. Routers send what does not fit into one message in
// several.
//
// Where routers contradict each other the RFC goes by the last that spoke. Here each goes on to count: anybody on the
// link could take the network away from a machine that nobody sits at.
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

// piece is one thing that a router said, with an end of its own.
type piece[K comparable] struct {
	what       K
	preference uint8     // of a route
	until      time.Time // zero: never
}

// slaacPrefix is a prefix to make addresses in.
type slaacPrefix struct {
	prefix           netip.Prefix
	valid, preferred time.Time // zero: forever
}

// Limits of what is remembered: whoever can send to the link can claim to be a router, and to be many.
const (
	maxRouters  = 16  // of a link
	maxPrefixes = 32  // of a router, like the rest
	maxRoutes   = 256 // there are routers that announce some hundred
	maxNames    = 64  // name servers, and search domains: as systemd-networkd
)

// ended reports whether the moment has come; the zero time never does.
func ended(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// later is the later of two ends.
func later(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && a.After(b) {
		return a
	}
	return b
}

// hear takes in an advertisement. It reports false for one of a router too many.
func (rs *routers) hear(a advert, now time.Time) bool {
	r := rs.find(a.router)
	if r == nil {
		if len(*rs) >= maxRouters { // one that has nothing to give any more makes room
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

// hear takes in what the router says.
func (r *router) hear(a advert, now time.Time) {
	r.forget(now)
	r.until, r.preference = now.Add(a.lifetime), a.preference
	if a.lifetime == 0 { // it is no default router, neither by an option of before
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

// holds reports whether anything that the router said still counts.
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

// hearAll takes in what an advertisement says of one kind of things. What it withdraws goes first, so that one which
// does both to the same thing leaves it, as with systemd-networkd.
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

// hear makes what is said the last word about it: a lifetime of zero withdraws it.
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

// validUntil is when an address ends that was to be valid until old, after its router gives its prefix a new lifetime.
// Nobody can end it at once: RFC 4862 section 5.5.3 e, "the two-hour rule".
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

// prefixesAt returns the prefixes to make addresses in. One that several routers give holds as long as any of them
// says.
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

// mtu is the MTU that the routers want IPv6 to have on a link with an MTU of its own: the smallest, as each of them
// knows of something that lets no more through. 0 if none wants one that is possible.
func (rs routers) mtu(own int) int {
	var mtu int
	for _, r := range rs {
		if r.mtu != 0 && r.mtu <= own && (mtu == 0 || r.mtu < mtu) {
			mtu = r.mtu
		}
	}
	return mtu
}

// hopLimit is the hop limit that the routers want: the largest, so that none of them can cut off what is behind
// another. One that leaves it open is content with the link's own. 0 if none wants any.
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
