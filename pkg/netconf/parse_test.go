package netconf

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func parse(t *testing.T, name string, kind Kind, text string) (Config, []string) {
	t.Helper()
	f, w, err := Read(strings.NewReader(text), name, kind)
	if err != nil {
		t.Fatal(err)
	}
	c, more := Parse([]File{f})
	var lines []string
	for _, w := range append(w, more...) {
		lines = append(lines, w.String())
	}
	return c, lines
}

// network parses the sections after a [Match] that matches every device.
func network(t *testing.T, text string) (*NetworkConfig, []string) {
	t.Helper()
	c, w := parse(t, "lan", Network, "[Match]\nName=*\n"+text)
	return c.Networks[0], w
}

func strs(s ...string) []string { return s }

func TestNetwork(t *testing.T) {
	addresses := func(n *NetworkConfig) any {
		var out []string
		for _, a := range n.Addresses {
			out = append(out, a.Prefix.String())
		}
		return out
	}
	gateways := func(n *NetworkConfig) any {
		var out []string
		for _, r := range n.Routes {
			s := r.GatewayFrom
			if r.Gateway.IsValid() {
				s = r.Gateway.String()
			}
			out = append(out, s)
		}
		return out
	}
	for _, tt := range []struct {
		name, text string
		get        func(*NetworkConfig) any
		want       any
	}{
		{"DHCP", "[Network]\nDHCP=yes", func(n *NetworkConfig) any { return []bool{n.DHCP4, n.DHCP6} },
			[]bool{true, true}},
		{"DHCP ipv4", "[Network]\nDHCP=ipv4", func(n *NetworkConfig) any { return []bool{n.DHCP4, n.DHCP6} },
			[]bool{true, false}},
		{"the last value counts", "[Network]\nDHCP=yes\nDHCP=no", func(n *NetworkConfig) any { return n.DHCP4 }, false},
		{"an invalid value does not count", "[Network]\nDHCP=yes\nDHCP=maybe",
			func(n *NetworkConfig) any { return n.DHCP4 },
			true},
		{"sections of one name add up", "[Network]\nDHCP=yes\n[Link]\nMTUBytes=9K\n[Network]\nDNS=1.1.1.1",
			func(n *NetworkConfig) any { return []any{n.DHCP4, len(n.DNS), n.Link.MTU} }, []any{true, 1, 9216}},
		{"addresses add up", "[Network]\nAddress=10.0.0.1/8\nAddress=2001:db8::1/64\n[Address]\nAddress=10.0.0.2/8",
			addresses, strs("10.0.0.1/8", "2001:db8::1/64", "10.0.0.2/8")},
		{"an empty address resets", "[Network]\nAddress=10.0.0.1/8\nAddress=\nAddress=10.0.0.3/8", addresses,
			strs("10.0.0.3/8")},
		{"an empty address leaves sections", "[Address]\nAddress=10.0.0.2/8\n[Network]\nAddress=10.0.0.1/8\nAddress=",
			addresses, strs("10.0.0.2/8")},
		{"no prefix length", "[Network]\nAddress=10.0.0.1\nAddress=2001:db8::1", addresses,
			strs("10.0.0.1/32", "2001:db8::1/128")},
		{"a bad address drops its section", "[Address]\nAddress=10.0.0.300/8\nLabel=x\n[Address]\nAddress=10.0.0.2/8",
			addresses, strs("10.0.0.2/8")},
		{"gateways", "[Network]\nGateway=10.0.0.1\nGateway=_ipv6ra\nGateway=_dhcp4\nGateway=fe80::1", gateways,
			[]string{"10.0.0.1", "ipv6ra", "dhcp4", "fe80::1"}},
		{"gateways reset", "[Network]\nGateway=10.0.0.1\nGateway=\nGateway=10.0.0.2", gateways, []string{"10.0.0.2"}},
		{"name servers", "[Network]\nDNS=1.1.1.1 [2001:db8::1]:53#dns.example\nDNS=fe80::1%eth0",
			func(n *NetworkConfig) any { return texts(n.DNS) }, []string{"1.1.1.1", "2001:db8::1", "fe80::1%eth0"}},
		{"name servers with ports, links and names",
			"[Network]\nDNS=192.0.2.1:5353 192.0.2.2:853#dns.example 192.0.2.3#dns.example 192.0.2.4%eth0 " +
				"192.0.2.5:53%eth0#dns.example\nDNS=[2001:db8::1]:5353 2001:db8::2#dns.example 2001:db8::3%eth0 " +
				"[2001:db8::4]:853%eth0#dns.example [2001:db8::5] [fe80::6]:53%eth0#dns.example fe80::7%2",
			func(n *NetworkConfig) any { return texts(n.DNS) },
			[]string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "2001:db8::1", "2001:db8::2",
				"2001:db8::3", "2001:db8::4", "2001:db8::5", "fe80::6%eth0", "fe80::7%2"}},
		{"name servers reset", "[Network]\nDNS=1.1.1.1\nDNS=\nDNS=2.2.2.2",
			func(n *NetworkConfig) any { return texts(n.DNS) }, []string{"2.2.2.2"}},
		{"domains", "[Network]\nDomains=a.example ~b.example c.example.",
			func(n *NetworkConfig) any { return n.Domains }, []string{"a.example", "c.example"}},
		{"booleans", "[DHCPv4]\nUseDNS=off\nUseNTP=F\nUseMTU=On\nUseRoutes=0\nSendHostname=n\nRequestBroadcast=1",
			func(n *NetworkConfig) any {
				d := n.DHCPv4
				return []bool{d.UseDNS, d.UseNTP, d.UseMTU, d.UseRoutes, d.SendHostname, d.Broadcast, d.UseGateway}
			}, []bool{false, false, true, false, false, true, false}},
		{"gateway apart from routes", "[DHCPv4]\nUseRoutes=no\nUseGateway=yes",
			func(n *NetworkConfig) any { return n.DHCPv4.UseGateway }, true},
		{"the client identifier is the hardware address", "[Network]\nDHCP=yes",
			func(n *NetworkConfig) any { return n.DHCPv4.ClientIdentifier }, "mac"},
		{"link-local default", "", func(n *NetworkConfig) any { return []any{n.LinkLocal6, n.LinkLocal4, n.AcceptRA} },
			[]any{true, LinkLocal4Off, true}},
		{"members of a bond have no link-local address", "[Network]\nBond=b",
			func(n *NetworkConfig) any { return []any{n.LinkLocal6, n.AcceptRA} }, []any{false, false}},
		{"members with link-local addressing", "[Network]\nBridge=b\nLinkLocalAddressing=ipv6\nIPv6AcceptRA=yes",
			func(n *NetworkConfig) any { return []any{n.LinkLocal6, n.AcceptRA} }, []any{true, true}},
		{"no link-local, no routers", "[Network]\nLinkLocalAddressing=no",
			func(n *NetworkConfig) any { return []any{n.LinkLocal6, n.AcceptRA} }, []any{false, false}},
		{"link-local IPv4", "[Network]\nLinkLocalAddressing=ipv4",
			func(n *NetworkConfig) any { return []any{n.LinkLocal6, n.LinkLocal4} }, []any{false, LinkLocal4On}},
		{"link-local IPv4 as a fallback", "[Network]\nLinkLocalAddressing=yes\nDHCP=ipv4",
			func(n *NetworkConfig) any { return []any{n.LinkLocal6, n.LinkLocal4} }, []any{true, LinkLocal4Fallback}},
		{"a router takes no advertisements", "[Network]\nIPv6Forwarding=yes",
			func(n *NetworkConfig) any { return n.AcceptRA }, false},
		{"required", "[Link]\nRequiredForOnline=no", func(n *NetworkConfig) any { return n.Link.Required }, false},
		{"required to some degree", "[Link]\nRequiredForOnline=degraded:routable",
			func(n *NetworkConfig) any { return n.Link.Required }, true},
		{"stacked", "[Network]\nVLAN=a b\nVLAN=c", func(n *NetworkConfig) any { return n.VLAN },
			[]string{"a", "b", "c"}},
		{"route",
			"[Route]\nDestination=10.1.2.3/8\nGateway=10.0.0.1\nGatewayOnLink=yes\nMetric=7\nTable=main\nScope=link\n" +
				"MTUBytes=1400", func(n *NetworkConfig) any {
				r := n.Routes[0]
				return []any{r.Destination.String(), r.Gateway.String(), r.OnLink, *r.Metric, r.Table, *r.Scope, r.MTU}
			}, []any{"10.0.0.0/8", "10.0.0.1", true, uint32(7), uint32(254), uint8(253), 1400}},
		{"a bad value drops its section", "[Route]\nGateway=10.0.0.1\nMetric=many\n[Route]\nGateway=10.0.0.2\nBogus=1",
			gateways, []string{"10.0.0.2"}},
		{"empty route", "[Route]\nMetric=1\n[Route]\nGateway=10.0.0.1", gateways, []string{"10.0.0.1"}},
		{"mixed families", "[Route]\nDestination=10.0.0.0/8\nSource=2001:db8::/64\n", gateways, []string(nil)},
		{"IPv6 through an IPv4 gateway", "[Route]\nDestination=2001:db8::/64\nGateway=10.0.0.1\n", gateways,
			[]string(nil)},
		{"IPv4 through an IPv6 gateway", "[Route]\nDestination=10.0.0.0/8\nGateway=fe80::1\n", gateways,
			[]string{"fe80::1"}},
		{"metrics of routers", "[IPv6AcceptRA]\nRouteMetric=1:2:3", func(n *NetworkConfig) any { return n.RA.Metrics },
			[3]uint32{1, 2, 3}},
		{"one metric of routers", "[IPv6AcceptRA]\nRouteMetric=5", func(n *NetworkConfig) any { return n.RA.Metrics },
			[3]uint32{5, 5, 5}},
		{"tokens", "[IPv6AcceptRA]\nToken=::1234\nToken=static:::5\nToken=eui64", func(n *NetworkConfig) any {
			var out []string
			for _, k := range n.RA.Tokens {
				out = append(out, k.Mode+" "+k.Addr.String())
			}
			return out
		}, []string{"static ::1234", "static ::5", "eui64 invalid IP"}},
		{"options to send", `[DHCPv4]` + "\n" + `SendOption=200:string:"a b"` +
			"\nSendOption=201:uint16:513\nSendOption=202:ipv4address:1.2.3.4",
			func(n *NetworkConfig) any { return n.DHCPv4.SendOptions },
			[]DHCPOption{{200, []byte("a b")}, {201, []byte{2, 1}}, {202, []byte{1, 2, 3, 4}}}},
		{"an option in quotes", `[DHCPv4]` + "\n" + `SendOption="200:string:a b"`,
			func(n *NetworkConfig) any { return n.DHCPv4.SendOptions }, []DHCPOption{{200, []byte("a b")}}},
		{"DUID", "[DHCPv4]\nDUIDType=vendor\nDUIDRawData=0:0:ab:11:f",
			func(n *NetworkConfig) any { return n.DHCPv4.DUID }, DUID{2, []byte{0, 0, 0xab, 0x11, 0xf}}},
		{"the old section", "[DHCP]\nUseMTU=yes", func(n *NetworkConfig) any { return n.DHCPv4.UseMTU }, true},
		{"rule", "[RoutingPolicyRule]\nFrom=10.0.0.1\nTable=100\nPriority=50\nFirewallMark=1/0xff",
			func(n *NetworkConfig) any {
				r := n.Rules[0]
				return []any{r.From.String(), r.Table, *r.Priority, r.Mark, r.Mask}
			}, []any{"10.0.0.1/32", uint32(100), uint32(50), uint32(1), uint32(255)}},
		{"neighbour", "[Neighbor]\nAddress=10.0.0.9\nLinkLayerAddress=2:0:0:0:0:9\n[Neighbor]\nAddress=10.0.0.8",
			func(n *NetworkConfig) any { return n.Neighbors[0].MAC.String() + string(rune('0'+len(n.Neighbors))) },
			"02:00:00:00:00:091"},
		{"port", "[Bridge]\nUseBPDU=no\nHairPin=yes\nCost=9", func(n *NetworkConfig) any { return n.Port },
			BridgePort{Cost: 9, Flags: []PortFlag{{"bpdu_guard", true}, {"hairpin_mode", true}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, w := network(t, tt.text)
			if diff := cmp.Diff(tt.want, tt.get(n)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s%s", tt.text, diff, strings.Join(w, "\n"))
			}
		})
	}
}

