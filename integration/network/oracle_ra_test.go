package network_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netns"

	"gitlab.com/wyrcan/wyrcan/integration/network/raw"
)

// said is an advertisement and its router.
type said struct {
	router string
	ra     raw.RA
}

// air repeats what routers say on the first link, faster than real routers, so that tests need not wait.
type air struct {
	mu   sync.Mutex
	wire *raw.Wire
	said []said
}

// advertise makes routers say this from now on, instead of what they said before.
func (w *world) advertise(list ...said) {
	w.t.Helper()
	if w.air == nil {
		w.air = &air{wire: w.openWire("peer0")}
		stop, stopped := make(chan struct{}), make(chan struct{})
		w.t.Cleanup(func() { close(stop); <-stopped; w.air.wire.Close() })
		go func() {
			defer close(stopped)
			for {
				w.air.speak()
				select {
				case <-stop:
					return
				case <-time.After(700 * time.Millisecond):
				}
			}
		}()
	}
	w.air.mu.Lock()
	defer w.air.mu.Unlock()
	w.air.said = list
}

// openWire opens the other end of a link, in its namespace.
func (w *world) openWire(device string) (wire *raw.Wire) {
	w.t.Helper()
	opened := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread in the other namespace ends with this goroutine
		ns, err := netns.GetFromName(w.server)
		if err == nil {
			defer ns.Close()
			err = netns.Set(ns)
		}
		if err == nil {
			wire, err = raw.Open(device)
		}
		opened <- err
	}()
	if err := <-opened; err != nil {
		w.t.Fatal(err)
	}
	return wire
}

func (a *air) speak() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.said {
		// An error means that the link is down or that the test has ended.
		_ = a.wire.ICMPv6(raw.ICMPv6{From: netip.MustParseAddr(s.router), Message: s.ra.Bytes()})
	}
}

// says makes routers on the first link say the first list for some seconds, and then the second one, if there is one.
func says(c oracleCase, first, second []said) oracleCase {
	c.serve = func(w *world) {
		w.peer(0)
		w.peer(1)
		w.advertise(first...)
	}
	if second != nil {
		c.then = func(w *world) {
			w.eventually("what routers said first is taken in", func() bool {
				return strings.Contains(w.ip("-6",
					"route", "show", "table", "all"), " proto ra ")
			})
			w.advertise(second...)
		}
	}
	if c.files == "" {
		c.files = eth0("[IPv6AcceptRA]\nUseDomains=yes\n")
	}
	return c
}

// ofA returns an advertisement of the router fe80::a as default router for half an hour.
func ofA(options ...[]byte) []said { return ofRouter(raw.RA{Lifetime: 1800, Options: options}) }

func ofRouter(ra raw.RA) []said { return []said{{"fe80::a", ra}} }

const (
	onLinkAndAutonomous = raw.OnLink | raw.Autonomous
	server              = "2001:db8:1::53"
)

// lan is a prefix for addresses, valid for an hour.
func lan() []byte { return raw.PIO("2001:db8:1::/64", onLinkAndAutonomous, 3600, 1800) }

// withBad returns an advertisement in which bad options stand between good ones.
func withBad(bad ...[]byte) []said {
	return ofA(lan(), bytes.Join(bad, nil), raw.RDNSS(600, server), raw.RIO("2001:db8:f::/48", 0, 600))
}

// routesTo returns options for that many routes, numbered from first.
func routesTo(first, n int) (options [][]byte) {
	for i := range n {
		options = append(options, raw.RIO(fmt.Sprintf("2001:db8:%x::/48", first+i), 0, 600))
	}
	return options
}

