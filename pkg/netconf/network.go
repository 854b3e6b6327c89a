package netconf

import (
	"net"
	"net/netip"
	"time"
)

// NetworkConfig is the meaning of a .network file: the configuration of the links that its [Match] section matches.
// Parse fills in the defaults of systemd.network(5); a nil pointer is a setting that the file leaves to the kernel.
type NetworkConfig struct {
	Name  string // of the file, without its ending
	Match Match

	Link LinkSettings

	// What runs on the link.
	DHCP4, DHCP6            bool
	AcceptRA                bool
	LinkLocal6              bool
	LinkLocal4              LinkLocal4
	AddrGenMode             string // "", eui64, none, stable-privacy or random
	StableSecret            netip.Addr
	ConfigureWithoutCarrier bool
	DefaultRouteOnDevice    bool

	// Devices stacked on this link, by the names of their .netdev files. Bond, Bridge and VRF are those that the link
	// becomes a member of.
	Bond, Bridge, VRF                     string
	VLAN, MACVLAN, MACVTAP, IPVLAN, VXLAN []string
	PrimarySlave, ActiveSlave             bool

	// DNS servers without port and TLS name, search domains (without the routing-only ones), time servers.
	DNS     []netip.Addr
	Domains []string
	NTP     []string

	Sysctl []Sysctl

	Addresses []Address
	Routes    []Route
	Rules     []Rule
	Neighbors []Neighbor

	DHCPv4 DHCPv4
	DHCPv6 DHCPv6
	RA     RA
	Port   BridgePort

	// As written in the file. finish works out the fields above from them.
	acceptRA, linkLocal6 *bool
	linkLocal4, forward6 bool
	useDomains           *bool
	old                  oldDHCP
}

// oldDHCP has the settings of the old section [DHCP] that apply to more than DHCPv4.
type oldDHCP struct {
	useDNS, useNTP, useDomains, sendHostname *bool
	routeMetric                              *uint32
}

// LinkLocal4 says when a link gets an address of 169.254.0.0/16 (RFC 3927).
type LinkLocal4 int

const (
	LinkLocal4Off      LinkLocal4 = iota
	LinkLocal4On                  // in addition to other addresses
	LinkLocal4Fallback            // if DHCPv4 gives no address
)

// Sysctl is a setting below /proc/sys/net/FAMILY/conf/LINK/ (FAMILY is ipv4 or ipv6).
type Sysctl struct {
	Family, Key, Value string
}

// LinkSettings is the [Link] section of a .network file.
type LinkSettings struct {
	MAC                                   net.HardwareAddr
	MTU                                   int // 0: unchanged
	Group                                 *uint32
	ARP, Multicast, AllMulticast, Promisc *bool
	Unmanaged                             bool
	Activation                            string // up, always-up, manual, down, always-down or bound
	Required                              bool   // RequiredForOnline
}

// Up reports whether the configuration brings the link up.
func (l LinkSettings) Up() bool {
	return l.Activation == "" || l.Activation == "up" || l.Activation == "always-up"
}

// Address is an Address= line of [Network] or an [Address] section.
type Address struct {
	Prefix          netip.Prefix // the address with its prefix length
	Peer            netip.Prefix
	Broadcast       netip.Addr // the unspecified address: none
	Label           string
	Scope           *uint8
	Metric          uint32 // of the route to the prefix; 0: the kernel's choice
	PreferredZero   bool   // PreferredLifetime=0: deprecated from the start
	NoPrefixRoute   bool
	HomeAddress     bool
	ManageTemporary bool
	AutoJoin        bool
	NoDAD6          bool

	inNetwork bool // from Address= in [Network]; an empty Address= there removes it
}

// Route is a Gateway= line of [Network] or a [Route] section.
type Route struct {
	Destination                               netip.Prefix // invalid: the default route of the gateway's family
	Source                                    netip.Prefix
	Gateway                                   netip.Addr
	GatewayFrom                               string // "dhcp4" or "ipv6ra": the gateway comes from there
	OnLink                                    bool
	PreferredSource                           netip.Addr
	Metric                                    *uint32
	Scope                                     *uint8
	Table                                     uint32 // 0: the default
	Type                                      uint8  // RTN_*; 0 is unicast
	Protocol                                  uint8  // RTPROT_*; 0 is static
	Preference                                string // IPv6Preference: low, medium, high
	MTU, AdvMSS, HopLimit, InitCwnd, InitRwnd int
	QuickAck, FastOpenNoCookie                *bool
	CongestionControl                         string

	inNetwork bool // from Gateway= in [Network]
}

// Rule is a [RoutingPolicyRule] section.
type Rule struct {
	From, To                    netip.Prefix
	Invert                      bool
	TOS                         uint8
	Mark, Mask                  uint32
	Table                       uint32
	Priority                    *uint32
	GoTo                        uint32
	Type                        uint8 // FR_ACT_*
	In, Out                     string
	Protocol                    int
	SourcePort, DestinationPort [2]uint16
	Users                       *[2]uint32
	Family                      string // "", ipv4, ipv6, both
	SuppressPrefix              *int
	SuppressGroup               *int
	L3MasterDevice              bool
}

// Neighbor is a [Neighbor] section.
type Neighbor struct {
	Address netip.Addr
	MAC     net.HardwareAddr
}

// VendorClass tells DHCP servers which boot loader asks, unless a file names another class or an empty one.
const VendorClass = "Wyrcan"

