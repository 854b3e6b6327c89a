package netconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// networkTable is the table of the keys of a .network file, by section (systemd.network(5)).
func networkTable() []section[NetworkConfig] {
	type n = NetworkConfig
	return []section[n]{
		{name: "Match", keys: matchKeys(func(c *n) *Match { return &c.Match }, "Name")},
		{name: "Link", keys: []key[n]{
			{"MACAddress", "hardware address to set", macAddress(func(c *n) *net.HardwareAddr { return &c.Link.MAC })},
			{"MTUBytes", "MTU; K, M and G are understood", mtu(func(c *n) *int { return &c.Link.MTU }, 68)},
			{"Group", "device group", optNumber(func(c *n) **uint32 { return &c.Link.Group }, 0, 1<<31-1)},
			{"ARP", "ARP on or off", tristate(func(c *n) **bool { return &c.Link.ARP })},
			{"Multicast", "multicast flag", tristate(func(c *n) **bool { return &c.Link.Multicast })},
			{"AllMulticast", "receive all multicast packets",
				tristate(func(c *n) **bool { return &c.Link.AllMulticast })},
			{"Promiscuous", "receive all packets", tristate(func(c *n) **bool { return &c.Link.Promisc })},
			{"Unmanaged", "leave the link alone", boolean(func(c *n) *bool { return &c.Link.Unmanaged })},
			{"ActivationPolicy",
				"`up`, `always-up`; with `manual`, `down`, `always-down` and `bound` the link is not brought up",
				oneOf(func(c *n) *string { return &c.Link.Activation },
					"up", "always-up", "manual", "always-down", "down", "bound")},
			{"RequiredForOnline",
				"`no`: the boot does not count this link as a way out; an operational state means yes", setRequired},
			{"RequiredFamilyForOnline", "", nil},
		}},
		{name: "Network", keys: networkKeys()},
		{name: "Address", keys: addressKeys(), open: func(c *n) { c.Addresses = append(c.Addresses, Address{}) },
			check: checkAddress, drop: func(c *n) { c.Addresses = c.Addresses[:len(c.Addresses)-1] }},
		{name: "Route", keys: routeKeys(), open: func(c *n) { c.Routes = append(c.Routes, Route{}) }, check: checkRoute,
			drop: func(c *n) { c.Routes = c.Routes[:len(c.Routes)-1] }},
		{name: "RoutingPolicyRule", keys: ruleKeys(), open: func(c *n) { c.Rules = append(c.Rules, Rule{Table: 254}) },
			check: checkRule, drop: func(c *n) { c.Rules = c.Rules[:len(c.Rules)-1] }},
		{name: "Neighbor", keys: neighborKeys(), open: func(c *n) { c.Neighbors = append(c.Neighbors, Neighbor{}) },
			check: checkNeighbor, drop: func(c *n) { c.Neighbors = c.Neighbors[:len(c.Neighbors)-1] }},
		{name: "DHCPv4", keys: dhcp4Keys()},
		{name: "DHCPv6", keys: dhcp6Keys()},
		{name: "IPv6AcceptRA", keys: raKeys()},
		{name: "Bridge", keys: portKeys()},
		{name: "DHCP", keys: oldDHCPKeys()},
	}
}

func setRequired(c *NetworkConfig, s string) error {
	if s == "" {
		c.Link.Required = true
		return nil
	}
	b, err := parseBool(s)
	if err != nil {
		// A state, or a range of two: missing:routable.
		for _, w := range strings.Split(s, ":") {
			switch w {
			case "missing", "off", "no-carrier", "dormant", "degraded-carrier", "carrier", "degraded", "enslaved",
				"routable":
			default:
				return errors.New("neither a boolean nor an operational state")
			}
		}
		b = true
	}
	c.Link.Required = b
	return nil
}

