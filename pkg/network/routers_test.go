package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/network/raw"
)

// spoken is an advertisement, its router, and when it came.
type spoken struct {
	after  time.Duration
	router netip.Addr
	ra     raw.RA
}

// TestRouters checks what is still valid of what routers said, and until when.
func TestRouters(t *testing.T) {
	const both = raw.OnLink | raw.Autonomous
	prefix := func(valid, preferred uint32) []byte { return raw.PIO("2001:db8:1::/64", both, valid, preferred) }
	const (
		address    = "address 2001:db8:1::ff:fe00:1/64"
		deprecated = "deprecated 2001:db8:1::ff:fe00:1/64"
		onLink     = "route 2001:db8:1::/64 1024"
		byA        = "route default via fe80::a 1024"
		other      = "route 2001:db8:f::/48 via fe80::a 1024"
		dns        = "dns 2001:db8::53"
	)
	s := time.Second
	for _, tt := range []struct {
		name string
		file string
		said []spoken
		want map[time.Duration][]string // by the time since the first
	}{
		{"what is left out stays, each to its own end", "", []spoken{
			{0, routerA, raw.RA{Lifetime: 30, Options: [][]byte{prefix(600, 300), raw.RDNSS(100, "2001:db8::53")}}},
			{8 * s, routerA, raw.RA{Lifetime: 40, Options: [][]byte{raw.RIO("2001:db8:f::/48", 0, 200)}}},
		}, map[time.Duration][]string{
			7 * s:   {address, onLink, byA, dns},
			8 * s:   {address, onLink, byA, other, dns},
			47 * s:  {address, onLink, byA, other, dns},
			48 * s:  {address, onLink, other, dns},
			100 * s: {address, onLink, other},
			208 * s: {address, onLink},
			300 * s: {deprecated, onLink},
			600 * s: nil,
		}},
		{"what is said again ends later, or earlier", "", []spoken{
			{0, routerA, raw.RA{Lifetime: 30, Options: [][]byte{raw.RDNSS(100, "2001:db8::53")}}},
			{10 * s, routerA, raw.RA{Lifetime: 100, Options: [][]byte{raw.RDNSS(10, "2001:db8::53")}}},
		}, map[time.Duration][]string{19 * s: {byA, dns}, 20 * s: {byA}, 109 * s: {byA}, 110 * s: nil}},
		{"no router any more", "", []spoken{
			{0, routerA, raw.RA{Lifetime: 1800, Options: [][]byte{prefix(600, 300), raw.RDNSS(600,
				"2001:db8::53"), raw.RIO("2001:db8:f::/48", 0, 600)}}},
			{s, routerA, raw.RA{}},
		}, map[time.Duration][]string{0: {address, onLink, byA, other, dns}, s: {address, onLink, other, dns}}},
		{"withdrawn one by one", "[IPv6AcceptRA]\nUseDomains=yes\n", []spoken{
			{0, routerA, raw.RA{Lifetime: 1800, Options: [][]byte{raw.RDNSS(600, "2001:db8::53", "2001:db8::54"),
				raw.DNSSL(600, "a", "b"), raw.RIO("2001:db8:f::/48", 0, 600),
				raw.PIO("2001:db8:1::/64", raw.OnLink, 600,
					600)}}},
			{s, routerA, raw.RA{Lifetime: 1800, Options: [][]byte{raw.RDNSS(0, "2001:db8::54")}}},
			{2 * s, routerA, raw.RA{Lifetime: 1800, Options: [][]byte{raw.DNSSL(0, "a")}}},
			{3 * s, routerA, raw.RA{Lifetime: 1800, Options: [][]byte{raw.RIO("2001:db8:f::/48", 1, 0)}}},
			{4 * s, routerA, raw.RA{Lifetime: 1800, Options: [][]byte{raw.PIO("2001:db8:1::/64", raw.OnLink, 0, 0)}}},
		}, map[time.Duration][]string{
			s: {onLink, byA, other, dns, "search a", "search b"}, 2 * s: {onLink, byA, other, dns, "search b"},
			3 * s: {onLink, byA, dns, "search b"}, 4 * s: {byA, dns, "search b"},
		}},
		{"withdrawn and given in one message", "", []spoken{
			{0, routerA, raw.RA{Lifetime: 1800, Options: [][]byte{raw.RDNSS(600, "2001:db8::53"), raw.RDNSS(0,
				"2001:db8::53")}}},
		}, map[time.Duration][]string{0: {byA, dns}}},
		{"withdrawn by another router", "", []spoken{
			{0, routerA, raw.RA{Lifetime: 1800, Options: [][]byte{prefix(600, 300), raw.RDNSS(600,
				"2001:db8::53"), raw.RIO("2001:db8:f::/48", 0, 600)}}},
			{s, routerB, raw.RA{Options: [][]byte{prefix(0, 0), raw.RDNSS(0, "2001:db8::53"),
				raw.RIO("2001:db8:f::/48", 0, 0)}}},
		}, map[time.Duration][]string{s: {address, onLink, byA, other, dns},
			300 * s: {deprecated, onLink, byA, other, dns}}},
		{"given by two, until the later end", "", []spoken{
			{0, routerA, raw.RA{Options: [][]byte{prefix(600, 300), raw.RDNSS(100, "2001:db8::53")}}},
			{0, routerB, raw.RA{Options: [][]byte{prefix(700, 200), raw.RDNSS(200, "2001:db8::53")}}},
		}, map[time.Duration][]string{299 * s: {address, onLink}, 300 * s: {deprecated, onLink},
			199 * s: {address, onLink, dns}, 600 * s: {deprecated, onLink}, 700 * s: nil}},
		{"without end", "", []spoken{
			{0, routerA, raw.RA{Lifetime: 0xffff, Options: [][]byte{prefix(0xffffffff, 0xffffffff),
				raw.RDNSS(0xffffffff, "2001:db8::53"), raw.RIO("2001:db8:f::/48", 0, 0xffffffff)}}},
		}, map[time.Duration][]string{65534 * s: {address, onLink, byA, other, dns},
			1e6 * s: {address, onLink, other, dns}}},
		{"a prefix that is not preferred", "", []spoken{
			{0, routerA, raw.RA{Options: [][]byte{prefix(600, 0)}}},
			{9 * s, routerA, raw.RA{Options: [][]byte{prefix(600, 100)}}},
		}, map[time.Duration][]string{8 * s: {deprecated, onLink}, 9 * s: {address, onLink},
			109 * s: {deprecated, onLink}}},
		{"the flags of a prefix say nothing against", "", []spoken{
			{0, routerA, raw.RA{Options: [][]byte{prefix(600, 600)}}},
			{s, routerA, raw.RA{Options: [][]byte{raw.PIO("2001:db8:1::/64", 0, 600, 600)}}},
			{2 * s, routerA, raw.RA{Options: [][]byte{raw.PIO("2001:db8:1::/64", raw.OnLink, 700, 700)}}},
		}, map[time.Duration][]string{s: {address, onLink}, 599 * s: {address, onLink}, 600 * s: {onLink},
			702 * s: nil}},
		{"a long prefix ends after two hours at the earliest", "", []spoken{
			{0, routerA, raw.RA{Options: [][]byte{prefix(86400, 3600)}}},
			{s, routerA, raw.RA{Options: [][]byte{prefix(0, 0)}}},
		}, map[time.Duration][]string{0: {address, onLink}, s: {deprecated}, 7200 * s: {deprecated}, 7201 * s: nil}},
		{"a prefix of nobody is not withdrawn into being", "", []spoken{
			{0, routerA, raw.RA{Options: [][]byte{prefix(0, 0)}}},
		}, map[time.Duration][]string{0: nil}},
		{"a route to everything stands for the header", "", []spoken{
			{0, routerA, raw.RA{Lifetime: 1800, Options: [][]byte{raw.RIO("::/0", 1, 60)}}},
			{s, routerA, raw.RA{Lifetime: 1800}},
		}, map[time.Duration][]string{0: {"route default via fe80::a 512"},
			s: {"route default via fe80::a 512"}, 60 * s: {byA}}},
		{"a route to everything without the header", "", []spoken{
			{0, routerA, raw.RA{Options: [][]byte{raw.RIO("::/0", 3, 60)}}},
			{s, routerA, raw.RA{}},
		}, map[time.Duration][]string{0: {"route default via fe80::a 2048"}, s: nil}},
		{"the preference of a prefix is that of its message", "", []spoken{
			{0, routerA, raw.RA{Flags: 0x08, Lifetime: 1800, Options: [][]byte{raw.PIO("2001:db8:1::/64",
				raw.OnLink, 600, 600)}}},
			{s, routerA, raw.RA{Lifetime: 1800}},
		}, map[time.Duration][]string{0: {"route 2001:db8:1::/64 512", "route default via fe80::a 512"},
			s: {"route 2001:db8:1::/64 512", byA}}},
		{"a route of the file by way of the router", "[Route]\nDestination=2001:db8:99::/48\nGateway=_ipv6ra\n",
			[]spoken{
				{0, routerA, raw.RA{Lifetime: 60}}, {s, routerA, raw.RA{Options: [][]byte{prefix(600, 600)}}},
			}, map[time.Duration][]string{0: {byA, "route 2001:db8:99::/48 via fe80::a 1024"}, s: {address, onLink}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begin := time.Now()
			for at, want := range tt.want {
				l := testLink(t, tt.file)
				for _, h := range tt.said {
					if h.after <= at {
						l.heard.routers.hear(mustParse(t, h.router, h.ra), begin.Add(h.after))
					}
				}
				if diff := cmp.Diff(want, given(l, begin.Add(at))); diff != "" {
					t.Errorf("after %v (-want +got):\n%s", at, diff)
				}
			}
		})
	}
}

