package netconf

import (
	"errors"
	"net/netip"
)

// The sections of a .network file that may repeat are [Address], [Route], [RoutingPolicyRule] and [Neighbor]. Their
// rows set the last element of the section's list.

// last returns the last element of a list.
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
		{"Peer", "the other end of a point-to-point link",
			parsed(func(c *n) *netip.Prefix { return &lastAddress(c).Peer }, parsePrefix)},
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
		{"RouteMetric", "metric of the route to the prefix",
			number(func(c *n) *uint32 { return &lastAddress(c).Metric }, 0, 1<<32-1)},
		{"PreferredLifetime", "`0` deprecates the address, `forever` and `infinity` do not",
			func(c *n, s string) error {
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
		{"AddPrefixRoute", "`no`: no route to the prefix",
			inverted(boolean(func(c *n) *bool { return &lastAddress(c).NoPrefixRoute }))},
		{"PrefixRoute", "old form of AddPrefixRoute, with the opposite meaning",
			boolean(func(c *n) *bool { return &lastAddress(c).NoPrefixRoute })},
		{"HomeAddress", "home address of Mobile IPv6",
			boolean(func(c *n) *bool { return &lastAddress(c).HomeAddress })},
		{"ManageTemporaryAddress", "the kernel makes temporary addresses from it",
			boolean(func(c *n) *bool { return &lastAddress(c).ManageTemporary })},
		{"AutoJoin", "join the multicast group", boolean(func(c *n) *bool { return &lastAddress(c).AutoJoin })},
		{"DuplicateAddressDetection", "`none` turns it off for IPv6; for IPv4 it is not supported",
			func(c *n, s string) error {
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
					lastAddress(c).NoDAD6 = b // a boolean has the opposite meaning, as in old versions of systemd
				}
				return nil
			}},
	}
}

func checkAddress(c *NetworkConfig) string {
	a := lastAddress(c)
	switch {
	case !a.Prefix.IsValid():
		return "no Address="
	case a.Peer.IsValid() && a.Peer.Addr().Is4() != a.Prefix.Addr().Is4():
		return "Peer= and Address= are of different families"
	case a.Prefix.Addr().Is4() && (a.HomeAddress || a.ManageTemporary):
		return "HomeAddress= and ManageTemporaryAddress= are for IPv6 addresses"
	}
	return ""
}
