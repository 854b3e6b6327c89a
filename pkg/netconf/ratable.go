package netconf

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
)

// raKeys are the rows of [IPv6AcceptRA].
func raKeys() []key[NetworkConfig] {
	type n = NetworkConfig
	flag := func(field func(*RA) *bool) func(*n, string) error {
		return boolean(func(c *n) *bool { return field(&c.RA) })
	}
	prefixes := func(field func(*RA) *[]netip.Prefix) func(*n, string) error {
		return list(func(c *n) *[]netip.Prefix { return field(&c.RA) }, parsePrefix)
	}
	return []key[n]{
		{"UseDNS", "default yes", flag(func(r *RA) *bool { return &r.UseDNS })},
		{"UseDomains", "default no", setUseDomains(func(c *n) **bool { return &c.RA.useDomains })},
		{"UseMTU", "default yes; only the MTU for IPv6", flag(func(r *RA) *bool { return &r.UseMTU })},
		{"UseHopLimit", "default yes", flag(func(r *RA) *bool { return &r.UseHopLimit })},
		{"UseGateway", "the router as default gateway; default yes", flag(func(r *RA) *bool { return &r.UseGateway })},
		{"UseRoutePrefix", "routes that it announces; default yes",
			flag(func(r *RA) *bool { return &r.UseRoutePrefix })},
		{"UseAutonomousPrefix", "make addresses; default yes", flag(func(r *RA) *bool { return &r.UseAutonomous })},
		{"UseOnLinkPrefix", "route to the prefix; default yes", flag(func(r *RA) *bool { return &r.UseOnLink })},
		{"DHCPv6Client", "`yes`: as the router says; `always`; `no`", func(c *n, s string) error {
			if s != "always" {
				b, err := parseBool(s)
				if err != nil {
					return errors.New("not one of yes, no, always")
				}
				s = map[bool]string{true: "yes", false: "no"}[b]
			}
			c.RA.DHCPv6Client = s
			return nil
		}},
		{"RouteMetric", "one number, or HIGH:MEDIUM:LOW; default 512:1024:2048", setMetrics},
		{"RouteTable", "routing table by number", number(func(c *n) *uint32 { return &c.RA.RouteTable }, 1, 1<<32-1)},
		{"QuickAck", "on the routes", flag(func(r *RA) *bool { return &r.QuickAck })},
		{"Token",
			"`eui64`, or the lower half of addresses as `::1234` or `static:::1234`; `prefixstable[:PREFIX][,UUID]`, " +
				"of the hardware address without a UUID, which makes the link-local address stable too", setToken},
		{"RouterAllowList", "routers to listen to", prefixes(func(r *RA) *[]netip.Prefix { return &r.RouterAllow })},
		{"RouterDenyList", "routers not to listen to", prefixes(func(r *RA) *[]netip.Prefix { return &r.RouterDeny })},
		{"PrefixAllowList", "prefixes to take", prefixes(func(r *RA) *[]netip.Prefix { return &r.PrefixAllow })},
		{"PrefixDenyList", "prefixes not to take", prefixes(func(r *RA) *[]netip.Prefix { return &r.PrefixDeny })},
		{"DenyList", "old name of PrefixDenyList", prefixes(func(r *RA) *[]netip.Prefix { return &r.PrefixDeny })},
		{"BlackList", "old name of PrefixDenyList", prefixes(func(r *RA) *[]netip.Prefix { return &r.PrefixDeny })},
		{"RouteAllowList", "announced routes to take", prefixes(func(r *RA) *[]netip.Prefix { return &r.RouteAllow })},
		{"RouteDenyList", "announced routes not to take",
			prefixes(func(r *RA) *[]netip.Prefix { return &r.RouteDeny })},
		{"UseReachableTime", "", nil}, {"UseRetransmissionTime", "", nil}, {"UseICMP6RateLimit", "", nil},
		{"UseRedirect", "", nil}, {"UsePREF64", "", nil}, {"UseCaptivePortal", "", nil}, {"UseDNR", "", nil},
	}
}

// setMetrics reads the metrics of routes, one for each router preference.
func setMetrics(c *NetworkConfig, s string) error {
	ws := strings.Split(s, ":")
	if len(ws) == 1 {
		ws = []string{s, s, s}
	}
	if len(ws) != 3 {
		return errors.New("neither one metric nor three")
	}
	var m [3]uint32
	for i, w := range ws {
		v, err := parseUint(w, 1<<32-1)
		if err != nil {
			return err
		}
		m[i] = uint32(v)
	}
	c.RA.metrics = &m
	return nil
}

func setToken(c *NetworkConfig, s string) error {
	if s == "" {
		c.RA.Tokens = nil
		return nil
	}
	mode, value, found := strings.Cut(s, ":")
	switch {
	case s == "eui64":
		c.RA.Tokens = append(c.RA.Tokens, Token{Mode: "eui64"})
		return nil
	case strings.HasPrefix(s, "prefixstable"):
		return setStableToken(c, strings.TrimPrefix(s, "prefixstable"))
	case found && mode == "static":
	default:
		value = s
	}
	a, err := netip.ParseAddr(value)
	if err != nil || !a.Is6() || a.IsUnspecified() {
		return errors.New("not a token")
	}
	c.RA.Tokens = append(c.RA.Tokens, Token{Mode: "static", Addr: a})
	return nil
}

// setStableToken reads the text after prefixstable: [:ADDRESS][,UUID].
func setStableToken(c *NetworkConfig, s string) error {
	t := Token{Mode: "prefixstable"}
	s, id, keyed := strings.Cut(s, ",")
	if addr, only := strings.CutPrefix(s, ":"); only {
		a, err := netip.ParseAddr(addr)
		if err != nil || !a.Is6() || a.Zone() != "" {
			return errors.New("not an IPv6 address after prefixstable")
		}
		t.Addr = a
	} else if s != "" {
		return errors.New("not a token")
	}
	if keyed {
		secret, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
		if err != nil || len(secret) != 16 {
			return errors.New("not a UUID after prefixstable")
		}
		t.Secret = secret
	}
	c.RA.Tokens = append(c.RA.Tokens, t)
	return nil
}
