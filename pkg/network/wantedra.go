package network

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// wantRouters adds what the routers gave.
func (l *link) wantRouters(w *wanted, now time.Time) {
	c := l.conf.RA
	for _, p := range l.routers.prefixesAt(now) {
		if !c.UseAutonomous || !listed(c.PrefixAllow, c.PrefixDeny, p.prefix) {
			continue
		}
		for _, addr := range l.slaac(p.prefix) {
			w.address(address{
				prefix: addr, flags: unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MANAGETEMPADDR,
				valid: p.valid, preferred: p.preferred, lapsed: ended(p.preferred, now),
			})
		}
	}
	for _, r := range l.routers {
		l.wantDefault(w, r, now)
		for _, p := range r.onLink {
			if c.UseOnLink && !ended(p.until, now) && listed(c.PrefixAllow, c.PrefixDeny, p.what) {
				route := l.routerRoute(p.preference)
				route.dst, route.expires = p.what, p.until
				w.route(route)
			}
		}
		for _, p := range r.routes {
			if p.what.Bits() > 0 && l.usesRoute(p, now) {
				route := l.routerRoute(p.preference)
				route.dst, route.gateway, route.expires = p.what, r.addr.WithZone(""), p.until
				w.route(route)
			}
		}
	}
}

// wantDefault adds the default route by way of a router, and the routes of the file that have it for a gateway.
func (l *link) wantDefault(w *wanted, r *router, now time.Time) {
	route := l.routerRoute(r.preference)
	route.gateway, route.expires = r.addr.WithZone(""), r.until
	use := l.conf.RA.UseGateway && !ended(r.until, now)
	for _, p := range r.routes { // an option for the default route is more exact than the header: RFC 4191 section 3.1
		if p.what.Bits() == 0 && l.usesRoute(p, now) {
			gateway := route.gateway
			route = l.routerRoute(p.preference)
			route.gateway, route.expires = gateway, p.until
			use = true
		}
	}
	if use {
		w.route(route)
	}
	if ended(r.until, now) {
		return
	}
	for _, s := range l.conf.Routes {
		if s.GatewayFrom == "ipv6ra" {
			w.route(l.routeBy(s, r))
		}
	}
}

// usesRoute reports whether a route that a router announced is wanted.
func (l *link) usesRoute(p piece[netip.Prefix], now time.Time) bool {
	c := l.conf.RA
	return c.UseRoutePrefix && !ended(p.until, now) && listed(c.RouteAllow, c.RouteDeny, p.what)
}

// routerRoute is a route as routers give it.
func (l *link) routerRoute(preference uint8) route {
	c := l.conf.RA
	r := route{
		family: unix.AF_INET6, table: l.table(c.RouteTable), protocol: unix.RTPROT_RA, kind: unix.RTN_UNICAST, device: true,
		preference: preference,
		metric:     c.Metrics[slices.Index([]uint8{preferenceHigh, preferenceMedium, preferenceLow}, preference)],
	}
	if c.QuickAck {
		r.metrics[unix.RTAX_QUICKACK] = 1
	}
	return r
}

// routeBy is a [Route] section with a router for its gateway.
func (l *link) routeBy(s netconf.Route, router *router) route {
	s.Gateway = router.addr.WithZone("")
	r, own := l.staticRoute(s), l.routerRoute(router.preference)
	r.expires = router.until
	if s.Protocol == 0 {
		r.protocol = own.protocol
	}
	if s.Preference == "" {
		r.preference = own.preference
	}
	if s.Metric == nil {
		r.metric = own.metric
	}
	if s.Table == 0 {
		r.table = own.table
	}
	return r
}
