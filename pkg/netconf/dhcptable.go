package netconf

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// The rows of [DHCPv4], [DHCPv6] and [DHCP].

func dhcp4Keys() []key[NetworkConfig] {
	type n = NetworkConfig
	flag := func(field func(*DHCPv4) *bool) func(*n, string) error {
		return boolean(func(c *n) *bool { return field(&c.DHCPv4) })
	}
	return []key[n]{
		{"ClientIdentifier", "`mac` (the default here), `duid` or `duid-only`",
			oneOf(func(c *n) *string { return &c.DHCPv4.ClientIdentifier }, "mac", "duid", "duid-only")},
		{"DUIDType",
			"`link-layer` (the default here), `vendor`, `uuid` or a number; without DUIDRawData it is link-layer",
			setDUIDType(func(c *n) *DUID { return &c.DHCPv4.DUID })},
		{"DUIDRawData", "bytes after the type, in hexadecimal with colons",
			setDUIDRaw(func(c *n) *DUID { return &c.DHCPv4.DUID })},
		{"IAID", "number of the link; default from its hardware address",
			optNumber(func(c *n) **uint32 { return &c.DHCPv4.IAID }, 0, 1<<32-1)},
		{"SendHostname", "default yes, if the machine has a name",
			tristate(func(c *n) **bool { return &c.DHCPv4.sendHostname })},
		{"Hostname", "name to send instead of the machine's", text(func(c *n) *string { return &c.DHCPv4.Hostname })},
		{"VendorClassIdentifier", "option 60; the default here is `Wyrcan`, and an empty value sends none",
			text(func(c *n) *string { return &c.DHCPv4.VendorClass })},
		{"UserClass", "option 77, several", list(func(c *n) *[]string { return &c.DHCPv4.UserClass }, shortWord)},
		{"RequestOptions", "further options to ask for, by number",
			list(func(c *n) *[]uint8 { return &c.DHCPv4.RequestOptions }, func(s string) (uint8, error) {
				v, err := parseUint(s, 254)
				return uint8(v), err
			})},
		{"SendOption", "OPTION:TYPE:VALUE",
			setSendOption(func(c *n) *[]DHCPOption { return &c.DHCPv4.SendOptions }, 254)},
		{"RequestAddress", "address to ask for", func(c *n, s string) error {
			a, err := parseAddr(s)
			if err == nil && !a.Is4() {
				err = errors.New("not an IPv4 address")
			}
			if err == nil {
				c.DHCPv4.RequestAddress = a
			}
			return err
		}},
		{"RequestBroadcast", "ask the server to broadcast its answers",
			flag(func(d *DHCPv4) *bool { return &d.Broadcast })},
		{"Anonymize", "send as little as RFC 7844 allows", flag(func(d *DHCPv4) *bool { return &d.Anonymize })},
		{"MaxAttempts", "number of attempts, or `infinity` (the default)", func(c *n, s string) error {
			if s == "" || s == "infinity" {
				c.DHCPv4.MaxAttempts = 0
				return nil
			}
			v, err := parseUint(s, 1<<31-1)
			if err == nil && v == 0 {
				err = errors.New("not a number above 0, nor infinity")
			}
			if err == nil {
				c.DHCPv4.MaxAttempts = int(v)
			}
			return err
		}},
		{"ListenPort", "UDP port of the client", number(func(c *n) *int { return &c.DHCPv4.ListenPort }, 1, 65535)},
		{"ServerPort", "UDP port of the server", number(func(c *n) *int { return &c.DHCPv4.ServerPort }, 1, 65535)},
		{"AllowList", "servers to take offers from",
			list(func(c *n) *[]netip.Prefix { return &c.DHCPv4.AllowList }, parsePrefix)},
		{"DenyList", "servers not to take offers from",
			list(func(c *n) *[]netip.Prefix { return &c.DHCPv4.DenyList }, parsePrefix)},
		{"BlackList", "old name of DenyList",
			list(func(c *n) *[]netip.Prefix { return &c.DHCPv4.DenyList }, parsePrefix)},
		{"UseDNS", "default yes", tristate(func(c *n) **bool { return &c.DHCPv4.useDNS })},
		{"UseNTP", "default yes", tristate(func(c *n) **bool { return &c.DHCPv4.useNTP })},
		{"UseDomains", "default no; `route` is no here",
			setUseDomains(func(c *n) **bool { return &c.DHCPv4.useDomains })},
		{"UseDomainName", "old name of UseDomains", setUseDomains(func(c *n) **bool { return &c.DHCPv4.useDomains })},
		{"UseMTU", "set the link's MTU from the lease; default no", flag(func(d *DHCPv4) *bool { return &d.UseMTU })},
		{"UseHostname", "the name is passed on, but not set here",
			flag(func(d *DHCPv4) *bool { return &d.UseHostname })},
		{"UseRoutes", "classless routes; default yes", flag(func(d *DHCPv4) *bool { return &d.UseRoutes })},
		{"UseGateway", "the Router option; default as UseRoutes",
			tristate(func(c *n) **bool { return &c.DHCPv4.useGateway })},
		{"RoutesToDNS", "a separate route to each name server; default yes",
			flag(func(d *DHCPv4) *bool { return &d.RoutesToDNS })},
		{"RoutesToNTP", "the same for time servers; default yes",
			flag(func(d *DHCPv4) *bool { return &d.RoutesToNTP })},
		{"RouteMetric", "default 1024", optNumber(func(c *n) **uint32 { return &c.DHCPv4.routeMetric }, 0, 1<<32-1)},
		{"RouteTable", "routing table by number",
			number(func(c *n) *uint32 { return &c.DHCPv4.RouteTable }, 1, 1<<32-1)},
		{"RouteMTUBytes", "MTU of the routes", mtu(func(c *n) *int { return &c.DHCPv4.RouteMTU }, 68)},
		{"QuickAck", "on the routes", flag(func(d *DHCPv4) *bool { return &d.QuickAck })},
		{"InitialCongestionWindow", "on the routes", number(func(c *n) *int { return &c.DHCPv4.InitCwnd }, 1, 1023)},
		{"InitialAdvertisedReceiveWindow", "on the routes",
			number(func(c *n) *int { return &c.DHCPv4.InitRwnd }, 1, 1023)},
		{"Label", "label of the address", text(func(c *n) *string { return &c.DHCPv4.Label })},
		// The lease is not released, because the booted system asks for it again. The other keys have no use before
		// that system runs.
		{"SendRelease", "", nil}, {"SendDecline", "", nil}, {"UseSIP", "", nil}, {"UseTimezone", "", nil},
		{"UseCaptivePortal", "", nil}, {"UseDNR", "", nil}, {"CriticalConnection", "", nil}, {"RapidCommit", "", nil},
		{"IPServiceType", "", nil}, {"SocketPriority", "", nil}, {"FallbackLeaseLifetimeSec", "", nil},
		{"Use6RD", "", nil},
	}
}

