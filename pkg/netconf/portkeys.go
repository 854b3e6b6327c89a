package netconf

import (
	"net"
	"net/netip"
)

func lastNeighbor(c *NetworkConfig) *Neighbor { return last(c.Neighbors) }

func neighborKeys() []key[NetworkConfig] {
	type n = NetworkConfig
	return []key[n]{
		{"Address", "IP address of the neighbour",
			parsed(func(c *n) *netip.Addr { return &lastNeighbor(c).Address }, parseAddr)},
		{"LinkLayerAddress", "its hardware address",
			macAddress(func(c *n) *net.HardwareAddr { return &lastNeighbor(c).MAC })},
		{"MACAddress", "old name of LinkLayerAddress",
			macAddress(func(c *n) *net.HardwareAddr { return &lastNeighbor(c).MAC })},
	}
}

func checkNeighbor(c *NetworkConfig) string {
	if e := lastNeighbor(c); !e.Address.IsValid() || e.MAC == nil {
		return "needs both Address= and LinkLayerAddress="
	}
	return ""
}

// portKeys are the keys of [Bridge], which configures the link as a port of its bridge. The names of the flags are
// those of the files below brport/ in sysfs.
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
		{"UseBPDU", "accept BPDUs", flag("bpdu_guard", true)},
		{"AllowPortToBeRoot", "the port may become the root port", flag("root_block", true)},
		{"HairPin", "send frames back out of the port on which they came in", flag("hairpin_mode", false)},
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
