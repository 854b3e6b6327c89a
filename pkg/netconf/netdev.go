package netconf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// NetDevConfig is what a .netdev file means: a virtual device to be made. systemd.netdev(5).
type NetDevConfig struct {
	Name  string // of the file, without its ending
	Match Match

	Device string
	Kind   string // vlan, bond, bridge, dummy, macvlan, macvtap, ipvlan, vxlan, vrf or veth
	MAC    hardware
	MTU    int

	VLAN   VLAN
	VXLAN  VXLAN
	Mode   string // of a macvlan, macvtap or ipvlan
	Flags  string // of an ipvlan: "", bridge, private or vepa
	Table  uint32 // of a VRF
	Peer   Peer
	Bond   []Option
	Bridge []Option
}

// Option is a setting of a bond or bridge, by its name below bonding/ or bridge/ in sysfs (bonding.rst in the kernel's
// documentation, net/bridge/br_sysfs_br.c) and in that file's own words.
type Option struct {
	Name, Value string
}

// VLAN is the [VLAN] section.
type VLAN struct {
	ID                                      int // -1: not given
	Protocol                                string
	GVRP, MVRP, LooseBinding, ReorderHeader *bool
	Egress, Ingress                         map[uint32]uint32
}

// VXLAN is the [VXLAN] section.
type VXLAN struct {
	VNI                                                                           int // -1: not given
	Group, Remote, Local                                                          netip.Addr
	TTL, TOS                                                                      int
	Port                                                                          int
	PortLow, PortHigh                                                             int
	Ageing, Limit                                                                 int
	Learning, ARPProxy, RSC, L2Miss, L3Miss, GBP, UDPCSum, ZeroCSumTx, ZeroCSumRx bool
	Independent                                                                   bool // of a link
}

// Peer is the [Peer] section: the other end of a veth.
type Peer struct {
	Name string
	MAC  hardware
}

// netDevKinds are the kinds that can be made here, with the section that belongs to each.
var netDevKinds = map[string]string{
	"vlan": "VLAN", "bond": "Bond", "bridge": "Bridge", "dummy": "", "macvlan": "MACVLAN", "macvtap": "MACVTAP",
	"ipvlan": "IPVLAN", "vxlan": "VXLAN", "vrf": "VRF", "veth": "Peer",
}

// parseNetDev returns nil for a file that makes no device, with a warning that says why.
func parseNetDev(f File, warn func(Warning)) *NetDevConfig {
	n := &NetDevConfig{Name: f.Name, VLAN: VLAN{ID: -1}, VXLAN: VXLAN{VNI: -1, Learning: true}}
	if !apply(f, n, netDevTable(), warn) {
		return nil
	}
	slices.SortStableFunc(n.Bond, func(a, b Option) int {
		return slices.Index(bondOrder, a.Name) - slices.Index(bondOrder, b.Name)
	})
	// The default VLAN can be set while filtering is off alone: __br_vlan_set_default_pvid in net/bridge/br_vlan.c.
	slices.SortStableFunc(n.Bridge, func(a, b Option) int {
		filtering := map[bool]int{true: 1}
		return filtering[a.Name == "vlan_filtering"] - filtering[b.Name == "vlan_filtering"]
	})
	refuse := func(section, reason string) *NetDevConfig {
		warn(Warning{File: f.fileName(), Section: section, Reason: reason + ", the file is ignored"})
		return nil
	}
	switch {
	case n.Device == "":
		return refuse("NetDev", "no valid Name=")
	case n.Kind == "":
		return refuse("NetDev", "no supported Kind=")
	case n.Kind == "vlan" && n.VLAN.ID < 0:
		return refuse("VLAN", "no valid Id=")
	case n.Kind == "vxlan" && n.VXLAN.VNI < 0:
		return refuse("VXLAN", "no valid VNI=")
	case n.Kind == "vrf" && n.Table == 0:
		return refuse("VRF", "no valid Table=")
	case n.Kind == "veth" && n.Peer.Name == "":
		return refuse("Peer", "no valid Name=")
	}
	return n
}

// bondOrder is the order in which a bond's settings can be made: the mode decides which others there are, and monitoring by
// link comes before the delays that are multiples of its interval.
var bondOrder = []string{
	"mode", "miimon", "arp_interval", "arp_ip_target", "arp_validate", "arp_all_targets", "arp_missed_max", "updelay", "downdelay",
	"peer_notif_delay", "xmit_hash_policy", "lacp_rate", "ad_select", "ad_actor_sys_prio", "ad_user_port_key", "ad_actor_system",
	"fail_over_mac", "primary_reselect", "resend_igmp", "packets_per_slave", "num_grat_arp", "all_slaves_active", "tlb_dynamic_lb",
	"min_links", "lp_interval",
}