// given returns what a link has from its routers.
func given(l *link, now time.Time) []string {
	var out []string
	w := l.want(now)
	for _, a := range w.addresses {
		what := "address"
		if a.lapsed {
			what = "deprecated"
		}
		out = append(out, fmt.Sprintf("%s %v", what, a.prefix))
	}
	for _, r := range w.routes {
		out = append(out, fmt.Sprintf("route %s %d", r.String(), r.metric))
	}
	for _, d := range w.names.dns {
		out = append(out, "dns "+d.String())
	}
	for _, d := range w.names.domains {
		out = append(out, "search "+d)
	}
	return out
}

// TestTwoHours checks RFC 4862 section 5.5.3 e.
func TestTwoHours(t *testing.T) {
	now := time.Now()
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	never := time.Time{}
	for _, tt := range []struct {
		old  time.Time
		said uint32
		want time.Time
	}{
		{at(86400), 0, at(7200)},      // 3: two hours
		{at(86400), 7200, at(7200)},   // 3
		{at(86400), 7201, at(7201)},   // 1: more than two hours
		{never, 0, at(7200)},          // 3
		{never, 86400, at(86400)},     // 1
		{at(7200), 0, at(7200)},       // 2: no change
		{at(600), 0, at(600)},         // 2
		{at(600), 599, at(600)},       // 2
		{at(600), 601, at(601)},       // 1: more than is left
		{at(600), 0xffffffff, never},  // 1
		{never, 0xffffffff, never},    // 1
		{at(7201), 7200, at(7200)},    // 3
		{at(86400), 86399, at(86399)}, // 1
	} {
		b := binary.BigEndian.AppendUint32(nil, tt.said)
		if got := validUntil(tt.old, lifetime32(b), now); !got.Equal(tt.want) {
			t.Errorf("valid until %v, then for %d s: until %v, want %v", tt.old, tt.said, got, tt.want)
		}
	}
}