// DHCPv4 is the [DHCPv4] section.
type DHCPv4 struct {
	ClientIdentifier string // mac, duid or duid-only
	IAID             *uint32
	DUID             DUID

	SendHostname        bool
	Hostname            string
	VendorClass         string
	UserClass           []string
	RequestOptions      []uint8
	SendOptions         []DHCPOption
	RequestAddress      netip.Addr
	Broadcast           bool
	Anonymize           bool
	MaxAttempts         int // 0: no limit
	ListenPort          int
	ServerPort          int
	AllowList, DenyList []netip.Prefix

	UseDNS, UseNTP, UseDomains, UseMTU, UseHostname, UseRoutes, UseGateway bool
	RoutesToDNS, RoutesToNTP                                               bool
	Label                                                                  string
	RouteMetric                                                            uint32
	RouteTable                                                             uint32
	RouteMTU                                                               int
	QuickAck                                                               bool
	InitCwnd, InitRwnd                                                     int

	useDNS, useNTP, useDomains, sendHostname, useGateway *bool
	routeMetric                                          *uint32
}

// DHCPOption is an option to send: its code and its bytes in the packet.
type DHCPOption struct {
	Code uint16
	Data []byte
}

// DUID identifies a DHCP client (RFC 8415 section 11).
type DUID struct {
	Number uint16 // the DUID type
	Raw    []byte // the bytes after the type; nil: a link-layer DUID is made from the hardware address
}

// DHCPv6 is the [DHCPv6] section.
type DHCPv6 struct {
	DUID                                                DUID
	IAID                                                *uint32
	UseAddress, UseDNS, UseNTP, UseDomains, UseHostname bool
	RapidCommit                                         bool
	SendHostname                                        bool
	Hostname                                            string
	RequestOptions                                      []uint16
	SendOptions                                         []DHCPOption
	UserClass                                           []string
	VendorClass                                         []string
	WithoutRA                                           string // no, solicit or information-request

	useDNS, useNTP, useDomains, sendHostname *bool
	hasVendorClass                           bool // the file has VendorClass=, perhaps empty
}

// RA is the [IPv6AcceptRA] section.
type RA struct {
	UseDNS, UseDomains, UseMTU, UseHopLimit              bool
	UseGateway, UseRoutePrefix, UseAutonomous, UseOnLink bool

	DHCPv6Client string    // yes, no or always
	Metrics      [3]uint32 // by the router's preference: high, medium, low
	RouteTable   uint32
	QuickAck     bool
	Tokens       []Token

	RouterAllow, RouterDeny, PrefixAllow, PrefixDeny, RouteAllow, RouteDeny []netip.Prefix

	useDomains *bool
	metrics    *[3]uint32
}

// Token says how to make the lower half of an address from an announced prefix.
type Token struct {
	Mode   string     // eui64, static or prefixstable
	Addr   netip.Addr // static: the lower 64 bits count; prefixstable: if valid, the only prefix that the token is for
	Secret []byte     // prefixstable; nil: made from the hardware address
}

// BridgePort is the [Bridge] section of a .network file: the link as a port of a bridge.
type BridgePort struct {
	Cost     uint32 // 0: the kernel's default
	Priority *uint8
	Flags    []PortFlag
}

// PortFlag is a flag of a bridge port, by its name below /sys/class/net/LINK/brport/.
type PortFlag struct {
	Name string
	On   bool
}

// Autoconf is the name of the configuration that applies if there is no .network file.
const Autoconf = "autoconf"

// Default returns the configuration for a machine without a .network file: DHCP and router advertisements on every
// Ethernet or InfiniBand link. Unlike a file with DHCP=yes, it also takes the MTU from the lease, because nothing else
// sets it.
func Default() []File {
	return []File{{Name: Autoconf, Kind: Network, Sections: []Section{
		{Name: "Match", Entries: []Entry{{"Type", "ether infiniband"}}},
		{Name: "Network", Entries: []Entry{{"DHCP", "yes"}, {"IPv6AcceptRA", "yes"}}},
		{Name: "DHCPv4", Entries: []Entry{{"UseMTU", "yes"}}},
	}}}
}

// OrDefault adds Default if none of the files is a .network file: .link and .netdev files alone configure no
// addresses.
func OrDefault(files []File) []File {
	for _, f := range files {
		if f.Kind == Network {
			return files
		}
	}
	return append(Default(), files...)
}

// networkDefaults returns what systemd.network(5) says an empty file means, with the deviations that
// docs/networking.md names.
func networkDefaults(name string) *NetworkConfig {
	return &NetworkConfig{
		Name: name,
		Link: LinkSettings{Required: true},
		DHCPv4: DHCPv4{
			// systemd's default is a DUID made from the machine id, but the boot environment keeps no machine id
			// between boots. With the hardware address the server recognises the client that the firmware was.
			ClientIdentifier: "mac",
			VendorClass:      VendorClass,
			UseHostname:      true, UseRoutes: true,
			RoutesToDNS: true, RoutesToNTP: true,
		},
		DHCPv6: DHCPv6{UseAddress: true, UseHostname: true, RapidCommit: true, WithoutRA: "no"},
		RA: RA{
			UseDNS: true, UseMTU: true, UseHopLimit: true, UseGateway: true, UseRoutePrefix: true, UseAutonomous: true,
			UseOnLink:    true,
			DHCPv6Client: "yes",
		},
	}
}

// Forever is a lifetime or time span without end.
const Forever = time.Duration(1<<63 - 1)
