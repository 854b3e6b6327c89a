package netconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

func netDevTable() []section[NetDevConfig] {
	type n = NetDevConfig
	mode := func(words ...string) []key[n] {
		return []key[n]{{"Mode", "`" + strings.Join(words, "`, `") + "`", func(c *n, s string) error {
			return oneOf(func(c *n) *string { return &c.Mode }, words...)(c, s)
		}}}
	}
	macvlan := func() []key[n] {
		return append(mode("private", "vepa", "bridge", "passthru", "source"), unsupported[n]("SourceMACAddress"))
	}
	return []section[n]{
		{name: "Match", keys: hostKeys(func(c *n) *Match { return &c.Match })},
		{name: "NetDev", keys: []key[n]{
			{"Description", "", nil},
			{"Name", "name of the device", func(c *n, s string) error {
				err := validName(s)
				if err == nil {
					c.Device = s
				}
				return err
			}},
			{"Kind", "`vlan`, `bond`, `bridge`, `dummy`, `macvlan`, `macvtap`, `ipvlan`, `vxlan`, `vrf`, `veth`",
				func(c *n, s string) error {
					if _, ok := netDevKinds[s]; !ok {
						return errors.New("not a kind of device that can be created here")
					}
					c.Kind = s
					return nil
				}},
			{"MACAddress",
				"hardware address; `none` and nothing leave it to the kernel, a bond or bridge takes its first " +
					"member's", func(c *n, s string) error {
					if s == "none" {
						s = ""
					}
					return macAddress(func(c *n) *net.HardwareAddr { return &c.MAC })(c, s)
				}},
			{"MTUBytes", "MTU; K, M and G are understood", mtu(func(c *n) *int { return &c.MTU }, 68)},
		}},
		{name: "VLAN", keys: vlanKeys()},
		{name: "Bond", keys: bondKeys()},
		{name: "Bridge", keys: bridgeKeys()},
		{name: "MACVLAN", keys: macvlan()},
		{name: "MACVTAP", keys: macvlan()},
		{name: "IPVLAN",
			keys: append(mode("L2", "L3", "L3S"),
				key[n]{"Flags", "`bridge`, `private` or `vepa`",
					oneOf(func(c *n) *string { return &c.Flags }, "bridge", "private", "vepa")})},
		{name: "VXLAN", keys: vxlanKeys()},
		{name: "VRF", keys: []key[n]{
			{"Table", "routing table", setVRFTable}, {"TableId", "old name of Table", setVRFTable},
		}},
		{name: "Peer", keys: []key[n]{
			{"Name", "name of the other end", func(c *n, s string) error {
				err := validName(s)
				if err == nil {
					c.Peer.Name = s
				}
				return err
			}},
			{"MACAddress", "its hardware address", macAddress(func(c *n) *net.HardwareAddr { return &c.Peer.MAC })},
		}},
	}
}

func setVRFTable(c *NetDevConfig, s string) error {
	return parsed(func(c *NetDevConfig) *uint32 { return &c.Table }, parseTable)(c, s)
}

func vlanKeys() []key[NetDevConfig] {
	type n = NetDevConfig
	qos := func(field func(*VLAN) *map[uint32]uint32) func(*n, string) error {
		return func(c *n, s string) error {
			m := field(&c.VLAN)
			if s == "" {
				*m = nil
				return nil
			}
			for w := range strings.FieldsSeq(s) {
				from, to, ok := strings.Cut(w, "-")
				a, err := parseUint(from, 1<<32-1)
				b, err2 := parseUint(to, 1<<32-1)
				if !ok || errors.Join(err, err2) != nil {
					return fmt.Errorf("%q is not FROM-TO", w)
				}
				if *m == nil {
					*m = map[uint32]uint32{}
				}
				(*m)[uint32(a)] = uint32(b)
			}
			return nil
		}
	}
	return []key[n]{
		{"Id", "VLAN id, 0 to 4094", number(func(c *n) *int { return &c.VLAN.ID }, 0, 4094)},
		{"Protocol", "`802.1q` or `802.1ad`", func(c *n, s string) error {
			return oneOf(func(c *n) *string { return &c.VLAN.Protocol }, "802.1q", "802.1ad")(c, strings.ToLower(s))
		}},
		{"GVRP", "", tristate(func(c *n) **bool { return &c.VLAN.GVRP })},
		{"MVRP", "", tristate(func(c *n) **bool { return &c.VLAN.MVRP })},
		{"LooseBinding", "ignore the state of the link below",
			tristate(func(c *n) **bool { return &c.VLAN.LooseBinding })},
		{"ReorderHeader", "", tristate(func(c *n) **bool { return &c.VLAN.ReorderHeader })},
		{"EgressQOSMaps", "FROM-TO, several", qos(func(v *VLAN) *map[uint32]uint32 { return &v.Egress })},
		{"IngressQOSMaps", "FROM-TO, several", qos(func(v *VLAN) *map[uint32]uint32 { return &v.Ingress })},
	}
}