// TestManyRouters checks that only so much is remembered, and that new routers do not push out old ones.
func TestManyRouters(t *testing.T) {
	now := time.Now()
	l := testLink(t, "")
	good := raw.RA{Lifetime: 1800, Options: [][]byte{raw.PIO("2001:db8:1::/64", raw.OnLink|raw.Autonomous,
		600, 300), raw.RDNSS(600, "2001:db8::53")}}
	l.heard.routers.hear(mustParse(t, routerA, good), now)
	before := holdings(l, now)
	for i := range 1000 {
		ra := raw.RA{Lifetime: 60}
		for j := range 100 {
			ra.Options = append(ra.Options, raw.PIO(fmt.Sprintf("2001:db8:%x:%x::/64", i+1, j),
				raw.OnLink|raw.Autonomous, 60, 60), raw.RIO(fmt.Sprintf("2001:db8:%x:%x::/64", i+1, j), 0, 60))
		}
		l.heard.routers.hear(mustParse(t, netip.MustParseAddr(fmt.Sprintf("fe80::%x%%eth0", i%100+0x100)), ra), now)
	}
	after := holdings(l, now)
	for _, what := range before {
		if !slices.Contains(after, what) {
			t.Errorf("%q is gone", what)
		}
	}
	w := l.want(now)
	if len(l.heard.routers) > maxRouters || len(w.addresses) > maxRouters*maxPrefixes ||
		len(w.routes) > maxRouters*(maxPrefixes+maxRoutes+1) {
		t.Errorf("there are %d routers, %d addresses and %d routes", len(l.heard.routers), len(w.addresses),
			len(w.routes))
	}
	// When nothing of them is valid any more, other routers count again.
	if late := now.Add(time.Hour / 4); !l.heard.routers.hear(mustParse(t, routerB, good), late) {
		t.Error("the crowd keeps its place")
	}
}