func texts[T interface{ String() string }](list []T) (out []string) {
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

// TestWarnings checks what a person at the console reads: file, section, key, value and reason.
func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing wrong", "[Network]\nDHCP=yes\nLLMNR=no\n[X-Ours]\nA=b\n", nil},
		{"unknown key", "[Network]\nBogus=1\n", []string{"lan.network: [Network] Bogus=1: unknown key, ignored"}},
		{"unknown section", "[Bogus]\nA=1\n", []string{"lan.network: [Bogus]: unknown section, ignored"}},
		{"unsupported key", "[Network]\nTunnel=t\n",
			[]string{"lan.network: [Network] Tunnel=t: key is known to systemd but not supported here, ignored"}},
		{"unsupported section", "[DHCPServer]\nPoolSize=9\n",
			[]string{"lan.network: [DHCPServer]: section is known to systemd but not supported here, ignored"}},
		{"address out of range", "[Network]\nAddress=10.0.0.300/24\nAddress=10.0.0.1/33\nAddress=224.0.0.1/4\n",
			[]string{
				"lan.network: [Network] Address=10.0.0.300/24: not an IP address with a prefix length, ignored",
				"lan.network: [Network] Address=10.0.0.1/33: not an IP address with a prefix length, ignored",
				"lan.network: [Network] Address=224.0.0.1/4: not an address of a host, ignored",
			}},
		{"boolean", "[DHCPv4]\nUseDNS=perhaps\n",
			[]string{"lan.network: [DHCPv4] UseDNS=perhaps: not a boolean (yes or no), ignored"}},
		{"number", "[DHCPv4]\nRouteMetric=-1\n",
			[]string{"lan.network: [DHCPv4] RouteMetric=-1: not a number from 0 to 4294967295, ignored"}},
		{"MTU", "[Link]\nMTUBytes=12\n", []string{"lan.network: [Link] MTUBytes=12: an MTU is at least 68, ignored"}},
		{"one bad word of several", "[Network]\nDNS=1.1.1.1 x 2.2.2.2\n",
			[]string{`lan.network: [Network] DNS=1.1.1.1 x 2.2.2.2: "x" is not the address of a name server, ignored`}},
		{"bad value in a section that may repeat", "[Route]\nGateway=10.0.0.1\nMetric=many\n",
			[]string{"lan.network: [Route] Metric=many: not a number from 0 to 4294967295, the section is ignored"}},
		{"route without anything", "[Route]\nMetric=1\n",
			[]string{"lan.network: [Route]: none of Gateway=, Destination=, Source=, PreferredSource=, the section " +
				"is ignored"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, got := network(t, tt.text)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("warnings of %s(-want +got):\n%s", tt.text, diff)
			}
		})
	}
	c, w := parse(t, "lan", Network, "[Network]\nDHCP=yes\n")
	if len(c.Networks) != 0 || len(w) != 1 {
		t.Errorf("a file without [Match] gave %v, %q", c.Networks, w)
	}
}

