package netconf

import (
	"errors"
	"net/netip"
	"strings"
)

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
		{"Table", "routing table", parsed(func(c *n) *uint32 { return &lastRule(c).Table }, parseTable)},
		{"Priority", "priority; the rule with the lowest number comes first",
			optNumber(func(c *n) **uint32 { return &lastRule(c).Priority }, 0, 1<<32-1)},
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
		{"Family", "`ipv4`, `ipv6` or `both`",
			oneOf(func(c *n) *string { return &lastRule(c).Family }, "ipv4", "ipv6", "both")},
		{"Type", "`table`, `goto`, `nop`, `blackhole`, `unreachable`, `prohibit`", func(c *n, s string) error {
			v,
				ok := map[string]uint8{"table": 1, "goto": 2, "nop": 3, "blackhole": 6, "unreachable": 7,
				"prohibit": 8}[s]
			if !ok {
				return errors.New("not a type of rule")
			}
			lastRule(c).Type = v
			return nil
		}},
		{"GoTo", "priority of the rule to continue with",
			number(func(c *n) *uint32 { return &lastRule(c).GoTo }, 1, 1<<32-1)},
		{"SuppressPrefixLength", "ignore routes of at most this length",
			optNumber(func(c *n) **int { return &lastRule(c).SuppressPrefix }, 0, 128)},
		{"SuppressInterfaceGroup", "ignore routes over this group",
			optNumber(func(c *n) **int { return &lastRule(c).SuppressGroup }, 0, 1<<31-1)},
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
		{"L3MasterDevice", "look up the table of the VRF",
			boolean(func(c *n) *bool { return &lastRule(c).L3MasterDevice })},
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
		return "Family= differs from the family of From= or To="
	case r.Type == goTo && r.GoTo == 0:
		return "Type=goto without GoTo="
	case r.Type == goTo && r.Priority != nil && *r.Priority >= r.GoTo:
		return "GoTo= does not lead forward"
	}
	return ""
}