// TestManyRoutes checks that a router may announce its 76 routes in two messages.
func TestManyRoutes(t *testing.T) {
	now := time.Now()
	l := testLink(t, "")
	for half := range 2 {
		ra := raw.RA{Lifetime: 1800}
		for i := range 38 {
			ra.Options = append(ra.Options, raw.RIO(fmt.Sprintf("2001:db8:%x::/48", half*38+i+1), 0, 600))
		}
		l.heard.routers.hear(mustParse(t, routerA, ra), now)
	}
	if n := len(l.want(now).routes); n != 77 {
		t.Errorf("there are %d routes, want 77", n)
	}
}

// TestHopLimitAndMTU checks the hop limit and the MTU if several routers say different things.
func TestHopLimitAndMTU(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name string
		said []spoken
		hops uint8
		mtu  int
	}{
		{"nothing", nil, 0, 0},
		{"nothing said", []spoken{{0, routerA, raw.RA{}}}, 0, 0},
		{"said", []spoken{{0, routerA, raw.RA{HopLimit: 32, Options: [][]byte{raw.MTU(1400)}}}}, 32, 1400},
		{"said once", []spoken{{0, routerA, raw.RA{HopLimit: 32, Options: [][]byte{raw.MTU(1400)}}}, {0, routerA,
			raw.RA{}}}, 32, 1400},
		{"said again", []spoken{{0, routerA, raw.RA{HopLimit: 32, Options: [][]byte{raw.MTU(1400)}}}, {0,
			routerA, raw.RA{HopLimit: 16, Options: [][]byte{raw.MTU(1500)}}}}, 16, 1500},
		{"more than the link's", []spoken{{0, routerA, raw.RA{Options: [][]byte{raw.MTU(1501)}}}}, 0, 0},
		{"no more, after all", []spoken{{0, routerA, raw.RA{Options: [][]byte{raw.MTU(1400)}}}, {0, routerA,
			raw.RA{Options: [][]byte{raw.MTU(9000)}}}}, 0, 0},
		{"two routers", []spoken{{0, routerA, raw.RA{HopLimit: 99, Options: [][]byte{raw.MTU(1400)}}}, {0,
			routerB, raw.RA{HopLimit: 1, Options: [][]byte{raw.MTU(1300)}}}}, 99, 1300},
		{"one that leaves it open", []spoken{{0, routerA, raw.RA{}}, {0, routerB, raw.RA{HopLimit: 1}}}, 64, 0},
	} {
		var rs routers
		for _, h := range tt.said {
			rs.hear(mustParse(t, h.router, h.ra), now)
		}
		if hops, mtu := rs.hopLimit(64), rs.mtu(1500); hops != tt.hops || mtu != tt.mtu {
			t.Errorf("%s: hop limit %d, MTU %d; want %d and %d", tt.name, hops, mtu, tt.hops, tt.mtu)
		}
	}
}