func TestNetDev(t *testing.T) {
	yes := true
	for _, tt := range []struct {
		name, text string
		want       *NetDevConfig
	}{
		{"vlan", "[NetDev]\nName=v\nKind=vlan\nMTUBytes=1496\n[VLAN]\nId=7\nGVRP=yes\nEgressQOSMaps=0-1 5-7\n",
			&NetDevConfig{
				Device: "v", Kind: "vlan", MTU: 1496,
				VLAN: VLAN{ID: 7, GVRP: &yes, Egress: map[uint32]uint32{0: 1, 5: 7}}}},
		{"vlan without id", "[NetDev]\nName=v\nKind=vlan\n", nil},
		{"vlan out of range", "[NetDev]\nName=v\nKind=vlan\n[VLAN]\nId=4095\n", nil},
		{"bond, in the kernel's order",
			"[NetDev]\nName=b\nKind=bond\nMACAddress=none\n[Bond]\nUpDelaySec=0.2\nMIIMonitorSec=100ms\n" +
				"Mode=802.3ad\nMode=active-backup\nARPIPTargets=10.0.0.1 10.0.0.2\n", &NetDevConfig{
				Device: "b", Kind: "bond", VLAN: VLAN{ID: -1},
				Bond: []Option{{"mode", "active-backup"}, {"miimon", "100"}, {"arp_ip_target", "+10.0.0.1"},
					{"arp_ip_target", "+10.0.0.2"}, {"updelay", "200"}}}},
		{"bridge",
			"[NetDev]\nName=br\nKind=bridge\nMACAddress=02-00-00-00-00-05\n[Bridge]\nSTP=yes\nForwardDelaySec=4\n" +
				"DefaultPVID=none\n", &NetDevConfig{
				Device: "br", Kind: "bridge", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 5}, VLAN: VLAN{ID: -1},
				Bridge: []Option{{"stp_state", "1"}, {"forward_delay", "400"}, {"default_pvid", "0"}}}},
		{"dummy", "[NetDev]\nName=d\nKind=dummy\n", &NetDevConfig{Device: "d", Kind: "dummy", VLAN: VLAN{ID: -1}}},
		{"macvlan", "[NetDev]\nName=m\nKind=macvlan\n[MACVLAN]\nMode=bridge\n",
			&NetDevConfig{Device: "m", Kind: "macvlan", Mode: "bridge", VLAN: VLAN{ID: -1}}},
		{"vrf", "[NetDev]\nName=r\nKind=vrf\n[VRF]\nTable=42\n",
			&NetDevConfig{Device: "r", Kind: "vrf", Table: 42, VLAN: VLAN{ID: -1}}},
		{"name too long", "[NetDev]\nName=abcdefghijklmnop\nKind=dummy\n", nil},
		{"no such kind", "[NetDev]\nName=w\nKind=wireguard\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, w := parse(t, "dev", NetDev, tt.text)
			var got *NetDevConfig
			if len(c.NetDevs) > 0 {
				got = c.NetDevs[0]
			}
			if tt.want != nil {
				tt.want.Name = "dev"
				tt.want.VXLAN = VXLAN{VNI: -1, Learning: true}
			} else if len(w) == 0 {
				t.Error("refused without a warning")
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
				cmp.AllowUnexported(Match{})); diff != "" {
				t.Errorf("%s(-want +got):\n%s%s", tt.text, diff, strings.Join(w, "\n"))
			}
		})
	}
}