// oldDHCPKeys are the rows of [DHCP], the old section for both versions. networkd-network-gperf.gperf in systemd
// says which keys it still has, and which of them also apply to DHCPv6 and router advertisements unless those sections
// say otherwise.
func oldDHCPKeys() []key[NetworkConfig] {
	type n = NetworkConfig
	keys := []key[n]{
		{"UseDNS", "for DHCPv4 and DHCPv6", tristate(func(c *n) **bool { return &c.old.useDNS })},
		{"UseNTP", "for DHCPv4 and DHCPv6", tristate(func(c *n) **bool { return &c.old.useNTP })},
		{"UseDomains", "for DHCPv4 and DHCPv6", setUseDomains(func(c *n) **bool { return &c.old.useDomains })},
		{"UseDomainName", "old name of UseDomains", setUseDomains(func(c *n) **bool { return &c.old.useDomains })},
		{"SendHostname", "for DHCPv4 and DHCPv6", tristate(func(c *n) **bool { return &c.old.sendHostname })},
		{"RouteMetric", "for DHCPv4 and router advertisements",
			optNumber(func(c *n) **uint32 { return &c.old.routeMetric }, 0, 1<<32-1)},
		{"RapidCommit", "for DHCPv6", boolean(func(c *n) *bool { return &c.DHCPv6.RapidCommit })},
	}
	same := []string{
		"ClientIdentifier", "UseMTU", "UseHostname", "UseRoutes", "Anonymize", "Hostname", "RequestBroadcast",
		"CriticalConnection", "VendorClassIdentifier", "UserClass", "IAID", "DUIDType", "DUIDRawData", "RouteTable",
		"UseTimezone", "ListenPort",
	}
	for _, k := range dhcp4Keys() {
		if slices.Contains(same, k.name) {
			keys = append(keys, k)
		}
	}
	return append(keys, key[n]{"ForceDHCPv6PDOtherInformation", "", nil})
}

