package netconf

import (
	"errors"
	"net/netip"
)

func lastRoute(c *NetworkConfig) *Route { return last(c.Routes) }

func setGateway(r *Route, s string) error {
	r.Gateway, r.GatewayFrom = netip.Addr{}, ""
	switch s {
	case "_dhcp4", "_dhcp":
		r.GatewayFrom = "dhcp4"
	case "_ipv6ra":
		r.GatewayFrom = "ipv6ra"
	default:
		a, err := parseAddr(s)
		if err != nil || a.IsUnspecified() {
			return errors.New("not the address of a gateway, nor _dhcp4 or _ipv6ra")
		}
		r.Gateway = a
	}
	return nil
}

func routeKeys() []key[NetworkConfig] {
	type n = NetworkConfig
	prefix := func(field func(*Route) *netip.Prefix) func(*n, string) error {
		return func(c *n, s string) error {
			if s == "default" {
				*field(lastRoute(c)) = netip.Prefix{}
				return nil
			}
			p, err := parsePrefix(s)
			if err == nil {
				*field(lastRoute(c)) = p.Masked()
			}
			return err
		}
	}
	return []key[n]{
		{"Destination", "prefix that the route leads to; default: all",
			prefix(func(r *Route) *netip.Prefix { return &r.Destination })},
		{"Gateway", "next hop, or `_dhcp4`, `_ipv6ra`",
			func(c *n, s string) error { return setGateway(lastRoute(c), s) }},
		{"GatewayOnLink", "the next hop is on the link, whatever the addresses say",
			boolean(func(c *n) *bool { return &lastRoute(c).OnLink })},
		{"GatewayOnlink", "old spelling", boolean(func(c *n) *bool { return &lastRoute(c).OnLink })},
		{"Source", "prefix that packets come from", prefix(func(r *Route) *netip.Prefix { return &r.Source })},
		{"PreferredSource", "source address of packets sent along it",
			parsed(func(c *n) *netip.Addr { return &lastRoute(c).PreferredSource }, parseAddr)},
		{"Metric", "metric", optNumber(func(c *n) **uint32 { return &lastRoute(c).Metric }, 0, 1<<32-1)},
		{"Scope", "`global`, `site`, `link`, `host`, `nowhere` or a number", func(c *n, s string) error {
			v, err := parseScope(s)
			if err == nil {
				lastRoute(c).Scope = &v
			}
			return err
		}},
		{"Table", "`default`, `main`, `local` or a number",
			parsed(func(c *n) *uint32 { return &lastRoute(c).Table }, parseTable)},
		{"Type",
			"`unicast`, `local`, `broadcast`, `anycast`, `multicast`, `blackhole`, `unreachable`, `prohibit`, `throw`",
			func(c *n, s string) error {
				v,
					ok := map[string]uint8{"unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5,
					"blackhole": 6, "unreachable": 7, "prohibit": 8, "throw": 9}[s]
				if !ok {
					return errors.New("not a type of route")
				}
				lastRoute(c).Type = v
				return nil
			}},
		{"Protocol", "`kernel`, `boot`, `static`, `ra`, `dhcp` or a number", func(c *n, s string) error {
			v, ok := map[string]uint8{"kernel": 2, "boot": 3, "static": 4, "ra": 9, "dhcp": 16}[s]
			if !ok {
				p, err := parseUint(s, 255)
				if err != nil {
					return err
				}
				v = uint8(p)
			}
			lastRoute(c).Protocol = v
			return nil
		}},
		{"IPv6Preference", "`low`, `medium` or `high`",
			oneOf(func(c *n) *string { return &lastRoute(c).Preference }, "low", "medium", "high")},
		{"MTUBytes", "MTU", mtu(func(c *n) *int { return &lastRoute(c).MTU }, 68)},
		{"TCPAdvertisedMaximumSegmentSize", "MSS to advertise",
			mtu(func(c *n) *int { return &lastRoute(c).AdvMSS }, 1)},
		{"HopLimit", "hop limit", number(func(c *n) *int { return &lastRoute(c).HopLimit }, 1, 255)},
		{"InitialCongestionWindow", "in segments", number(func(c *n) *int { return &lastRoute(c).InitCwnd }, 1, 1023)},
		{"InitialAdvertisedReceiveWindow", "in segments",
			number(func(c *n) *int { return &lastRoute(c).InitRwnd }, 1, 1023)},
		{"QuickAck", "acknowledge at once", tristate(func(c *n) **bool { return &lastRoute(c).QuickAck })},
		{"FastOpenNoCookie", "TCP fast open without a cookie",
			tristate(func(c *n) **bool { return &lastRoute(c).FastOpenNoCookie })},
		{"TCPCongestionControlAlgorithm", "its name",
			text(func(c *n) *string { return &lastRoute(c).CongestionControl })},
		unsupported[n]("MultiPathRoute"), unsupported[n]("NextHop"),
	}
}

func checkRoute(c *NetworkConfig) string {
	r := lastRoute(c)
	bits := 0
	for _, a := range []netip.Addr{r.Destination.Addr(), r.Source.Addr(), r.PreferredSource} {
		if !a.IsValid() {
			continue
		}
		if bits != 0 && bits != a.BitLen() {
			return "IPv4 and IPv6 are mixed"
		}
		bits = a.BitLen()
	}
	gateway := r.Gateway.IsValid() || r.GatewayFrom != ""
	switch {
	case bits == 128 && (r.Gateway.Is4() || r.GatewayFrom == "dhcp4"): // the reverse is allowed: RFC 5549
		return "an IPv6 route cannot have an IPv4 gateway"
	case bits == 0 && !gateway:
		return "none of Gateway=, Destination=, Source=, PreferredSource="
	case r.OnLink && !gateway:
		return "GatewayOnLink= without Gateway="
	case r.Type >= 6 && r.Type <= 9 && gateway: // blackhole, unreachable, prohibit, throw
		return "a route of this Type= has no Gateway="
	}
	return ""
}

func parseScope(s string) (uint8, error) {
	if v, ok := map[string]uint8{"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}[s]; ok {
		return v, nil
	}
	v, err := parseUint(s, 255)
	if err != nil {
		return 0, errors.New("not one of global, site, link, host, nowhere, nor a number to 255")
	}
	return uint8(v), nil
}

func parseTable(s string) (uint32, error) {
	if v, ok := map[string]uint32{"default": 253, "main": 254, "local": 255}[s]; ok {
		return v, nil
	}
	v, err := parseUint(s, 1<<32-1)
	if err != nil || v == 0 {
		return 0, errors.New("not one of default, main, local, nor a number (RouteTable= of networkd.conf is not read)")
	}
	return uint32(v), nil
}