// TestLinkMTU checks that a link with IPv6 gets an MTU that is large enough for it.
func TestLinkMTU(t *testing.T) {
	for _, tt := range []struct {
		file        string
		asked, want int
	}{
		{"", 0, 0}, {"", 576, 1280}, {"", 1279, 1280}, {"", 1280, 1280}, {"", 9000, 9000},
		{"[Network]\nLinkLocalAddressing=no\n", 576, 576},
		{"[Network]\nLinkLocalAddressing=ipv4\n", 576, 576},
		{"[Network]\nLinkLocalAddressing=no\nAddress=2001:db8::1/64\n", 576, 1280},
		{"[Network]\nLinkLocalAddressing=no\nAddress=192.0.2.1/24\nGateway=192.0.2.2\n", 576, 576},
		{"[Network]\nLinkLocalAddressing=no\nGateway=fe80::1\n", 576, 1280},
		{"[Network]\nLinkLocalAddressing=no\n[Route]\nDestination=2001:db8::/32\nType=unreachable\n", 576, 1280},
		{"[Network]\nLinkLocalAddressing=no\n[Neighbor]\nAddress=2001:db8::1\nLinkLayerAddress=02:00:00:00:00:09\n",
			576, 1280},
		{"[Network]\nBond=b0\n", 576, 576}, {"[Network]\nBridge=b0\n", 576, 576},
		{"[Network]\nIPv6MTUBytes=1400\n", 576, 1400}, {"[Network]\nIPv6MTUBytes=1400\n", 1450, 1450},
	} {
		if got := linkMTU(testLink(t, tt.file).conf, tt.asked); got != tt.want {
			t.Errorf("with %q an MTU of %d becomes %d, want %d", tt.file, tt.asked, got, tt.want)
		}
	}
}

// TestResolvConf checks that resolv.conf follows what is known, even if nothing is left, and that an existing file
// stays until something is known.
func TestResolvConf(t *testing.T) {
	now := time.Now()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte("nameserver 192.0.2.99\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := testLink(t, "[IPv6AcceptRA]\nUseDomains=yes\n")
	l.flags = unix.IFF_UP | unix.IFF_LOWER_UP
	m := &Manager{ResolvConf: path, links: map[int]*link{1: l}, online: make(chan struct{})}
	for _, step := range []struct {
		name  string
		after time.Duration
		ra    *raw.RA
		want  string
	}{
		{"nothing known", 0, nil, "nameserver 192.0.2.99\n"},
		{"servers and domains", 0, &raw.RA{Options: [][]byte{raw.RDNSS(100, "2001:db8::53", "2001:db8::54"),
			raw.DNSSL(200, "a.example")}}, "nameserver 2001:db8::53\nnameserver 2001:db8::54\n" +
			"options timeout:2\nsearch a.example\n"},
		{"a server withdrawn", time.Second, &raw.RA{Options: [][]byte{raw.RDNSS(0, "2001:db8::53")}},
			"nameserver 2001:db8::54\nsearch a.example\n"},
		{"servers ended", 100 * time.Second, nil, "search a.example\n"},
		{"domains ended", 200 * time.Second, nil, ""},
		{"a server again", 201 * time.Second, &raw.RA{Options: [][]byte{raw.RDNSS(100, "2001:db8::55")}},
			"nameserver 2001:db8::55\n"},
	} {
		if step.ra != nil {
			l.heard.routers.hear(mustParse(t, routerA, *step.ra), now.Add(step.after))
		}
		l.wanted = l.want(now.Add(step.after))
		m.report(now.Add(step.after))
		b, err := os.ReadFile(path)
		if err != nil || string(b) != step.want {
			t.Errorf("%s: resolv.conf is %q (%v), want %q", step.name, b, err, step.want)
		}
	}
}

// TestResolvConfLines checks that only valid names get into resolv.conf.
func TestResolvConfLines(t *testing.T) {
	a := mustParse(t, routerA, raw.RA{Options: [][]byte{raw.DNSSL(600, "good.example", "bad\nnameserver 6")}})
	var names []string
	for _, s := range a.search {
		names = append(names, s.what)
	}
	if got := strings.Join(names, ","); got != "good.example" {
		t.Errorf("the domains are %q", got)
	}
}