// option adds a setting to a list of a bond or bridge and removes an earlier one of the same name. value converts
// the text of the line.
func option(field func(*NetDevConfig) *[]Option, name string, value func(string) (string, error)) func(*NetDevConfig,
	string) error {
	return func(c *NetDevConfig, s string) error {
		v, err := value(s)
		if err != nil {
			return err
		}
		list := field(c)
		*list = append(without(*list, func(o Option) bool { return o.Name == name }), Option{name, v})
		return nil
	}
}

// allowedWord returns a function that accepts only the allowed words.
func allowedWord(allowed ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(allowed, s) {
			return "", fmt.Errorf("not one of %s", strings.Join(allowed, ", "))
		}
		return s, nil
	}
}

func zeroOne(s string) (string, error) {
	b, err := parseBool(s)
	return map[bool]string{true: "1", false: "0"}[b], err
}

func between(lo, hi uint64) func(string) (string, error) {
	return func(s string) (string, error) {
		v, err := parseUint(s, hi)
		if err != nil || v < lo {
			return "", fmt.Errorf("not a number from %d to %d", lo, hi)
		}
		return strconv.FormatUint(v, 10), nil
	}
}

// wholeUnits returns a function that reads a time span as a whole number of units of 1/perSecond seconds.
func wholeUnits(perSecond float64) func(string) (string, error) {
	return func(s string) (string, error) {
		d, err := parseDuration(s)
		if err == nil && (d == Forever || d.Seconds()*perSecond > 1<<31-1) {
			err = errors.New("too long")
		}
		return strconv.FormatInt(int64(d.Seconds()*perSecond), 10), err
	}
}

