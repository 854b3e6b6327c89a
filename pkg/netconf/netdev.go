package netconf

import (
	"net"
	"net/netip"
	"slices"
	"sort"
)

// NetDevConfig is the meaning of a .netdev file: a virtual device to create (systemd.netdev(5)).
type NetDevConfig struct {
	Name  string // of the file, without its ending
	Match Match

	Device string
	Kind   string // vlan, bond, bridge, dummy, macvlan, macvtap, ipvlan, vxlan, vrf or veth
	MAC    net.HardwareAddr
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

// Option is a setting of a bond or bridge: the name of its file below bonding/ or bridge/ in sysfs (bonding.rst in
// the kernel's documentation, net/bridge/br_sysfs_br.c), and the value to write to that file.
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
	MAC  net.HardwareAddr
}

// netDevKinds are the kinds of devices that can be created here, with the section that belongs to each.
var netDevKinds = map[string]string{
	"vlan": "VLAN", "bond": "Bond", "bridge": "Bridge", "dummy": "", "macvlan": "MACVLAN", "macvtap": "MACVTAP",
	"ipvlan": "IPVLAN", "vxlan": "VXLAN", "vrf": "VRF", "veth": "Peer",
}

// parseNetDev returns nil for a file that describes no device that can be created, and warns with the reason.
func parseNetDev(f File, warn func(Warning)) *NetDevConfig {
	n := &NetDevConfig{Name: f.Name, VLAN: VLAN{ID: -1}, VXLAN: VXLAN{VNI: -1, Learning: true}}
	if !apply(f, n, netDevTable(), warn) {
		return nil
	}
	sort.SliceStable(n.Bond, func(i, j int) bool {
		return slices.Index(bondOrder, n.Bond[i].Name) < slices.Index(bondOrder, n.Bond[j].Name)
	})
	// The kernel sets the default VLAN only while filtering is off: __br_vlan_set_default_pvid in net/bridge/br_vlan.c.
	const filtering = "vlan_filtering"
	sort.SliceStable(n.Bridge, func(i, j int) bool {
		return n.Bridge[i].Name != filtering && n.Bridge[j].Name == filtering
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

// bondOrder is the order in which the kernel accepts a bond's settings: the mode decides which others exist, and
// miimon comes before the delays, which are multiples of it.
var bondOrder = []string{
	"mode", "miimon", "arp_interval", "arp_ip_target", "arp_validate", "arp_all_targets", "arp_missed_max", "updelay",
	"downdelay", "peer_notif_delay", "xmit_hash_policy", "lacp_rate", "ad_select", "ad_actor_sys_prio",
	"ad_user_port_key", "ad_actor_system", "fail_over_mac", "primary_reselect", "resend_igmp", "packets_per_slave",
	"num_grat_arp", "all_slaves_active", "tlb_dynamic_lb", "min_links", "lp_interval",
}