func netDevTable() []section[NetDevConfig] {
	type n = NetDevConfig
	mode := func(words ...string) []key[n] {
		return []key[n]{{"Mode", "`" + strings.Join(words, "`, `") + "`", func(c *n, s string) error {
			return oneOf(func(c *n) *string { return &c.Mode }, words...)(c, s)
		}}}
	}
	macvlan := func() []key[n] {
		return append(mode("private", "vepa", "bridge", "passthru", "source"), cannot[n]("SourceMACAddress"))
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
			{"Kind", "`vlan`, `bond`, `bridge`, `dummy`, `macvlan`, `macvtap`, `ipvlan`, `vxlan`, `vrf`, `veth`", func(c *n, s string) error {
				if _, ok := netDevKinds[s]; !ok {
					return errors.New("not a kind of device that can be made here")
				}
				c.Kind = s
				return nil
			}},
			{"MACAddress", "hardware address; `none` and nothing leave it to the kernel, a bond or bridge takes its first member's", func(c *n, s string) error {
				if s == "none" {
					s = ""
				}
				return macAddress(func(c *n) *hardware { return &c.MAC })(c, s)
			}},
			{"MTUBytes", "MTU; K, M and G are understood", mtu(func(c *n) *int { return &c.MTU }, 68)},
		}},
		{name: "VLAN", keys: vlanKeys()},
		{name: "Bond", keys: bondKeys()},
		{name: "Bridge", keys: bridgeKeys()},
		{name: "MACVLAN", keys: macvlan()},
		{name: "MACVTAP", keys: macvlan()},
		{name: "IPVLAN", keys: append(mode("L2", "L3", "L3S"), key[n]{"Flags", "`bridge`, `private` or `vepa`", oneOf(func(c *n) *string { return &c.Flags }, "bridge", "private", "vepa")})},
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
			{"MACAddress", "its hardware address", macAddress(func(c *n) *hardware { return &c.Peer.MAC })},
		}},
	}
}

func setVRFTable(c *NetDevConfig, s string) error {
	t, err := parseTable(s)
	if err == nil {
		c.Table = t
	}
	return err
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
		{"LooseBinding", "the state of the link below does not count", tristate(func(c *n) **bool { return &c.VLAN.LooseBinding })},
		{"ReorderHeader", "", tristate(func(c *n) **bool { return &c.VLAN.ReorderHeader })},
		{"EgressQOSMaps", "FROM-TO, several", qos(func(v *VLAN) *map[uint32]uint32 { return &v.Egress })},
		{"IngressQOSMaps", "FROM-TO, several", qos(func(v *VLAN) *map[uint32]uint32 { return &v.Ingress })},
	}
}

// option puts what value makes of a line into a bond's or bridge's settings, in the place of an earlier one of the name.
func option(field func(*NetDevConfig) *[]Option, name string, value func(string) (string, error)) func(*NetDevConfig, string) error {
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

func word(allowed ...string) func(string) (string, error) {
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

// in returns a time span as a whole number of units, of which there are perSecond.
func in(perSecond float64) func(string) (string, error) {
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
	ms := in(1000)
	return []key[NetDevConfig]{
		{"Mode", "`balance-rr`, `active-backup`, `balance-xor`, `broadcast`, `802.3ad`, `balance-tlb`, `balance-alb`", set("mode", word("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"))},
		{"TransmitHashPolicy", "`layer2`, `layer3+4`, `layer2+3`, `encap2+3`, `encap3+4`, `vlan+srcmac`", set("xmit_hash_policy", word("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"))},
		{"LACPTransmitRate", "`slow` or `fast`", set("lacp_rate", word("slow", "fast"))},
		{"AdSelect", "`stable`, `bandwidth` or `count`", set("ad_select", word("stable", "bandwidth", "count"))},
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
		{"MIIMonitorSec", "how often the links are looked at; 100 ms in the kernel for 802.3ad", set("miimon", ms)},
		{"UpDelaySec", "a multiple of MIIMonitorSec", set("updelay", ms)},
		{"DownDelaySec", "a multiple of MIIMonitorSec", set("downdelay", ms)},
		{"PeerNotifyDelaySec", "a multiple of MIIMonitorSec", set("peer_notif_delay", ms)},
		{"LearnPacketIntervalSec", "1 s and more", set("lp_interval", in(1))},
		{"FailOverMACPolicy", "`none`, `active` or `follow`", set("fail_over_mac", word("none", "active", "follow"))},
		{"ARPIntervalSec", "how often ARPIPTargets are asked", set("arp_interval", ms)},
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
		{"ARPValidate", "`none`, `active`, `backup`, `all`", set("arp_validate", word("none", "active", "backup", "all"))},
		{"ARPAllTargets", "`any` or `all`", set("arp_all_targets", word("any", "all"))},
		{"ARPMissedMax", "1 to 255", set("arp_missed_max", between(1, 255))},
		{"PrimaryReselectPolicy", "`always`, `better` or `failure`", set("primary_reselect", word("always", "better", "failure"))},
		{"ResendIGMP", "0 to 255", set("resend_igmp", between(0, 255))},
		{"PacketsPerSlave", "0 to 65535", set("packets_per_slave", between(0, 65535))},
		{"GratuitousARP", "0 to 255", set("num_grat_arp", between(0, 255))},
		{"AllSlavesActive", "take in frames at all members", set("all_slaves_active", zeroOne)},
		{"DynamicTransmitLoadBalancing", "of balance-tlb", set("tlb_dynamic_lb", zeroOne)},
		{"MinLinks", "fewest members with a carrier", set("min_links", between(0, 1<<31-1))},
	}
}

func bridgeKeys() []key[NetDevConfig] {
	set := func(name string, value func(string) (string, error)) func(*NetDevConfig, string) error {
		return option(func(c *NetDevConfig) *[]Option { return &c.Bridge }, name, value)
	}
	cs := in(100) // USER_HZ
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
		return func(c *n, s string) error {
			a, err := parseAddr(s)
			if err == nil {
				*field(&c.VXLAN) = a
			}
			return err
		}
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
		{"Independent", "not over a link", flag(func(v *VXLAN) *bool { return &v.Independent })},
		// The other end would not understand the packets.
		cannotBe[n]("GenericProtocolExtension"), cannotBe[n]("RemoteChecksumTx"), cannotBe[n]("RemoteChecksumRx"),
	}
}
