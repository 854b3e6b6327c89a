package netconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

type hardware = net.HardwareAddr

// The sections of a .network file that may repeat: [Address], [Route], [RoutingPolicyRule], [Neighbor]. Their rows set
// the last element of the list.

func last[E any](list []E) *E { return &list[len(list)-1] }

func lastAddress(c *NetworkConfig) *Address { return last(c.Addresses) }

func addressKeys() []key[NetworkConfig] {
	type n = NetworkConfig
	return []key[n]{
		{"Address", "the address with its prefix length", func(c *n, s string) error {
			p, err := parsePrefix(s)
			if err == nil {
				err = usableAddress(p)
			}
			if err == nil {
				lastAddress(c).Prefix = p
			}
			return err
		}},
		{"Peer", "the other end of a point-to-point link", func(c *n, s string) error {
			p, err := parsePrefix(s)
			if err == nil {
				lastAddress(c).Peer = p
			}
			return err
		}},
		{"Broadcast", "broadcast address; `no` for none", func(c *n, s string) error {
			if b, err := parseBool(s); err == nil {
				lastAddress(c).Broadcast = netip.Addr{}
				if !b {
					lastAddress(c).Broadcast = netip.IPv4Unspecified()
				}
				return nil
			}
			a, err := parseAddr(s)
			if err == nil && !a.Is4() {
				err = errors.New("not an IPv4 address")
			}
			if err == nil {
				lastAddress(c).Broadcast = a
			}
			return err
		}},
		{"Label", "label of an IPv4 address", func(c *n, s string) error {
			if len(s) > 15 {
				return errors.New("longer than 15 characters")
			}
			lastAddress(c).Label = s
			return nil
		}},
		{"Scope", "`global`, `site`, `link`, `host` or a number", func(c *n, s string) error {
			v, err := parseScope(s)
			if err == nil {
				lastAddress(c).Scope = &v
			}
			return err
		}},
		{"RouteMetric", "metric of the route to the prefix", number(func(c *n) *uint32 { return &lastAddress(c).Metric }, 0, 1<<32-1)},
		{"PreferredLifetime", "`0` deprecates the address, `forever` and `infinity` do not", func(c *n, s string) error {
			switch s {
			case "0", "0s":
				lastAddress(c).PreferredZero = true
			case "", "forever", "infinity":
				lastAddress(c).PreferredZero = false
			default:
				return errors.New("not one of 0, forever, infinity")
			}
			return nil
		}},
		{"AddPrefixRoute", "`no`: no route to the prefix", inverted(boolean(func(c *n) *bool { return &lastAddress(c).NoPrefixRoute }))},
		{"PrefixRoute", "old and reverse form of AddPrefixRoute", boolean(func(c *n) *bool { return &lastAddress(c).NoPrefixRoute })},
		{"HomeAddress", "home address of Mobile IPv6", boolean(func(c *n) *bool { return &lastAddress(c).HomeAddress })},
		{"ManageTemporaryAddress", "the kernel makes temporary addresses from it", boolean(func(c *n) *bool { return &lastAddress(c).ManageTemporary })},
		{"AutoJoin", "join the multicast group", boolean(func(c *n) *bool { return &lastAddress(c).AutoJoin })},
		{"DuplicateAddressDetection", "`none` turns it off for IPv6; IPv4's is not supported", func(c *n, s string) error {
			switch s {
			case "none":
				lastAddress(c).NoDAD6 = true
			case "ipv6", "":
				lastAddress(c).NoDAD6 = false
			case "ipv4", "both":
				lastAddress(c).NoDAD6 = s == "ipv4" // IPv4 addresses are not probed here: docs/networking.md
			default:
				b, err := parseBool(s)
				if err != nil {
					return errors.New("not one of ipv4, ipv6, both, none")
				}
				lastAddress(c).NoDAD6 = b // a boolean here is the reverse, as in old versions
			}
			return nil
		}},
	}
}

// cannot is the row of a key that is not supported, and without which the rest of its section or file means something
// else: all of that is left out.
func cannot[T any](name string) key[T] {
	return key[T]{name, "not supported: what it stands in is ignored", func(_ *T, s string) error {
		if s == "" { // it takes back what there was
			return nil
		}
		return errUnsupported
	}}
}