func bondKeys() []key[NetDevConfig] {
	set := func(name string, value func(string) (string, error)) func(*NetDevConfig, string) error {
		return option(func(c *NetDevConfig) *[]Option { return &c.Bond }, name, value)
	}
	ms := wholeUnits(1000)
	return []key[NetDevConfig]{
		{"Mode", "`balance-rr`, `active-backup`, `balance-xor`, `broadcast`, `802.3ad`, `balance-tlb`, `balance-alb`",
			set("mode",
				allowedWord("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb",
					"balance-alb"))},
		{"TransmitHashPolicy", "`layer2`, `layer3+4`, `layer2+3`, `encap2+3`, `encap3+4`, `vlan+srcmac`",
			set("xmit_hash_policy",
				allowedWord("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"))},
		{"LACPTransmitRate", "`slow` or `fast`", set("lacp_rate", allowedWord("slow", "fast"))},
		{"AdSelect", "`stable`, `bandwidth` or `count`", set("ad_select", allowedWord("stable", "bandwidth", "count"))},
		{"AdActorSystemPriority", "1 to 65535", set("ad_actor_sys_prio", between(1, 65535))},
		{"AdUserPortKey", "0 to 1023", set("ad_user_port_key", between(0, 1023))},
		{"AdActorSystem", "hardware address", set("ad_actor_system", func(s string) (string, error) {
			mac, err := parseMAC(s)
			switch {
			case err != nil:
			case len(mac) != etherLen:
				err = errors.New("not an Ethernet address")
			case mac[0]&1 != 0:
				err = errors.New("a multicast address")
			}
			return mac.String(), err
		})},
		{"MIIMonitorSec", "interval of link monitoring; the kernel's default for 802.3ad is 100 ms", set("miimon", ms)},
		{"UpDelaySec", "a multiple of MIIMonitorSec", set("updelay", ms)},
		{"DownDelaySec", "a multiple of MIIMonitorSec", set("downdelay", ms)},
		{"PeerNotifyDelaySec", "a multiple of MIIMonitorSec", set("peer_notif_delay", ms)},
		{"LearnPacketIntervalSec", "1 s and more", set("lp_interval", wholeUnits(1))},
		{"FailOverMACPolicy", "`none`, `active` or `follow`",
			set("fail_over_mac", allowedWord("none", "active", "follow"))},
		{"ARPIntervalSec", "interval of ARP requests to ARPIPTargets", set("arp_interval", ms)},
		{"ARPIPTargets", "up to 16 IPv4 addresses", func(c *NetDevConfig, s string) error {
			if s == "" {
				c.Bond = without(c.Bond, func(o Option) bool { return o.Name == "arp_ip_target" })
				return nil
			}
			for w := range strings.FieldsSeq(s) {
				a, err := parseAddr(w)
				if err != nil || !a.Is4() {
					return fmt.Errorf("%q is not an IPv4 address", w)
				}
				c.Bond = append(c.Bond, Option{"arp_ip_target", "+" + a.String()})
			}
			return nil
		}},
		{"ARPValidate", "`none`, `active`, `backup`, `all`",
			set("arp_validate", allowedWord("none", "active", "backup", "all"))},
		{"ARPAllTargets", "`any` or `all`", set("arp_all_targets", allowedWord("any", "all"))},
		{"ARPMissedMax", "1 to 255", set("arp_missed_max", between(1, 255))},
		{"PrimaryReselectPolicy", "`always`, `better` or `failure`",
			set("primary_reselect", allowedWord("always", "better", "failure"))},
		{"ResendIGMP", "0 to 255", set("resend_igmp", between(0, 255))},
		{"PacketsPerSlave", "0 to 65535", set("packets_per_slave", between(0, 65535))},
		{"GratuitousARP", "0 to 255", set("num_grat_arp", between(0, 255))},
		{"AllSlavesActive", "accept frames on all members", set("all_slaves_active", zeroOne)},
		{"DynamicTransmitLoadBalancing", "for balance-tlb", set("tlb_dynamic_lb", zeroOne)},
		{"MinLinks", "minimum number of members with a carrier", set("min_links", between(0, 1<<31-1))},
	}
}

func bridgeKeys() []key[NetDevConfig] {
	set := func(name string, value func(string) (string, error)) func(*NetDevConfig, string) error {
		return option(func(c *NetDevConfig) *[]Option { return &c.Bridge }, name, value)
	}
	cs := wholeUnits(100) // USER_HZ
	return []key[NetDevConfig]{
		{"STP", "spanning tree", set("stp_state", zeroOne)},
		{"ForwardDelaySec", "", set("forward_delay", cs)},
		{"HelloTimeSec", "", set("hello_time", cs)},
		{"MaxAgeSec", "", set("max_age", cs)},
		{"AgeingTimeSec", "", set("ageing_time", cs)},
		{"Priority", "0 to 65535", set("priority", between(0, 65535))},
		{"GroupForwardMask", "", set("group_fwd_mask", between(0, 65535))},
		{"DefaultPVID", "VLAN id or `none`", set("default_pvid", func(s string) (string, error) {
			if s == "none" {
				return "0", nil
			}
			return between(1, 4094)(s)
		})},
		{"VLANFiltering", "", set("vlan_filtering", zeroOne)},
		{"VLANProtocol", "`802.1q` or `802.1ad`", set("vlan_protocol", func(s string) (string, error) {
			v, ok := map[string]string{"802.1q": "0x8100", "802.1ad": "0x88a8"}[strings.ToLower(s)]
			if !ok {
				return "", errors.New("not one of 802.1q, 802.1ad")
			}
			return v, nil
		})},
		{"MulticastSnooping", "", set("multicast_snooping", zeroOne)},
		{"MulticastQuerier", "", set("multicast_querier", zeroOne)},
		{"MulticastIGMPVersion", "2 or 3", set("multicast_igmp_version", between(2, 3))},
	}
}