func networkKeys() []key[NetworkConfig] {
	type n = NetworkConfig
	name := func(field func(*n) *string) func(*n, string) error {
		return func(c *n, s string) error {
			if err := validName(s); err != nil && s != "" {
				return err
			}
			*field(c) = s
			return nil
		}
	}
	names := func(field func(*n) *[]string) func(*n, string) error {
		return list(field, func(s string) (string, error) { return s, validName(s) })
	}
	return append([]key[n]{
		{"Description", "", nil},
		{"DHCP", "`yes`, `no`, `ipv4` or `ipv6`; default no", setDHCP},
		{"Address", "static address with prefix length; further lines add addresses, an empty value removes them",
			func(c *n, s string) error {
				if s == "" {
					c.Addresses = without(c.Addresses, func(a Address) bool { return a.inNetwork })
					return nil
				}
				p, err := parsePrefix(s)
				if err == nil {
					err = usableAddress(p)
				}
				if err == nil {
					c.Addresses = append(c.Addresses, Address{Prefix: p, inNetwork: true})
				}
				return err
			}},
		{"Gateway", "default gateway; `_dhcp4` and `_ipv6ra`: the gateway from DHCPv4 or a router advertisement",
			func(c *n, s string) error {
				if s == "" {
					c.Routes = without(c.Routes, func(r Route) bool { return r.inNetwork })
					return nil
				}
				r := Route{inNetwork: true}
				if err := setGateway(&r, s); err != nil {
					return err
				}
				c.Routes = append(c.Routes, r)
				return nil
			}},
		{"DNS", "name servers; a port and a TLS name are ignored",
			list(func(c *n) *[]netip.Addr { return &c.DNS }, parseServer)},
		{"Domains", "search domains; those with `~` are only for routing queries and stay out of resolv.conf",
			func(c *n, s string) error {
				if s == "" {
					c.Domains = nil
					return nil
				}
				ws, err := words(s)
				for _, w := range ws {
					if w = strings.TrimSuffix(w, "."); w != "" && !strings.HasPrefix(w, "~") {
						c.Domains = append(c.Domains, w)
					}
				}
				return err
			}},
		{"NTP", "time servers, kept for programs that run later",
			list(func(c *n) *[]string { return &c.NTP }, anyWord)},
		{"UseDomains", "default of UseDomains in the sections below",
			setUseDomains(func(c *n) **bool { return &c.useDomains })},
		{"VLAN", "VLANs on this link, by name", names(func(c *n) *[]string { return &c.VLAN })},
		{"MACVLAN", "macvlans on this link", names(func(c *n) *[]string { return &c.MACVLAN })},
		{"MACVTAP", "macvtaps on this link", names(func(c *n) *[]string { return &c.MACVTAP })},
		{"IPVLAN", "ipvlans on this link", names(func(c *n) *[]string { return &c.IPVLAN })},
		{"VXLAN", "VXLANs over this link", names(func(c *n) *[]string { return &c.VXLAN })},
		{"Bond", "bond that the link becomes a member of", name(func(c *n) *string { return &c.Bond })},
		{"Bridge", "bridge that the link becomes a port of", name(func(c *n) *string { return &c.Bridge })},
		{"VRF", "VRF that the link becomes a member of", name(func(c *n) *string { return &c.VRF })},
		{"PrimarySlave", "primary link of the bond", boolean(func(c *n) *bool { return &c.PrimarySlave })},
		{"ActiveSlave", "active link of the bond at the start", boolean(func(c *n) *bool { return &c.ActiveSlave })},
		{"IPv6AcceptRA", "accept router advertisements; default yes, unless the link forwards",
			tristate(func(c *n) **bool { return &c.acceptRA })},
		{"IPv6AcceptRouterAdvertisements", "old name of IPv6AcceptRA",
			tristate(func(c *n) **bool { return &c.acceptRA })},
		{"LinkLocalAddressing",
			"`yes`, `no`, `ipv4`, `ipv6`; default ipv6, none for members of bonds and bridges; ipv4 beside DHCP is a " +
				"fallback", setLinkLocal},
		{"IPv4LL", "old form of LinkLocalAddressing=ipv4", func(c *n, s string) error {
			b, err := parseBool(s)
			if err == nil {
				c.linkLocal4 = b
			}
			return err
		}},
		{"IPv6LinkLocalAddressGenerationMode", "`eui64`, `none`, `stable-privacy`, `random`",
			oneOf(func(c *n) *string { return &c.AddrGenMode }, "eui64", "none", "stable-privacy", "random")},
		{"IPv6StableSecretAddress",
			"secret of stable-privacy, in the form of an IPv6 address; by default it is made of the hardware address",
			func(c *n, s string) error {
				a, err := netip.ParseAddr(s)
				if err != nil || !a.Is6() || a.IsUnspecified() || a.Zone() != "" {
					return errors.New("not an IPv6 address")
				}
				c.StableSecret = a
				return nil
			}},
		{"IPv6Token", "old form of Token in [IPv6AcceptRA]", setToken},
		{"DefaultRouteOnDevice", "add an IPv4 default route without a gateway",
			boolean(func(c *n) *bool { return &c.DefaultRouteOnDevice })},
		{"ConfigureWithoutCarrier", "set addresses and routes without a carrier",
			boolean(func(c *n) *bool { return &c.ConfigureWithoutCarrier })},
		// These keys serve a resolver, the neighbours' LLDP tables or a restart of networkd. A boot has none of them.
		{"LLMNR", "", nil}, {"MulticastDNS", "", nil}, {"DNSSEC", "", nil}, {"DNSOverTLS", "", nil},
		{"DNSDefaultRoute", "", nil}, {"DNSSECNegativeTrustAnchors", "", nil}, {"LLDP", "", nil}, {"EmitLLDP", "", nil},
		{"KeepConfiguration", "", nil}, {"IgnoreCarrierLoss", "", nil},
	}, sysctlKeys()...)
}