func dhcp6Keys() []key[NetworkConfig] {
	type n = NetworkConfig
	flag := func(field func(*DHCPv6) *bool) func(*n, string) error {
		return boolean(func(c *n) *bool { return field(&c.DHCPv6) })
	}
	return []key[n]{
		{"DUIDType", "as in [DHCPv4]; without this key and DUIDRawData the DUID of [DHCPv4] is used",
			setDUIDType(func(c *n) *DUID { return &c.DHCPv6.DUID })},
		{"DUIDRawData", "as in [DHCPv4]", setDUIDRaw(func(c *n) *DUID { return &c.DHCPv6.DUID })},
		{"IAID", "number of the link", optNumber(func(c *n) **uint32 { return &c.DHCPv6.IAID }, 0, 1<<32-1)},
		{"UseAddress", "default yes", flag(func(d *DHCPv6) *bool { return &d.UseAddress })},
		{"UseDNS", "default yes", tristate(func(c *n) **bool { return &c.DHCPv6.useDNS })},
		{"UseNTP", "default yes", tristate(func(c *n) **bool { return &c.DHCPv6.useNTP })},
		{"UseDomains", "default no", setUseDomains(func(c *n) **bool { return &c.DHCPv6.useDomains })},
		{"UseHostname", "the name is passed on, but not set here", flag(func(d *DHCPv6) *bool { return &d.UseHostname })},
		{"RapidCommit", "two messages instead of four; default yes",
			flag(func(d *DHCPv6) *bool { return &d.RapidCommit })},
		{"SendHostname", "default yes", tristate(func(c *n) **bool { return &c.DHCPv6.sendHostname })},
		{"Hostname", "name to send", text(func(c *n) *string { return &c.DHCPv6.Hostname })},
		{"RequestOptions", "further options to ask for, by number",
			list(func(c *n) *[]uint16 { return &c.DHCPv6.RequestOptions }, func(s string) (uint16, error) {
				v, err := parseUint(s, 65534)
				return uint16(v), err
			})},
		{"SendOption", "OPTION:TYPE:VALUE",
			setSendOption(func(c *n) *[]DHCPOption { return &c.DHCPv6.SendOptions }, 65535)},
		{"UserClass", "option 15, several", list(func(c *n) *[]string { return &c.DHCPv6.UserClass }, anyWord)},
		{"VendorClass", "option 16, several; the default here is `Wyrcan`, and an empty value sends none",
			setVendorClass},
		{"WithoutRA", "`no`, `solicit` or `information-request`: start without a router advertisement",
			oneOf(func(c *n) *string { return &c.DHCPv6.WithoutRA }, "no", "solicit", "information-request")},
		{"RouteMetric", "old form of RouteMetric in [IPv6AcceptRA]", setMetrics},
		{"UseDelegatedPrefix", "", nil}, {"PrefixDelegationHint", "", nil}, {"UseCaptivePortal", "", nil},
		{"UseDNR", "", nil}, {"SendRelease", "", nil},
		{"ForceDHCPv6PDOtherInformation", "", nil},
	}
}