// cannotBe is the same for a boolean: `no` is what there is without the key.
func cannotBe[T any](name string) key[T] {
	k := cannot[T](name)
	k.set = func(_ *T, s string) error {
		if b, err := parseBool(s); err != nil || !b {
			return err
		}
		return errUnsupported
	}
	return k
}

var errUnsupported = errors.New("not supported here")

// inverted is a boolean whose field has the opposite sense.
func inverted[T any](set func(*T, string) error) func(*T, string) error {
	return func(t *T, s string) error {
		b, err := parseBool(s)
		if err != nil {
			return err
		}
		return set(t, map[bool]string{true: "no", false: "yes"}[b])
	}
}

func checkAddress(c *NetworkConfig) string {
	a := lastAddress(c)
	switch {
	case !a.Prefix.IsValid():
		return "no Address="
	case a.Peer.IsValid() && a.Peer.Addr().Is4() != a.Prefix.Addr().Is4():
		return "Peer= is of another family than Address="
	case a.Prefix.Addr().Is4() && (a.HomeAddress || a.ManageTemporary):
		return "HomeAddress= and ManageTemporaryAddress= are for IPv6 addresses"
	}
	return ""
}

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
		{"Destination", "prefix that the route leads to; default: all", prefix(func(r *Route) *netip.Prefix { return &r.Destination })},
		{"Gateway", "next hop, or `_dhcp4`, `_ipv6ra`", func(c *n, s string) error { return setGateway(lastRoute(c), s) }},
		{"GatewayOnLink", "the next hop is on the link, whatever the addresses say", boolean(func(c *n) *bool { return &lastRoute(c).OnLink })},
		{"GatewayOnlink", "old spelling", boolean(func(c *n) *bool { return &lastRoute(c).OnLink })},
		{"Source", "prefix that packets come from", prefix(func(r *Route) *netip.Prefix { return &r.Source })},
		{"PreferredSource", "source address of packets sent along it", func(c *n, s string) error {
			a, err := parseAddr(s)
			if err == nil {
				lastRoute(c).PreferredSource = a
			}
			return err
		}},
		{"Metric", "metric", optNumber(func(c *n) **uint32 { return &lastRoute(c).Metric }, 0, 1<<32-1)},
		{"Scope", "`global`, `site`, `link`, `host`, `nowhere` or a number", func(c *n, s string) error {
			v, err := parseScope(s)
			if err == nil {
				lastRoute(c).Scope = &v
			}
			return err
		}},
		{"Table", "`default`, `main`, `local` or a number", func(c *n, s string) error {
			t, err := parseTable(s)
			if err == nil {
				lastRoute(c).Table = t
			}
			return err
		}},
		{"Type", "`unicast`, `local`, `broadcast`, `anycast`, `multicast`, `blackhole`, `unreachable`, `prohibit`, `throw`", func(c *n, s string) error {
			v, ok := map[string]uint8{"unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5, "blackhole": 6, "unreachable": 7, "prohibit": 8, "throw": 9}[s]
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
		{"IPv6Preference", "`low`, `medium` or `high`", oneOf(func(c *n) *string { return &lastRoute(c).Preference }, "low", "medium", "high")},
		{"MTUBytes", "MTU", mtu(func(c *n) *int { return &lastRoute(c).MTU }, 68)},
		{"TCPAdvertisedMaximumSegmentSize", "MSS to advertise", mtu(func(c *n) *int { return &lastRoute(c).AdvMSS }, 1)},
		{"HopLimit", "hop limit", number(func(c *n) *int { return &lastRoute(c).HopLimit }, 1, 255)},
		{"InitialCongestionWindow", "in segments", number(func(c *n) *int { return &lastRoute(c).InitCwnd }, 1, 1023)},
		{"InitialAdvertisedReceiveWindow", "in segments", number(func(c *n) *int { return &lastRoute(c).InitRwnd }, 1, 1023)},
		{"QuickAck", "acknowledge at once", tristate(func(c *n) **bool { return &lastRoute(c).QuickAck })},
		{"FastOpenNoCookie", "TCP fast open without a cookie", tristate(func(c *n) **bool { return &lastRoute(c).FastOpenNoCookie })},
		{"TCPCongestionControlAlgorithm", "its name", text(func(c *n) *string { return &lastRoute(c).CongestionControl })},
		cannot[n]("MultiPathRoute"), cannot[n]("NextHop"),
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
	case bits == 128 && (r.Gateway.Is4() || r.GatewayFrom == "dhcp4"): // the other way round is RFC 5549
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

func lastRule(c *NetworkConfig) *Rule { return last(c.Rules) }

func ruleKeys() []key[NetworkConfig] {
	type n = NetworkConfig
	prefix := func(field func(*Rule) *netip.Prefix) func(*n, string) error {
		return func(c *n, s string) error {
			p, err := parsePrefix(s)
			if err == nil {
				*field(lastRule(c)) = p.Masked()
			}
			return err
		}
	}
	ports := func(field func(*Rule) *[2]uint16) func(*n, string) error {
		return func(c *n, s string) error {
			lo, hi, ranged := strings.Cut(s, "-")
			if !ranged {
				hi = lo
			}
			a, err := parseUint(lo, 65535)
			b, err2 := parseUint(hi, 65535)
			if errors.Join(err, err2) != nil || a == 0 || a > b {
				return errors.New("not a port or a range of ports")
			}
			*field(lastRule(c)) = [2]uint16{uint16(a), uint16(b)}
			return nil
		}
	}
	return []key[n]{
		{"From", "source prefix", prefix(func(r *Rule) *netip.Prefix { return &r.From })},
		{"To", "destination prefix", prefix(func(r *Rule) *netip.Prefix { return &r.To })},
		{"Table", "routing table", func(c *n, s string) error {
			t, err := parseTable(s)
			if err == nil {
				lastRule(c).Table = t
			}
			return err
		}},
		{"Priority", "order", optNumber(func(c *n) **uint32 { return &lastRule(c).Priority }, 0, 1<<32-1)},
		{"TypeOfService", "TOS field", number(func(c *n) *uint8 { return &lastRule(c).TOS }, 0, 255)},
		{"FirewallMark", "mark, or MARK/MASK", func(c *n, s string) error {
			mark, mask, masked := strings.Cut(s, "/")
			m, err := parseUint(mark, 1<<32-1)
			k := uint64(1<<32 - 1)
			if err == nil && masked {
				k, err = parseUint(mask, 1<<32-1)
			}
			if err == nil {
				lastRule(c).Mark, lastRule(c).Mask = uint32(m), uint32(k)
			}
			return err
		}},
		{"IncomingInterface", "name of the link", text(func(c *n) *string { return &lastRule(c).In })},
		{"OutgoingInterface", "name of the link", text(func(c *n) *string { return &lastRule(c).Out })},
		{"IPProtocol", "`tcp`, `udp`, `icmp`, `sctp` or a number", func(c *n, s string) error {
			v, ok := map[string]int{"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}[s]
			if !ok {
				p, err := parseUint(s, 255)
				if err != nil {
					return err
				}
				v = int(p)
			}
			lastRule(c).Protocol = v
			return nil
		}},
		{"SourcePort", "port or range", ports(func(r *Rule) *[2]uint16 { return &r.SourcePort })},
		{"DestinationPort", "port or range", ports(func(r *Rule) *[2]uint16 { return &r.DestinationPort })},
		{"InvertRule", "match the opposite", boolean(func(c *n) *bool { return &lastRule(c).Invert })},
		{"Family", "`ipv4`, `ipv6` or `both`", oneOf(func(c *n) *string { return &lastRule(c).Family }, "ipv4", "ipv6", "both")},
		{"Type", "`table`, `goto`, `nop`, `blackhole`, `unreachable`, `prohibit`", func(c *n, s string) error {
			v, ok := map[string]uint8{"table": 1, "goto": 2, "nop": 3, "blackhole": 6, "unreachable": 7, "prohibit": 8}[s]
			if !ok {
				return errors.New("not a type of rule")
			}
			lastRule(c).Type = v
			return nil
		}},
		{"GoTo", "priority of the rule to go on with", number(func(c *n) *uint32 { return &lastRule(c).GoTo }, 1, 1<<32-1)},
		{"SuppressPrefixLength", "ignore routes of at most this length", optNumber(func(c *n) **int { return &lastRule(c).SuppressPrefix }, 0, 128)},
		{"SuppressInterfaceGroup", "ignore routes over this group", optNumber(func(c *n) **int { return &lastRule(c).SuppressGroup }, 0, 1<<31-1)},
		{"User", "number of a user, or a range", func(c *n, s string) error {
			lo, hi, ranged := strings.Cut(s, "-")
			if !ranged {
				hi = lo
			}
			if s == "root" {
				lo, hi = "0", "0"
			}
			a, err := parseUint(lo, 1<<32-2)
			b, err2 := parseUint(hi, 1<<32-2)
			if errors.Join(err, err2) != nil || a > b {
				return errors.New("not the number of a user or a range of them; names are not known here")
			}
			lastRule(c).Users = &[2]uint32{uint32(a), uint32(b)}
			return nil
		}},
		{"L3MasterDevice", "look up the table of the VRF", boolean(func(c *n) *bool { return &lastRule(c).L3MasterDevice })},
	}
}

func checkRule(c *NetworkConfig) string {
	const goTo = 2
	r := lastRule(c)
	families := map[int]bool{}
	for _, p := range []netip.Prefix{r.From, r.To} {
		if p.IsValid() {
			families[p.Addr().BitLen()] = true
		}
	}
	other := map[string]bool{"ipv4": families[128], "ipv6": families[32], "both": len(families) > 0}
	switch {
	case len(families) > 1:
		return "IPv4 and IPv6 are mixed"
	case other[r.Family]:
		return "Family= is another than that of From= or To="
	case r.Type == goTo && r.GoTo == 0:
		return "Type=goto without GoTo="
	case r.Type == goTo && r.Priority != nil && *r.Priority >= r.GoTo:
		return "GoTo= does not lead forward"
	}
	return ""
}

func lastNeighbor(c *NetworkConfig) *Neighbor { return last(c.Neighbors) }

func neighborKeys() []key[NetworkConfig] {
	type n = NetworkConfig
	return []key[n]{
		{"Address", "IP address of the neighbour", func(c *n, s string) error {
			a, err := parseAddr(s)
			if err == nil {
				lastNeighbor(c).Address = a
			}
			return err
		}},
		{"LinkLayerAddress", "its hardware address", macAddress(func(c *n) *hardware { return &lastNeighbor(c).MAC })},
		{"MACAddress", "old name of LinkLayerAddress", macAddress(func(c *n) *hardware { return &lastNeighbor(c).MAC })},
	}
}

func checkNeighbor(c *NetworkConfig) string {
	if e := lastNeighbor(c); !e.Address.IsValid() || e.MAC == nil {
		return "needs both Address= and LinkLayerAddress="
	}
	return ""
}

// portKeys are the keys of [Bridge]: the link as a port of its bridge. Names of flags are those below brport/ in sysfs.
func portKeys() []key[NetworkConfig] {
	type n = NetworkConfig
	flag := func(name string, invert bool) func(*n, string) error {
		return func(c *n, s string) error {
			b, err := parseBool(s)
			if err == nil {
				c.Port.Flags = append(c.Port.Flags, PortFlag{name, b != invert})
			}
			return err
		}
	}
	return []key[n]{
		{"Cost", "path cost", number(func(c *n) *uint32 { return &c.Port.Cost }, 1, 65535)},
		{"Priority", "port priority", optNumber(func(c *n) **uint8 { return &c.Port.Priority }, 0, 63)},
		{"UseBPDU", "take in BPDUs", flag("bpdu_guard", true)},
		{"AllowPortToBeRoot", "the port may lead to the root", flag("root_block", true)},
		{"HairPin", "send back out of the port", flag("hairpin_mode", false)},
		{"FastLeave", "multicast fast leave", flag("multicast_fast_leave", false)},
		{"Isolated", "isolated port", flag("isolated", false)},
		{"UnicastFlood", "flood unicast", flag("unicast_flood", false)},
		{"MulticastFlood", "flood multicast", flag("multicast_flood", false)},
		{"MulticastToUnicast", "turn multicast into unicast", flag("multicast_to_unicast", false)},
		{"NeighborSuppression", "suppress ARP and ND", flag("neigh_suppress", false)},
		{"Learning", "learn addresses", flag("learning", false)},
		{"ProxyARP", "proxy ARP on the port", flag("proxyarp", false)},
		{"ProxyARPWiFi", "proxy ARP on the port, IEEE 802.11", flag("proxyarp_wifi", false)},
	}
}

func parseUseDomains(s string) (bool, error) {
	if s == "route" { // for routing queries only, which resolv.conf cannot express
		return false, nil
	}
	b, err := parseBool(s)
	if err != nil {
		err = fmt.Errorf("not one of yes, no, route")
	}
	return b, err
}