// sysctlKeys are the keys of [Network] that set a file below /proc/sys/net.
func sysctlKeys() []key[NetworkConfig] {
	type n = NetworkConfig
	sysctl := func(family, key string, value func(string) (string, error)) func(*n, string) error {
		return func(c *n, s string) error {
			v, err := value(s)
			if err == nil {
				c.Sysctl = append(c.Sysctl, Sysctl{family, key, v})
			}
			return err
		}
	}
	return []key[n]{
		{"IPv6PrivacyExtensions", "`yes`, `no`, `prefer-public` or `kernel`",
			sysctl("ipv6", "use_tempaddr", func(s string) (string, error) {
				switch s {
				case "prefer-public":
					return "1", nil
				case "kernel":
					return "", nil
				}
				b, err := parseBool(s)
				return map[bool]string{true: "2", false: "0"}[b], err
			})},
		{"IPv6DuplicateAddressDetection", "number of probes", sysctl("ipv6", "dad_transmits", decimal(1<<31-1))},
		{"IPv6HopLimit", "hop limit", sysctl("ipv6", "hop_limit", decimal(255))},
		{"IPv6MTUBytes", "MTU for IPv6 only", sysctl("ipv6", "mtu", func(s string) (string, error) {
			v, err := parseSize(s)
			if err == nil && v < 1280 {
				err = errors.New("an IPv6 MTU is at least 1280")
			}
			return fmt.Sprint(v), err
		})},
		{"IPv4AcceptLocal", "accept packets from own addresses", sysctl("ipv4", "accept_local", zeroOne)},
		{"IPv4RouteLocalnet", "route 127.0.0.0/8", sysctl("ipv4", "route_localnet", zeroOne)},
		{"IPv4ProxyARP", "answer ARP for others", sysctl("ipv4", "proxy_arp", zeroOne)},
		{"ProxyARP", "old name of IPv4ProxyARP", sysctl("ipv4", "proxy_arp", zeroOne)},
		{"IPv4ProxyARPPrivateVLAN", "proxy ARP on the same link", sysctl("ipv4", "proxy_arp_pvlan", zeroOne)},
		{"IPv4ReversePathFilter", "`no`, `strict` or `loose`",
			sysctl("ipv4", "rp_filter", func(s string) (string, error) {
				v, ok := map[string]string{"no": "0", "strict": "1", "loose": "2"}[s]
				if !ok {
					return "", errors.New("not one of no, strict, loose")
				}
				return v, nil
			})},
		{"MulticastIGMPVersion", "`no`, `v1`, `v2` or `v3`",
			sysctl("ipv4", "force_igmp_version", func(s string) (string, error) {
				v, ok := map[string]string{"no": "0", "v1": "1", "v2": "2", "v3": "3"}[s]
				if !ok {
					return "", errors.New("not one of no, v1, v2, v3")
				}
				return v, nil
			})},
		{"IPForward", "old form of IPv4Forwarding and IPv6Forwarding", setForward},
		{"IPv4Forwarding", "forward IPv4 packets", sysctl("ipv4", "forwarding", zeroOne)},
		{"IPv6Forwarding", "forward IPv6 packets; then IPv6AcceptRA is no by default", func(c *n, s string) error {
			b, err := parseBool(s)
			if err == nil {
				c.forward6 = b
				err = sysctl("ipv6", "forwarding", zeroOne)(c, s)
			}
			return err
		}},
	}
}

