package network

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/mdlayher/ndp"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// testLink returns eth0 with a configuration, before anything is set.
func testLink(t testing.TB, text string) *link {
	f, _, err := netconf.Read(strings.NewReader("[Match]\nName=eth0\n"+text), "lan", netconf.Network)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := netconf.Parse([]netconf.File{f})
	d := ethernet(netconf.Device{Name: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}})
	l := newLink(&d)
	l.conf, l.mtu, l.ipv6 = c.Networks[0], 1500, true
	return l
}

func ack(t testing.TB, options ...dhcpv4.Option) *dhcpv4.DHCPv4 {
	mods := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(dhcpv4.MessageTypeAck), dhcpv4.WithYourIP(net.IPv4(10, 0, 0, 5)),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 1))),
	}
	for _, o := range options {
		mods = append(mods, dhcpv4.WithOption(o))
	}
	p, err := dhcpv4.New(mods...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRoutesOfLease checks which routes come from which options.
func TestRoutesOfLease(t *testing.T) {
	cidr := func(s string) *net.IPNet {
		_, n, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	router := dhcpv4.OptRouter(net.IPv4(10, 0, 0, 1))
	for _, tt := range []struct {
		name, text string
		options    []dhcpv4.Option
		want       []string
	}{
		{"router", "", []dhcpv4.Option{router}, []string{"10.0.0.1/32", "default via 10.0.0.1"}},
		{"no router", "", nil, nil},
		{"two routers", "", []dhcpv4.Option{dhcpv4.OptRouter(net.IPv4(10, 0, 0, 1), net.IPv4(10, 0, 0, 2))},
			[]string{"10.0.0.1/32", "default via 10.0.0.1"}},
		{"a router that is none", "", []dhcpv4.Option{dhcpv4.OptRouter(net.IPv4zero)}, nil},
		{"classless routes hide the router", "",
			[]dhcpv4.Option{router,
				dhcpv4.OptClasslessStaticRoute(&dhcpv4.Route{Dest: cidr("10.8.0.0/16"),
					Router: net.IPv4(10, 0, 0, 9)})},
			[]string{"10.0.0.9/32", "10.8.0.0/16 via 10.0.0.9"}},
		{"a classless route on the link", "",
			[]dhcpv4.Option{dhcpv4.OptClasslessStaticRoute(&dhcpv4.Route{Dest: cidr("10.9.0.0/16"),
				Router: net.IPv4zero})}, []string{"10.9.0.0/16"}},
		{"name servers near and far", "",
			[]dhcpv4.Option{router, dhcpv4.OptDNS(net.IPv4(10, 0, 0, 3), net.IPv4(9, 9, 9, 9))},
			[]string{"10.0.0.1/32", "10.0.0.3/32", "default via 10.0.0.1", "9.9.9.9/32 via 10.0.0.1"}},
		{"a far name server and no way", "", []dhcpv4.Option{dhcpv4.OptDNS(net.IPv4(9, 9, 9, 9))}, nil},
		{"none wanted", "[DHCPv4]\nUseRoutes=no\nRoutesToDNS=no",
			[]dhcpv4.Option{router, dhcpv4.OptDNS(net.IPv4(10, 0, 0, 3))}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := testLink(t, tt.text)
			l.lease4 = readLease4(ack(t, tt.options...))
			var got []string
			for _, r := range l.want(time.Now()).routes {
				got = append(got, r.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("routes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLeaseLies checks that a server cannot write arbitrary text into resolv.conf.
func TestLeaseLies(t *testing.T) {
	lease := readLease4(ack(t, dhcpv4.OptDomainName("good.example\nnameserver 6.6.6.6"),
		dhcpv4.OptDNS(net.IPv4(0, 0, 0, 0), net.IPv4(224, 0, 0, 1), net.IPv4(10, 0, 0, 3))))
	if got := domains(lease.domains); got != nil {
		t.Errorf("domains = %q", got)
	}
	if diff := cmp.Diff([]string{"10.0.0.3"}, texts(lease.dns)); diff != "" {
		t.Errorf("name servers (-want +got):\n%s", diff)
	}
}

func TestLeaseTimes(t *testing.T) {
	seconds := func(code dhcpv4.OptionCode, n byte) dhcpv4.Option { return dhcpv4.OptGeneric(code, []byte{0, 0, 0, n}) }
	lease, t1, t2 := dhcpv4.OptionIPAddressLeaseTime, dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue
	for _, tt := range []struct {
		name                    string
		options                 []dhcpv4.Option
		lifetime, renew, rebind float64
	}{
		{"none", nil, 0, 0, 0},
		{"half", []dhcpv4.Option{seconds(lease, 100)}, 100, 50, 87.5},
		{"T1", []dhcpv4.Option{seconds(lease, 100), seconds(t1, 7)}, 100, 7, 87.5},
		{"T1 and T2", []dhcpv4.Option{seconds(lease, 100), seconds(t1, 7), seconds(t2, 9)}, 100, 7, 9},
		{"T2", []dhcpv4.Option{seconds(lease, 100), seconds(t2, 60)}, 100, 50, 60},
		{"T2 before half", []dhcpv4.Option{seconds(lease, 100), seconds(t2, 30)}, 100, 50, 87.5},
		{"T1 after the end", []dhcpv4.Option{seconds(lease, 10), seconds(t1, 70)}, 10, 5, 8.75},
		{"T1 after T2", []dhcpv4.Option{seconds(lease, 100), seconds(t1, 70), seconds(t2, 60)}, 100, 50, 60},
		{"T2 at the end", []dhcpv4.Option{seconds(lease, 100), seconds(t2, 100)}, 100, 50, 87.5},
		{"without end", []dhcpv4.Option{dhcpv4.OptGeneric(lease, []byte{255, 255, 255, 255})}, 0, 0, 0},
	} {
		l := readLease4(ack(t, tt.options...))
		if l.lifetime.Seconds() != tt.lifetime || l.renew.Seconds() != tt.renew || l.rebind.Seconds() != tt.rebind {
			t.Errorf("%s: lifetime %v, extended after %v and %v; want %v, %v and %v", tt.name, l.lifetime, l.renew,
				l.rebind, tt.lifetime, tt.renew, tt.rebind)
		}
	}
}

func TestSentHostname(t *testing.T) {
	for _, tt := range []struct {
		send            bool
		configured, own string
		want            string
	}{
		{true, "", "box", "box"}, {true, "rack7", "box", "rack7"}, {false, "rack7", "box", ""},
		{true, "", "localhost", ""}, {true, "", "(none)", ""}, {true, "", "", ""},
	} {
		if got := sentHostname(tt.send, tt.configured, tt.own); got != tt.want {
			t.Errorf("sentHostname(%v, %q, %q) = %q, want %q", tt.send, tt.configured, tt.own, got, tt.want)
		}
	}
}

// TestUsable checks which offers count.
func TestUsable(t *testing.T) {
	with := func(f func(*dhcpv4.DHCPv4)) *dhcpv4.DHCPv4 {
		p := ack(t)
		f(p)
		return p
	}
	deny := netconf.DHCPv4{DenyList: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	allow := netconf.DHCPv4{AllowList: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}, DenyList: deny.DenyList}
	for _, tt := range []struct {
		name string
		conf netconf.DHCPv4
		p    *dhcpv4.DHCPv4
		want bool
	}{
		{"plain", netconf.DHCPv4{}, ack(t), true},
		{"of a proxy", netconf.DHCPv4{}, with(func(p *dhcpv4.DHCPv4) { p.YourIPAddr = net.IPv4zero }), false},
		{"broadcast", netconf.DHCPv4{}, with(func(p *dhcpv4.DHCPv4) { p.YourIPAddr = net.IPv4bcast }), false},
		{"multicast", netconf.DHCPv4{}, with(func(p *dhcpv4.DHCPv4) { p.YourIPAddr = net.IPv4(224, 0, 0, 9) }), false},
		{"of nobody", netconf.DHCPv4{}, with(func(p *dhcpv4.DHCPv4) { p.Options.Del(dhcpv4.OptionServerIdentifier) }),
			false},
		{"for no time", netconf.DHCPv4{},
			with(func(p *dhcpv4.DHCPv4) { p.UpdateOption(dhcpv4.OptIPAddressLeaseTime(0)) }), false},
		{"without a netmask", netconf.DHCPv4{},
			with(func(p *dhcpv4.DHCPv4) { p.Options.Del(dhcpv4.OptionSubnetMask) }), true},
		{"without a netmask or a class", netconf.DHCPv4{}, with(func(p *dhcpv4.DHCPv4) {
			p.Options.Del(dhcpv4.OptionSubnetMask)
			p.YourIPAddr = net.IPv4(240, 0, 0, 1)
		}), false},
		{"denied", deny, ack(t), false},
		{"allowed", allow, ack(t), true},
	} {
		if got := (&dhcp4{conf: tt.conf}).usable(tt.p); got != tt.want {
			t.Errorf("%s: usable = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestLinkLocal4(t *testing.T) {
	seen := map[netip.Prefix]bool{}
	for i := range 1000 {
		p := linkLocal4(net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)}).prefix
		if b := p.Addr().As4(); b[0] != 169 || b[1] != 254 || b[2] == 0 || b[2] == 255 || p.Bits() != 16 {
			t.Fatalf("%v is no address of RFC 3927", p)
		}
		seen[p] = true
	}
	if len(seen) < 900 {
		t.Errorf("1000 links share %d addresses", len(seen))
	}
}

// FuzzServers checks that no packet from the network crashes the program, and that what comes of it can be sent to
// the kernel.
func FuzzServers(f *testing.F) {
	f.Add(ack(f, dhcpv4.OptRouter(net.IPv4(10, 0, 0, 1)), dhcpv4.OptDNS(net.IPv4(10, 0, 0, 3))).ToBytes())
	ra, err := ndp.MarshalMessage(&ndp.RouterAdvertisement{RouterLifetime: time.Hour, Options: []ndp.Option{
		&ndp.PrefixInformation{PrefixLength: 64, OnLink: true, AutonomousAddressConfiguration: true,
			ValidLifetime: time.Hour, PreferredLifetime: time.Hour, Prefix: netip.MustParseAddr("2001:db8::")},
		&ndp.RecursiveDNSServer{Lifetime: time.Hour, Servers: []netip.Addr{netip.MustParseAddr("fe80::53")}},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ra)
	solicit, err := dhcpv6.NewSolicit(net.HardwareAddr{2, 0, 0, 0, 0, 1},
		dhcpv6.WithIANA(dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("2001:db8::5"), ValidLifetime: time.Hour,
			PreferredLifetime: time.Hour}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(solicit.ToBytes())
	now := time.Now()
	f.Fuzz(func(t *testing.T, b []byte) {
		l := testLink(t, "[Network]\nDHCP=yes\n[Route]\nDestination=10.50.0.0/16\nGateway=_dhcp4\n[Route]\n"+
			"Destination=2001:db8:50::/48\nGateway=_ipv6ra\n")
		if p, err := parse4(b); err == nil && (&dhcp4{}).usable(p) {
			l.lease4 = readLease4(p)
		}
		if m, err := parse6(b); err == nil {
			l.lease6 = readLease6(m, now)
		}
		if a, err := parseAdvert(b, netip.MustParseAddr("fe80::1%eth0")); err == nil {
			l.heard.routers.hear(a, now)
		}
		w := l.want(now)
		for _, a := range w.addresses {
			if !a.prefix.IsValid() || a.prefix.Addr().IsUnspecified() || a.prefix.Addr().IsMulticast() {
				t.Errorf("address %v", a.prefix)
			}
			addressRequest(0, 0, 1, &a).Serialize()
		}
		for _, r := range w.routes {
			routeRequest(0, 0, 1, &r, now).Serialize()
		}
		if text := string(resolvConf(w.names.dns, w.names.domains)); strings.Count(text, "\n") > len(w.names.dns)+1 {
			t.Errorf("resolv.conf is %q", text)
		}
	})
}