// everyLength returns options for prefixes whose lengths are not multiples of eight, and for some whose are.
func everyLength(option func(prefix string) []byte) (options [][]byte) {
	for bits := 3; bits <= 128; bits += 5 {
		options = append(options,
			option(netip.PrefixFrom(netip.MustParseAddr("2fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), bits).String()))
	}
	return append(options, option("2001:db8:0:f0::/60"))
}

// routerCases have routers that send exactly what a case says, which may be malformed or split into several messages.
var routerCases = []oracleCase{
	says(oracleCase{name: "ra-in-two-messages"}, ofA(lan(), raw.RDNSS(600, server), raw.DNSSL(600,
		"lan.example")), ofA(raw.RIO("2001:db8:f::/48", 0, 600))),
	says(oracleCase{name: "ra-of-many-routes"}, ofA(append(routesTo(0x100, 38), lan(), raw.RDNSS(600,
		server))...), ofA(routesTo(0x200, 38)...)),
	// radvd splits it into several messages by itself.
	{
		name: "ra-of-many-routes-by-radvd", serve: advertise(prefix +
			" RDNSS 2001:db8:1::53 {}; " + strings.Join(many("route 2001:db8:%x::/48 {};", 76), " ")),
		files: eth0("[Network]\nIPv6AcceptRA=yes\n"),
	},
	says(oracleCase{name: "ra-no-router-any-more"}, ofA(lan(), raw.RDNSS(600, server),
		raw.RIO("2001:db8:f::/48", 0, 600)), ofRouter(raw.RA{})),
	says(oracleCase{name: "ra-no-router-any-more-for-routes",
		files: eth0("[Route]\nDestination=2001:db8:99::/48\nGateway=_ipv6ra\n")}, ofA(lan()), ofRouter(raw.RA{})),
	says(oracleCase{name: "ra-names-withdrawn"}, ofA(lan(), raw.RDNSS(600, server, "2001:db8:1::54"),
		raw.DNSSL(600, "a.example", "b.example")),
		ofA(raw.RDNSS(0, server), raw.DNSSL(0, "a.example"))),
	says(oracleCase{name: "ra-all-names-withdrawn"}, ofA(lan(), raw.RDNSS(600, server), raw.DNSSL(600,
		"a.example")), ofA(raw.RDNSS(0, server), raw.DNSSL(0, "a.example"))),
	says(oracleCase{name: "ra-servers-withdrawn-and-no-domains"}, ofA(lan(), raw.RDNSS(600, server),
		raw.DNSSL(600, "a.example")), ofA(raw.RDNSS(0, server))),
	says(oracleCase{name: "ra-names-end"}, ofA(lan(), raw.RDNSS(5, server), raw.RDNSS(600, "2001:db8:1::54"),
		raw.DNSSL(5, "a.example")), ofA()),
	says(oracleCase{name: "ra-domains-alone"}, ofA(lan(), raw.DNSSL(600, "a.example")), nil),
	says(oracleCase{name: "ra-route-withdrawn"}, ofA(lan(), raw.RIO("2001:db8:f::/48", 0, 600),
		raw.RIO("2001:db8:e::/48", 0, 600)), ofA(raw.RIO("2001:db8:f::/48", 0, 0))),
	says(oracleCase{name: "ra-route-ends"}, ofA(lan(), raw.RIO("2001:db8:f::/48", 0, 5)), ofA()),
	says(oracleCase{name: "ra-route-preferred-otherwise", since: 257}, ofA(lan(), raw.RIO("2001:db8:f::/48",
		1, 600)), ofA(raw.RIO("2001:db8:f::/48", 3, 600))),
	says(oracleCase{name: "ra-router-preferred-otherwise", since: 257}, ofRouter(raw.RA{Flags: 0x08,
		Lifetime: 1800, Options: [][]byte{lan()}}), ofRouter(raw.RA{Flags: 0x18, Lifetime: 1800})),
	says(oracleCase{name: "ra-route-to-everything", since: 257}, ofRouter(raw.RA{Options: [][]byte{lan(),
		raw.RIO("::/0", 1, 600)}}), nil),
	says(oracleCase{name: "ra-reserved-preference"}, ofRouter(raw.RA{Flags: 0x10, Lifetime: 1800,
		Options: [][]byte{lan()}}), nil),

	says(oracleCase{name: "ra-two-hours", since: 257}, ofA(raw.PIO("2001:db8:1::/64", onLinkAndAutonomous,
		86400, 14400)), ofA(raw.PIO("2001:db8:1::/64", onLinkAndAutonomous, 0, 0))),
	says(oracleCase{name: "ra-less-than-two-hours", since: 257}, ofA(lan()), ofA(raw.PIO("2001:db8:1::/64",
		onLinkAndAutonomous, 0, 0))),
	says(oracleCase{name: "ra-deprecated-later"}, ofA(lan()), ofA(raw.PIO("2001:db8:1::/64",
		onLinkAndAutonomous, 3600, 0))),
	says(oracleCase{name: "ra-preferred-again"}, ofA(raw.PIO("2001:db8:1::/64", onLinkAndAutonomous, 3600,
		0)), ofA(lan())),
	says(oracleCase{name: "ra-prefix-without-flags-later"}, ofA(lan()), ofA(raw.PIO("2001:db8:1::/64", 0, 0, 0))),
	says(oracleCase{name: "ra-prefix-not-preferred-soon"}, ofA(raw.PIO("2001:db8:1::/64", onLinkAndAutonomous,
		3600, 5)), ofA()),

	says(oracleCase{name: "ra-bad-domains", since: 257}, withBad(
		raw.Hex("1f03 0000 00000258 036c616e 076578616d706c6500 206e65"), raw.Hex("1f01 0000 00000258"),
		raw.Hex("1f02 0000 00000258 0000000000000000"),
		raw.Hex("1f02 0000 00000258 036c616e c008 0000"), raw.Hex("1f02 0000 00000258 036c616e 00 026161"),
		raw.DNSSL(600, "good.example", "xn--bcher-kva.example"),
	), nil),
	says(oracleCase{name: "ra-bad-servers", since: 257}, withBad(raw.Hex("1901 0000 00000258"),
		raw.Hex("1902 0000 00000258 20010db800000000"),
		raw.Hex("1904 0000 00000258 20010db8000000000000000000000001 20010db800000000")), nil),
	says(oracleCase{name: "ra-many-servers"}, ofA(lan(), raw.RDNSS(600, many("2001:db8:1::%x", 40)...)), nil),
	says(oracleCase{name: "ra-long-link-layer-address"}, withBad(raw.Hex("0102 80000048fe80 0002c90300a1b2c3")), nil),
	says(oracleCase{name: "ra-longer-link-layer-address"},
		withBad(raw.Hex("0103 80000048fe80 0002c90300a1b2c3 0000000000000000")), nil),
	says(oracleCase{name: "ra-bad-pref64"}, withBad(raw.Hex("2602 0007 0064ff9b0000000000000000"),
		raw.Hex("2601 0000 0064ff9b")), nil),
	says(oracleCase{name: "ra-bad-routes", since: 257}, withBad(
		raw.RIO("2001:db8:e::/48", 2, 600), raw.Hex("1801 4000 00000258"),
		raw.Hex("1802 4100 00000258 20010db800000000"),
		raw.Hex("1803 8100 00000258 20010db8000000000000000000000001"),
		raw.Hex("1804 3000 00000258 20010db8000d0000 0000000000000000 0000000000000000"),
		raw.Hex("1803 3008 00000258 20010db8000c0000 0000000000000000"),
	), nil),
	says(oracleCase{name: "ra-bad-mtu", since: 257}, withBad(raw.MTU(1279),
		raw.Hex("0502 0000 00000578 0000000000000000"), raw.MTU(1400)), nil),
	says(oracleCase{name: "ra-bad-prefixes", since: 257}, withBad(
		raw.Hex("0303 40c0 00000258 00000258 00000000 20010db800020000"), raw.PIO("2001:db8:3::/64",
			onLinkAndAutonomous, 600, 601), raw.PIO("fe80::/64", onLinkAndAutonomous, 600, 600),
		raw.PIO("::/0", onLinkAndAutonomous, 600, 600), raw.PIO("ff0e::/64", onLinkAndAutonomous, 600, 600),
		raw.PIO("2001:db8:4::/65", onLinkAndAutonomous, 600, 600),
		raw.PIO("2001:db8:5::/60", onLinkAndAutonomous, 600, 600), raw.PIO("2001:db8:6::77/64",
			onLinkAndAutonomous, 600, 600),
	), nil),
	says(oracleCase{name: "ra-unknown-options"}, withBad(raw.Option(0, nil), raw.Option(253, make([]byte,
		30)), raw.Hex("2501 000000000000"), raw.Hex("0e01 010203040506")), nil),
	says(oracleCase{name: "ra-option-of-no-length"}, ofA(lan(), raw.Hex("1900 000000000000"), raw.RDNSS(600,
		server)), nil),
	says(oracleCase{name: "ra-option-cut-off"}, ofA(lan(), raw.RDNSS(600, server), raw.Hex("1903 0000 00000258")), nil),
	says(oracleCase{name: "ra-another-code"}, ofRouter(raw.RA{Code: 1, Lifetime: 1800, Options: [][]byte{lan()}}), nil),

	says(oracleCase{name: "ra-routes-of-odd-length"},
		ofA(everyLength(func(p string) []byte { return raw.RIO(p, 0, 600) })...), nil),
	says(oracleCase{name: "ra-prefixes-of-odd-length"},
		ofA(everyLength(func(p string) []byte { return raw.PIO(p, onLinkAndAutonomous, 600, 600) })...), nil),

	says(oracleCase{name: "ra-hop-limit", since: 257}, ofRouter(raw.RA{HopLimit: 77, Lifetime: 1800,
		Options: [][]byte{lan()}}), ofA()),
	says(oracleCase{name: "ra-hop-limit-again", since: 257}, ofRouter(raw.RA{HopLimit: 77, Lifetime: 1800,
		Options: [][]byte{lan()}}), ofRouter(raw.RA{HopLimit: 30, Lifetime: 1800})),
	says(oracleCase{name: "ra-hop-limit-not-wanted", since: 257,
		files: eth0("[IPv6AcceptRA]\nUseHopLimit=no\n")}, ofRouter(raw.RA{HopLimit: 77, Lifetime: 1800,
		Options: [][]byte{lan()}}), nil),
	says(oracleCase{name: "ra-hop-limit-and-own", since: 257, files: eth0("[Network]\nIPv6HopLimit=44\n")},
		ofRouter(raw.RA{HopLimit: 33, Lifetime: 1800, Options: [][]byte{lan()}}), nil),
	says(oracleCase{name: "ra-mtu", since: 257}, ofA(lan(), raw.MTU(1400)), ofA()),
	says(oracleCase{name: "ra-mtu-again", since: 257}, ofA(lan(), raw.MTU(1400)), ofA(raw.MTU(1450))),
	says(oracleCase{name: "ra-mtu-too-much", since: 257}, ofA(lan(), raw.MTU(9000)), nil),
	says(oracleCase{name: "ra-mtu-not-wanted", since: 257, files: eth0("[IPv6AcceptRA]\nUseMTU=no\n")},
		ofA(lan(), raw.MTU(1400)), nil),
	says(oracleCase{name: "ra-mtu-and-own", since: 257,
		files: eth0("[Network]\nIPv6MTUBytes=1350\n[Link]\nMTUBytes=1450\n")}, ofA(lan(), raw.MTU(1400)), nil),

	{name: "ra-mtu-and-lease-mtu", since: 257, serve: func(w *world) {
		dhcp(full, two, "--dhcp-option=option:mtu,1450")(w)
		w.advertise(ofA(lan(), raw.MTU(1400))...)
	}, files: eth0("[Network]\nDHCP=yes\n[DHCPv4]\nUseMTU=yes\n")},
	says(oracleCase{name: "ra-two-routers"}, []said{
		{"fe80::a", raw.RA{Lifetime: 1800, Options: [][]byte{lan(), raw.RDNSS(600, server)}}},
		{"fe80::b", raw.RA{Lifetime: 1800, Options: [][]byte{raw.PIO("2001:db8:2::/64", onLinkAndAutonomous,
			3600, 1800), raw.RDNSS(600, "2001:db8:2::53")}}},
	}, []said{{"fe80::a", raw.RA{Lifetime: 1700}}}),
	says(oracleCase{name: "ra-one-of-two-routers-leaves"}, []said{
		{"fe80::a", raw.RA{Lifetime: 1800, Options: [][]byte{lan(), raw.RDNSS(600, server)}}}, {"fe80::b",
			raw.RA{Lifetime: 1800, Flags: 0x08}},
	}, []said{{"fe80::b", raw.RA{}}}),

	{name: "mtu-too-small-for-ipv6",
		files: eth0("[Network]\nAddress=10.0.0.5/24\nAddress=2001:db8::5/64\n[Link]\nMTUBytes=1000\n")},
	{name: "mtu-too-small-for-ipv6-of-routers", serve: advertise(prefix),
		files: eth0("[Network]\nIPv6AcceptRA=yes\n[Link]\nMTUBytes=576\n")},
	{name: "mtu-small-without-ipv6",
		files: eth0("[Network]\nAddress=10.0.0.5/24\nLinkLocalAddressing=no\n[Link]\nMTUBytes=1000\n")},
	{name: "mtu-small-without-link-local",
		files: eth0("[Network]\nAddress=10.0.0.5/24\nAddress=2001:db8::5/64\n" +
			"LinkLocalAddressing=no\n[Link]\nMTUBytes=1000\n")},
	{name: "mtu-smaller-than-ipv6-mtu",
		files: eth0("[Network]\nAddress=2001:db8::5/64\nIPv6MTUBytes=1400\n[Link]\nMTUBytes=1300\n")},
	{name: "dhcp4-mtu-too-small-for-ipv6", serve: dhcp(full, two, "--dhcp-option=option:mtu,576"),
		files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nUseMTU=yes\n")},
	{name: "dhcp4-mtu-small-without-ipv6", serve: dhcp(full, two, "--dhcp-option=option:mtu,576"),
		files: eth0("[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n[DHCPv4]\nUseMTU=yes\n")},

	{name: "servers-with-ports-and-names",
		files: eth0("[Network]\nAddress=10.0.0.5/24\nDNS=192.0.2.1:5353 192.0.2.2#dns.example " +
			"192.0.2.3%eth0 [2001:db8::4]:853#dns.example fe80::5 2001:db8::6\n")},
	{name: "domains-without-servers", files: eth0("[Network]\nAddress=10.0.0.5/24\nDomains=a.example b.example\n")},

	{name: "dhcp6-other-then-managed", serve: func(w *world) {
		w.peer(0, "2001:db8:1::1/64")
		w.peer(1)
		w.dnsmasq("--interface=peer0", "--dhcp-range=2001:db8:1::100,2001:db8:1::1ff,64,1h",
			"--dhcp-host=02:00:00:00:00:01,[2001:db8:1::150]", "--dhcp-option=option6:dns-server,[2001:db8:1::53]")
		w.advertise(ofRouter(raw.RA{Flags: 0x40, Lifetime: 1800, Options: [][]byte{raw.PIO("2001:db8:1::/64",
			raw.OnLink, 3600, 1800)}})...)
	}, then: func(w *world) { w.advertise(ofRouter(raw.RA{Flags: 0x80, Lifetime: 1800})...) },
		files: eth0("[Network]\nIPv6AcceptRA=yes\n")},
}

// many returns n texts with the numbers from 1.
func many(format string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf(format, i+1))
	}
	return out
}