func decimal(max uint64) func(string) (string, error) {
	return func(s string) (string, error) {
		v, err := parseUint(s, max)
		return fmt.Sprint(v), err
	}
}

// validName checks the name of a device by the kernel's rule (dev_valid_name in net/core/dev.c). It also refuses a
// number.
func validName(s string) error { return validNameUpTo(s, 15) }

func validNameUpTo(s string, limit int) error {
	if s == "" || len(s) > limit || s == "." || s == ".." || strings.ContainsAny(s, "/: \t\n%") || isDigits(s) ||
		s == "all" || s == "default" {
		return fmt.Errorf("not a name of a device (%d characters at most)", limit)
	}
	return nil
}

func usableAddress(p netip.Prefix) error {
	if a := p.Addr(); a.IsMulticast() || a.IsUnspecified() && p.Bits() == a.BitLen() {
		return errors.New("not an address of a host")
	} else if a.IsUnspecified() {
		return errors.New("an address out of a pool (0.0.0.0/N) is not supported here")
	}
	return nil
}

// parseServer reads a name server, ADDRESS[:PORT][%LINK][#NAME]. resolv.conf(5) can hold only the address, and the
// link of a link-local address.
func parseServer(s string) (netip.Addr, error) {
	s, name, named := strings.Cut(s, "#")
	s, zone, zoned := strings.Cut(s, "%")
	a, ok := parseHost(s)
	if !ok || named && name == "" || zoned && zone == "" {
		return netip.Addr{}, errors.New("not the address of a name server")
	}
	if a.IsLinkLocalUnicast() && a.Is6() {
		a = a.WithZone(zone)
	}
	return a, nil
}

// parseHost reads an address with or without a port.
func parseHost(s string) (a netip.Addr, ok bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a, true
	}
	if strings.HasSuffix(s, "]") { // only a port is missing
		s += ":53"
	}
	ap, err := netip.ParseAddrPort(s)
	return ap.Addr(), err == nil && ap.Port() != 0
}

// without returns the elements of the list that remove does not select.
func without[T any](list []T, remove func(T) bool) []T {
	var out []T
	for _, v := range list {
		if !remove(v) {
			out = append(out, v)
		}
	}
	return out
}

func setDHCP(n *NetworkConfig, s string) error {
	switch s {
	case "ipv4", "v4":
		n.DHCP4, n.DHCP6 = true, false
	case "ipv6", "v6":
		n.DHCP4, n.DHCP6 = false, true
	case "both":
		n.DHCP4, n.DHCP6 = true, true
	case "none":
		n.DHCP4, n.DHCP6 = false, false
	default:
		b, err := parseBool(s)
		if err != nil {
			return errors.New("not one of yes, no, ipv4, ipv6")
		}
		n.DHCP4, n.DHCP6 = b, b
	}
	return nil
}

func setLinkLocal(n *NetworkConfig, s string) error {
	v4, v6 := false, false
	switch s {
	case "ipv4", "fallback", "ipv4-fallback":
		v4 = true
	case "ipv6":
		v6 = true
	case "":
		n.linkLocal6 = nil
		n.linkLocal4 = false
		return nil
	default:
		b, err := parseBool(s)
		if err != nil {
			return errors.New("not one of yes, no, ipv4, ipv6")
		}
		v4, v6 = b, b
	}
	n.linkLocal4, n.linkLocal6 = v4, &v6
	return nil
}

func setForward(n *NetworkConfig, s string) error {
	v4, v6 := false, false
	switch s {
	case "ipv4":
		v4 = true
	case "ipv6":
		v6 = true
	default:
		b, err := parseBool(s)
		if err != nil {
			return errors.New("not one of yes, no, ipv4, ipv6")
		}
		v4, v6 = b, b
	}
	if v4 {
		n.Sysctl = append(n.Sysctl, Sysctl{"ipv4", "forwarding", "1"})
	}
	if v6 {
		n.Sysctl = append(n.Sysctl, Sysctl{"ipv6", "forwarding", "1"})
		n.forward6 = true
	}
	return nil
}