func vxlanKeys() []key[NetDevConfig] {
	type n = NetDevConfig
	flag := func(field func(*VXLAN) *bool) func(*n, string) error {
		return boolean(func(c *n) *bool { return field(&c.VXLAN) })
	}
	addr := func(field func(*VXLAN) *netip.Addr) func(*n, string) error {
		return parsed(func(c *n) *netip.Addr { return field(&c.VXLAN) }, parseAddr)
	}
	vni := number(func(c *n) *int { return &c.VXLAN.VNI }, 1, 1<<24-1)
	return []key[n]{
		{"VNI", "network identifier", vni}, {"Id", "old name of VNI", vni},
		{"Remote", "address of the other end", addr(func(v *VXLAN) *netip.Addr { return &v.Remote })},
		{"Group", "multicast group, or the other end", addr(func(v *VXLAN) *netip.Addr { return &v.Group })},
		{"Local", "own address", addr(func(v *VXLAN) *netip.Addr { return &v.Local })},
		{"TTL", "`inherit` is 0", func(c *n, s string) error {
			if s == "inherit" {
				s = "0"
			}
			return number(func(c *n) *int { return &c.VXLAN.TTL }, 0, 255)(c, s)
		}},
		{"TOS", "", number(func(c *n) *int { return &c.VXLAN.TOS }, 0, 255)},
		{"DestinationPort", "default 8472, the kernel's", number(func(c *n) *int { return &c.VXLAN.Port }, 1, 65535)},
		{"PortRange", "source ports, LOW-HIGH", func(c *n, s string) error {
			lo, hi, _ := strings.Cut(s, "-")
			a, err := parseUint(lo, 65535)
			b, err2 := parseUint(hi, 65535)
			if errors.Join(err, err2) != nil || a == 0 || a > b {
				return errors.New("not a range of ports")
			}
			c.VXLAN.PortLow, c.VXLAN.PortHigh = int(a), int(b)
			return nil
		}},
		{"MacLearning", "default yes", flag(func(v *VXLAN) *bool { return &v.Learning })},
		{"FDBAgeingSec", "", func(c *n, s string) error {
			d, err := parseDuration(s)
			if err == nil {
				c.VXLAN.Ageing = int(min(d.Seconds(), 1<<31-1))
			}
			return err
		}},
		{"MaximumFDBEntries", "", number(func(c *n) *int { return &c.VXLAN.Limit }, 0, 1<<31-1)},
		{"ReduceARPProxy", "", flag(func(v *VXLAN) *bool { return &v.ARPProxy })},
		{"ARPProxy", "old name of ReduceARPProxy", flag(func(v *VXLAN) *bool { return &v.ARPProxy })},
		{"RouteShortCircuit", "", flag(func(v *VXLAN) *bool { return &v.RSC })},
		{"L2MissNotification", "", flag(func(v *VXLAN) *bool { return &v.L2Miss })},
		{"L3MissNotification", "", flag(func(v *VXLAN) *bool { return &v.L3Miss })},
		{"GroupPolicyExtension", "", flag(func(v *VXLAN) *bool { return &v.GBP })},
		{"UDPChecksum", "", flag(func(v *VXLAN) *bool { return &v.UDPCSum })},
		{"UDP6ZeroChecksumTx", "", flag(func(v *VXLAN) *bool { return &v.ZeroCSumTx })},
		{"UDP6ZeroChecksumRx", "", flag(func(v *VXLAN) *bool { return &v.ZeroCSumRx })},
		{"UDPCheckSum", "old spelling", flag(func(v *VXLAN) *bool { return &v.UDPCSum })},
		{"UDP6ZeroCheckSumTx", "old spelling", flag(func(v *VXLAN) *bool { return &v.ZeroCSumTx })},
		{"UDP6ZeroCheckSumRx", "old spelling", flag(func(v *VXLAN) *bool { return &v.ZeroCSumRx })},
		{"Independent", "not bound to a link", flag(func(v *VXLAN) *bool { return &v.Independent })},
		// Without these the other end would not understand the packets.
		unsupportedTrue[n]("GenericProtocolExtension"),
		unsupportedTrue[n]("RemoteChecksumTx"), unsupportedTrue[n]("RemoteChecksumRx"),
	}
}