// setVendorClass adds the words of a line. The first line replaces the default.
func setVendorClass(c *NetworkConfig, s string) error {
	c.DHCPv6.hasVendorClass = true
	return list(func(c *NetworkConfig) *[]string { return &c.DHCPv6.VendorClass }, anyWord)(c, s)
}

func setUseDomains[T any](field func(*T) **bool) func(*T, string) error {
	return func(t *T, s string) error {
		b, err := parseUseDomains(s)
		if err == nil {
			*field(t) = &b
		}
		return err
	}
}

// shortWord accepts a word of at most 255 bytes: the option has one byte for its length.
func shortWord(s string) (string, error) {
	if s == "" || len(s) > 255 {
		return "", errors.New("not between 1 and 255 bytes long")
	}
	return s, nil
}

func setDUIDType[T any](field func(*T) *DUID) func(*T, string) error {
	return func(t *T, s string) error {
		word, _, _ := strings.Cut(s, ":") // link-layer-time may be followed by a time, which is not used here
		v, ok := map[string]uint64{"link-layer-time": 1, "vendor": 2, "link-layer": 3, "uuid": 4}[word]
		if !ok {
			var err error
			if v, err = parseUint(s, 65535); err != nil {
				return errors.New("not a type of DUID")
			}
		}
		field(t).Number = uint16(v)
		return nil
	}
}

func setDUIDRaw[T any](field func(*T) *DUID) func(*T, string) error {
	return func(t *T, s string) error {
		var raw []byte
		for p := range strings.SplitSeq(s, ":") {
			if len(p) == 1 {
				p = "0" + p
			}
			b, err := hex.DecodeString(p)
			if err != nil || len(b) != 1 {
				return errors.New("not bytes in hexadecimal with colons between them")
			}
			raw = append(raw, b[0])
		}
		if len(raw) > 128 {
			return errors.New("longer than 128 bytes")
		}
		field(t).Raw = raw
		return nil
	}
}

// setSendOption reads OPTION:TYPE:VALUE. The types are those of systemd.network(5); most is the highest option number.
func setSendOption[T any](field func(*T) *[]DHCPOption, most uint64) func(*T, string) error {
	return func(t *T, s string) error {
		if s == "" {
			*field(t) = nil
			return nil
		}
		ws, err := words(s) // quotes may surround a value with spaces
		if err != nil || len(ws) != 1 {
			return errors.New("not OPTION:TYPE:VALUE")
		}
		code, rest, _ := strings.Cut(ws[0], ":")
		kind, value, ok := strings.Cut(rest, ":")
		c, err := parseUint(code, most)
		if !ok || err != nil || c == 0 {
			return errors.New("not OPTION:TYPE:VALUE")
		}
		data, err := optionData(kind, value)
		if err != nil {
			return err
		}
		*field(t) = append(*field(t), DHCPOption{uint16(c), data})
		return nil
	}
}

func optionData(kind, value string) ([]byte, error) {
	switch kind {
	case "uint8":
		v, err := parseUint(value, 1<<8-1)
		return []byte{byte(v)}, err
	case "uint16":
		v, err := parseUint(value, 1<<16-1)
		return binary.BigEndian.AppendUint16(nil, uint16(v)), err
	case "uint32":
		v, err := parseUint(value, 1<<32-1)
		return binary.BigEndian.AppendUint32(nil, uint32(v)), err
	case "ipv4address", "ipv6address":
		a, err := parseAddr(value)
		if err == nil && a.Is4() != (kind == "ipv4address") {
			err = fmt.Errorf("%q is not an %s", value, kind)
		}
		return a.AsSlice(), err
	case "string":
		if len(value) > 255 {
			return nil, errors.New("longer than 255 bytes")
		}
		return []byte(value), nil
	}
	return nil, fmt.Errorf("unknown type %q (uint8, uint16, uint32, ipv4address, ipv6address, string)", kind)
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
