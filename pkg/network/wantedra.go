package network

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// wantRouters adds what the routers gave.
func (v *view) wantRouters(w *wanted, now time.Time) {
	c := v.conf.RA
	for _, p := range v.routers.prefixesAt(now) {
		if !c.UseAutonomous || !listed(c.PrefixAllow, c.PrefixDeny, p.prefix) {
			continue
		}
		for _, addr := range v.slaac(p.prefix) {
			w.address(&address{
				prefix: addr, flags: unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MANAGETEMPADDR,
				valid: p.valid, preferred: p.preferred, lapsed: ended(p.preferred, now),
			})
		}
	}
	for _, r := range v.routers {
		v.wantDefault(w, r, now)
		for _, p := range r.onLink {
			if c.UseOnLink && !ended(p.until, now) && listed(c.PrefixAllow, c.PrefixDeny, p.what) {
				route := v.routerRoute(p.preference)
				route.dst, route.expires = p.what, p.until
				w.route(&route)
			}
		}
		for _, p := range r.routes {
			if p.what.Bits() > 0 && v.usesRoute(p, now) {
				route := v.routerRoute(p.preference)
				route.dst, route.gateway, route.expires = p.what, r.addr.WithZone(""), p.until
				w.route(&route)
			}
		}
	}
}

// wantDefault adds the default route through a router, and the routes of the file that use this router as gateway.
func (v *view) wantDefault(w *wanted, r *router, now time.Time) {
	route := v.routerRoute(r.preference)
	route.gateway, route.expires = r.addr.WithZone(""), r.until
	use := v.conf.RA.UseGateway && !ended(r.until, now)
	for _, p := range r.routes { // an option for the default route overrides the header: RFC 4191 section 3.1
		if p.what.Bits() == 0 && v.usesRoute(p, now) {
			gateway := route.gateway
			route = v.routerRoute(p.preference)
			route.gateway, route.expires = gateway, p.until
			use = true
		}
	}
	if use {
		w.route(&route)
	}
	if ended(r.until, now) {
		return
	}
	for _, s := range v.conf.Routes {
		if s.GatewayFrom == "ipv6ra" {
			w.route(v.routeBy(s, r))
		}
	}
}

// usesRoute reports whether a route that a router announced is used.
func (v *view) usesRoute(p piece[netip.Prefix], now time.Time) bool {
	c := v.conf.RA
	return c.UseRoutePrefix && !ended(p.until, now) && listed(c.RouteAllow, c.RouteDeny, p.what)
}

// routerRoute returns a route with the properties of router advertisements.
func (v *view) routerRoute(preference uint8) route {
	c := v.conf.RA
	r := route{
		family: unix.AF_INET6, table: v.table(c.RouteTable), protocol: unix.RTPROT_RA, kind: unix.RTN_UNICAST,
		device:     true,
		preference: preference,
		metric:     c.Metrics[slices.Index([]uint8{preferenceHigh, preferenceMedium, preferenceLow}, preference)],
	}
	if c.QuickAck {
		r.metrics[unix.RTAX_QUICKACK] = 1
	}
	return r
}

// routeBy returns the route of a [Route] section through a router.
func (v *view) routeBy(s netconf.Route, router *router) *route {
	s.Gateway = router.addr.WithZone("")
	r, own := v.staticRoute(&s), v.routerRoute(router.preference)
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
