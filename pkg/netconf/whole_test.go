package netconf

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWhole checks that a section or file is ignored as a whole if it would mean something else without one of its
// lines, and that the warning names that line.
func TestWhole(t *testing.T) {
	for _, tt := range []struct {
		name, text               string
		routes, rules, addresses int
		want                     []string
	}{
		{"route over several gateways", "[Route]\nDestination=10.1.0.0/16\nMultiPathRoute=10.0.0.1 3\nMetric=9\n", 0, 0,
			0,
			[]string{"lan.network: [Route] MultiPathRoute=10.0.0.1 3: not supported here, the section is ignored"}},
		{"route over a next hop", "[Route]\nNextHop=7\nDestination=10.1.0.0/16\n[Route]\nDestination=10.2.0.0/16\n", 1,
			0, 0,
			[]string{"lan.network: [Route] NextHop=7: not supported here, the section is ignored"}},
		{"route whose next hop is removed again", "[Route]\nNextHop=\nMultiPathRoute=\nDestination=10.1.0.0/16\n", 1, 0,
			0,
			nil},
		{"next hop", "[NextHop]\nId=7\nGateway=10.0.0.1\n", 0, 0, 0,
			[]string{"lan.network: [NextHop]: section is known to systemd but not supported here, ignored"}},
		{"blackhole with a gateway", "[Route]\nDestination=10.1.0.0/16\nType=blackhole\nGateway=10.0.0.1\n", 0, 0, 0,
			[]string{"lan.network: [Route]: a route of this Type= has no Gateway=, the section is ignored"}},
		{"blackhole", "[Route]\nDestination=10.1.0.0/16\nType=blackhole\n", 1, 0, 0, nil},
		{"IPv6 over DHCPv4's gateway", "[Route]\nDestination=2001:db8::/32\nGateway=_dhcp4\n", 0, 0, 0,
			[]string{"lan.network: [Route]: an IPv6 route cannot have an IPv4 gateway, the section is ignored"}},
		{"rule for a user", "[RoutingPolicyRule]\nUser=1000-1999\nTable=7\n", 0, 1, 0, nil},
		{"rule for a name", "[RoutingPolicyRule]\nUser=nobody\nTable=7\n", 0, 0, 0,
			[]string{"lan.network: [RoutingPolicyRule] User=nobody: not the number of a user or a range of them; " +
				"names are not known here, the section is ignored"}},
		{"rule to nowhere", "[RoutingPolicyRule]\nType=goto\n", 0, 0, 0,
			[]string{"lan.network: [RoutingPolicyRule]: Type=goto without GoTo=, the section is ignored"}},
		{"rule backwards", "[RoutingPolicyRule]\nType=goto\nGoTo=7\nPriority=7\n", 0, 0, 0,
			[]string{"lan.network: [RoutingPolicyRule]: GoTo= does not lead forward, the section is ignored"}},
		{"rule of another family", "[RoutingPolicyRule]\nFrom=10.0.0.0/8\nFamily=ipv6\n", 0, 0, 0,
			[]string{"lan.network: [RoutingPolicyRule]: Family= differs from the family of From= or To=, the section " +
				"is " +
				"ignored"}},
		{"rule of its own family", "[RoutingPolicyRule]\nFrom=10.0.0.0/8\nFamily=ipv4\n", 0, 1, 0, nil},
		{"home address", "[Address]\nAddress=10.0.0.5/24\nHomeAddress=yes\n", 0, 0, 0,
			[]string{"lan.network: [Address]: HomeAddress= and ManageTemporaryAddress= are for IPv6 addresses, the " +
				"section is ignored"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, warnings := network(t, tt.text)
			if diff := cmp.Diff(tt.want, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if len(c.Routes) != tt.routes || len(c.Rules) != tt.rules || len(c.Addresses) != tt.addresses {
				t.Errorf("%d routes, %d rules, %d addresses; want %d, %d, %d", len(c.Routes), len(c.Rules),
					len(c.Addresses), tt.routes, tt.rules, tt.addresses)
			}
		})
	}
	for text, made := range map[string]bool{
		"Kind=vxlan\n[VXLAN]\nVNI=7\nGenericProtocolExtension=yes\n":               false,
		"Kind=vxlan\n[VXLAN]\nVNI=7\nGenericProtocolExtension=no\n":                true,
		"Kind=vxlan\n[VXLAN]\nVNI=7\nRemoteChecksumTx=yes\n":                       false,
		"Kind=macvlan\n[MACVLAN]\nMode=source\nSourceMACAddress=02:00:00:00:00:09": false,
		"Kind=ipvlan\n[IPVLAN]\nFlags=private\n":                                   true,
	} {
		c, warnings := parse(t, "dev", NetDev, "[NetDev]\nName=x\n"+text)
		if got := len(c.NetDevs) == 1; got != made || made == (len(warnings) > 0) {
			t.Errorf("%q is made: %v, %q", text, got, warnings)
		}
	}
}

// TestOldDHCP checks what [DHCP] means: networkd-network-gperf.gperf and link_get_use_dns in systemd.
func TestOldDHCP(t *testing.T) {
	type facts struct {
		DNS4, DNS6, DNSRA, NTP4, NTP6, Domains4, Domains6, DomainsRA, Send4, Send6, Rapid bool
		Metric4                                                                           uint32
		MetricRA                                                                          [3]uint32
	}
	usual := facts{DNS4: true, DNS6: true, DNSRA: true, NTP4: true, NTP6: true, Send4: true, Send6: true, Rapid: true,
		Metric4: 1024, MetricRA: [3]uint32{512, 1024, 2048}}
	for _, tt := range []struct {
		text string
		want func(*facts)
	}{
		{"", func(*facts) {}},
		{"[DHCP]\nUseDNS=no\n", func(f *facts) { f.DNS4, f.DNS6 = false, false }},
		{"[DHCP]\nUseDNS=no\n[DHCPv6]\nUseDNS=yes\n", func(f *facts) { f.DNS4 = false }},
		{"[DHCPv4]\nUseDNS=yes\n[DHCP]\nUseDNS=no\n", func(f *facts) { f.DNS6 = false }},
		{"[DHCPv4]\nUseDNS=no\n", func(f *facts) { f.DNS4 = false }},
		{"[DHCPv4]\nUseDNS=no\nUseDNS=\n", func(*facts) {}},
		{"[DHCP]\nUseNTP=no\n", func(f *facts) { f.NTP4, f.NTP6 = false, false }},
		{"[DHCP]\nUseDomains=yes\n", func(f *facts) { f.Domains4, f.Domains6 = true, true }},
		{"[DHCP]\nUseDomainName=yes\n", func(f *facts) { f.Domains4, f.Domains6 = true, true }},
		{"[DHCPv4]\nUseDomains=no\n[Network]\nUseDomains=yes\n",
			func(f *facts) { f.Domains6, f.DomainsRA = true, true }},
		{"[Network]\nUseDomains=yes\n[DHCP]\nUseDomains=no\n", func(f *facts) { f.DomainsRA = true }},
		{"[DHCP]\nSendHostname=no\n", func(f *facts) { f.Send4, f.Send6 = false, false }},
		{"[DHCP]\nRouteMetric=7\n", func(f *facts) { f.Metric4, f.MetricRA = 7, [3]uint32{7, 7, 7} }},
		{"[DHCPv4]\nRouteMetric=9\n[DHCP]\nRouteMetric=7\n",
			func(f *facts) { f.Metric4, f.MetricRA = 9, [3]uint32{7, 7, 7} }},
		{"[DHCP]\nRouteMetric=7\n[IPv6AcceptRA]\nRouteMetric=1:2:3\n",
			func(f *facts) { f.Metric4, f.MetricRA = 7, [3]uint32{1, 2, 3} }},
		{"[DHCPv6]\nRouteMetric=7\n", func(f *facts) { f.MetricRA = [3]uint32{7, 7, 7} }},
		{"[DHCP]\nRapidCommit=no\n", func(f *facts) { f.Rapid = false }},
	} {
		c, warnings := network(t, tt.text)
		want := usual
		tt.want(&want)
		got := facts{c.DHCPv4.UseDNS, c.DHCPv6.UseDNS, c.RA.UseDNS, c.DHCPv4.UseNTP, c.DHCPv6.UseNTP,
			c.DHCPv4.UseDomains, c.DHCPv6.UseDomains, c.RA.UseDomains,
			c.DHCPv4.SendHostname, c.DHCPv6.SendHostname, c.DHCPv6.RapidCommit, c.DHCPv4.RouteMetric, c.RA.Metrics}
		if diff := cmp.Diff(want, got); diff != "" || len(warnings) > 0 {
			t.Errorf("%q: %q (-want +got):\n%s", tt.text, warnings, diff)
		}
	}
	c, _ := network(t, "[DHCP]\nClientIdentifier=duid\nDUIDType=vendor\nDUIDRawData=01:02\nRouteTable=9\nUseMTU=yes\n")
	if c.DHCPv4.ClientIdentifier != "duid" || c.DHCPv4.RouteTable != 9 || !c.DHCPv4.UseMTU ||
		c.DHCPv6.DUID.Number != 2 || len(c.DHCPv6.DUID.Raw) != 2 {
		t.Errorf("[DHCP] is %+v and %+v", c.DHCPv4, c.DHCPv6)
	}
	if _, warnings := network(t, "[DHCP]\nSendOption=93:uint16:7\n"); len(warnings) != 1 {
		t.Errorf("[DHCP] accepts a key that it never had: %q", warnings)
	}
}

func TestTokens(t *testing.T) {
	for text, want := range map[string][]Token{
		"eui64":                     {{Mode: "eui64"}},
		"::1234":                    {{Mode: "static", Addr: netip.MustParseAddr("::1234")}},
		"static:::1234":             {{Mode: "static", Addr: netip.MustParseAddr("::1234")}},
		"prefixstable":              {{Mode: "prefixstable"}},
		"prefixstable:2001:db8:1::": {{Mode: "prefixstable", Addr: netip.MustParseAddr("2001:db8:1::")}},
		"prefixstable,86b123b9-69ba-4b7e-b8b3-d8605123525a": {{Mode: "prefixstable",
			Secret: []byte("\x86\xb1\x23\xb9\x69\xba\x4b\x7e\xb8\xb3\xd8\x60\x51\x23\x52\x5a")}},
		"prefixstable:x": nil,
		"prefixstable,x": nil,
		"prefixstables":  nil,
		"10.0.0.1":       nil,
	} {
		c, warnings := network(t, "[IPv6AcceptRA]\nToken="+text+"\n")
		if diff := cmp.Diff(want, c.RA.Tokens,
			cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" ||
			(len(warnings) > 0) != (want == nil) {
			t.Errorf("%s: %q (-want +got):\n%s", text, warnings, diff)
		}
	}
}