func TestLink(t *testing.T) {
	c,
		w := parse(t, "10-lan", Link,
		"[Match]\nOriginalName=eth* !x\nMACAddress=02:00:00:00:00:01 0200.0000.0002\n[Link]\n"+
			"NamePolicy=keep path\nName=lan0\nAlternativeName=a b\nMTUBytes=9000\nMACAddressPolicy=persistent\n")
	if len(c.Links) != 1 || len(w) != 1 {
		t.Fatalf("got %v, %q", c.Links, w)
	}
	l := c.Links[0]
	got := []any{l.Match.OriginalName.List, texts(l.Match.MAC), l.Policies, l.NewName, l.AltNames, l.MTU, l.MACPolicy}
	want := []any{[]string{"eth*", "!x"}, []string{"02:00:00:00:00:01", "02:00:00:00:00:02"}, []string{"keep", "path"},
		"lan0", []string{"a", "b"}, 9000, "none"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestEthtool checks the hardware settings of .link files. If want is a string, it is part of the only warning.
func TestEthtool(t *testing.T) {
	yes, no, wake, off := true, false, uint32(1<<1|1<<5), uint32(0)
	for _, tt := range []struct {
		text string
		want any
	}{
		{"AutoNegotiation=no\nBitsPerSecond=2500M\nDuplex=full", Ethtool{AutoNeg: &no, Speed: 2500, Duplex: "full"}},
		{"BitsPerSecond=10G", Ethtool{Speed: 10000}},
		{"BitsPerSecond=1500K", Ethtool{Speed: 2}},
		{"BitsPerSecond=1G\nBitsPerSecond=fast", "not a number of bits"},
		{"BitsPerSecond=9999999999T", "not a number of bits"},
		{"BitsPerSecond=0", "not a number of bits"},
		{"Duplex=both", "not one of half, full"},
		{"WakeOnLan=magic\nWakeOnLan=unicast", Ethtool{WakeOn: &wake}},
		{"WakeOnLan=off", Ethtool{WakeOn: &off}},
		{"WakeOnLan=magic\nWakeOnLan=", Ethtool{}},
		{"WakeOnLan=magic whistle", "not a list of off, phy"},
		{"GenericReceiveOffload=no\nTCPSegmentationOffload=yes\nGenericReceiveOffload=yes",
			Ethtool{Offload: []Offload{{"tx-tcp-segmentation", true}, {"rx-gro", true}}}},
		{"GenericReceiveOffload=no\nGenericReceiveOffload=", Ethtool{Offload: []Offload{}}},
		{"LargeReceiveOffload=perhaps", "not a boolean"},
		{"RxBufferSize=512\nTxBufferSize=max\nRxJumboBufferSize=9\nRxJumboBufferSize=",
			Ethtool{RxRing: 512, TxRing: RingMax}},
		{"RxMiniBufferSize=0", "neither a number of entries nor max"},
		{"RxFlowControl=yes\nTxFlowControl=no\nAutoNegotiationFlowControl=no",
			Ethtool{RxPause: &yes, TxPause: &no, AutoPause: &no}},
	} {
		c, warnings := parse(t, "a", Link, "[Match]\nOriginalName=*\n[Link]\n"+tt.text)
		if word, ok := tt.want.(string); ok {
			if len(warnings) != 1 || !strings.Contains(warnings[0], word) {
				t.Errorf("%q: warnings %q, want one with %q", tt.text, warnings, word)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, c.Links[0].Ethtool); diff != "" || len(warnings) > 0 {
			t.Errorf("%q: %q (-want +got):\n%s", tt.text, warnings, diff)
		}
	}
}

// TestOrder checks that files are sorted by the bytes of their names, in any input order.
func TestOrder(t *testing.T) {
	var files []File
	for _, name := range []string{"lan", "b", "99-x", "B", "10-a"} {
		files = append(files, File{Name: name, Kind: Network, Sections: []Section{{"Match", []Entry{{"Name", "*"}}}}})
	}
	c, _ := Parse(files)
	var got []string
	for _, n := range c.Networks {
		got = append(got, n.Name)
	}
	if diff := cmp.Diff([]string{"10-a", "99-x", "B", "b", "lan"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestDuration(t *testing.T) {
	for _, tt := range []struct {
		text string
		want time.Duration
	}{
		{"5", 5 * time.Second}, {"0.1", 100 * time.Millisecond}, {"100ms", 100 * time.Millisecond}, {"1s", time.Second},
		{"1min 30s", 90 * time.Second}, {"2 h", 2 * time.Hour}, {"1min30", 90 * time.Second}, {"infinity", Forever},
		{"99999999999h", Forever},
	} {
		if got, err := parseDuration(tt.text); err != nil || got != tt.want {
			t.Errorf("parseDuration(%q) = %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
	for _, s := range []string{"", "x", "-1", "1 fortnight", "1..2", "."} {
		if got, err := parseDuration(s); err == nil {
			t.Errorf("parseDuration(%q) = %v, want an error", s, got)
		}
	}
}

// TestNoServer checks what is refused as a name server, as systemd's in_addr_full_new_from_string does.
func TestNoServer(t *testing.T) {
	for _, text := range []string{
		"192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:dns", "192.0.2.1#", "192.0.2.1%",
		"dns.example", "[192.0.2.1", "[2001:db8::1]x",
		"2001:db8::1:53:x", "#dns.example", "%eth0", ":53", "[]:53",
	} {
		if a, err := parseServer(text); err == nil {
			t.Errorf("%q is accepted as the name server %v", text, a)
		}
	}
}
