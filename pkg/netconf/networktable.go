package netconf

// networkTable is the table of what a .network file may say, by section: systemd.network(5).
func networkTable() []section[NetworkConfig] {
	return []section[NetworkConfig]{
		{name: "Match", keys: matchKeys(func(n *NetworkConfig) *Match { return &n.Match }, "Name")},
		{name: "Network", keys: []key[NetworkConfig]{
			{"DHCP", "yes, no, ipv4 or ipv6", setDHCP},
			{"IPv6AcceptRA", "take part in router advertisements; default yes", boolean(func(n *NetworkConfig) *bool { return &n.AcceptRA })},
		}},
		{name: "DHCPv4", keys: []key[NetworkConfig]{
			{"UseMTU", "set the link's MTU from the lease; default no", boolean(func(n *NetworkConfig) *bool { return &n.DHCPv4.UseMTU })},
		}},
	}
}

// matchKeys are the keys of a [Match] section; nameKey is what it calls the device's name.
func matchKeys[T any](match func(*T) *Match, nameKey string) []key[T] {
	name := func(t *T) *Patterns { return &match(t).Name }
	if nameKey == "OriginalName" {
		name = func(t *T) *Patterns { return &match(t).OriginalName }
	}
	return []key[T]{
		{nameKey, "globs of device names", patterns(name)},
		{"Type", "globs of device types: ether, vlan, bond, bridge, …", patterns(func(t *T) *Patterns { return &match(t).Type })},
	}
}

func setDHCP(n *NetworkConfig, s string) error {
	switch s {
	case "ipv4", "v4":
		n.DHCP4, n.DHCP6 = true, false
	case "ipv6", "v6":
		n.DHCP4, n.DHCP6 = false, true
	case "both":
		n.DHCP4, n.DHCP6 = true, true
	default:
		b, err := parseBool(s)
		if err != nil {
			return err
		}
		n.DHCP4, n.DHCP6 = b, b
	}
	return nil
}
