package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/ndp"

	"gitlab.com/wyrcan/wyrcan/integration/network/raw"
)

var routerA, routerB = netip.MustParseAddr("fe80::a%eth0"), netip.MustParseAddr("fe80::b%eth0")

// says returns what an advertisement says, one line for each thing.
func says(a advert) string {
	var lines []string
	for _, p := range a.prefixes {
		line := fmt.Sprintf("prefix %v %v %v", p.prefix, p.valid, p.preferred)
		if p.onLink {
			line += " on-link"
		}
		if p.autonomous {
			line += " autonomous"
		}
		lines = append(lines, line)
	}
	for _, r := range a.routes {
		lines = append(lines, fmt.Sprintf("route %v %d %v", r.what, r.preference, r.lifetime))
	}
	for _, s := range a.dns {
		lines = append(lines, fmt.Sprintf("dns %v %v", s.what, s.lifetime))
	}
	for _, s := range a.search {
		lines = append(lines, fmt.Sprintf("search %v %v", s.what, s.lifetime))
	}
	if a.mtu != 0 {
		lines = append(lines, fmt.Sprintf("mtu %d", a.mtu))
	}
	return strings.Join(lines, "\n")
}

func mustParse(t testing.TB, router netip.Addr, ra raw.RA) advert {
	t.Helper()
	a, err := parseAdvert(ra.Bytes(), router)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestOptions checks that each option is accepted or skipped by itself: good options stand before and after each
// case.
func TestOptions(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	var sixteen []string
	for i := range 16 {
		sixteen = append(sixteen, fmt.Sprintf("2001:db8::%x", i+1))
	}
	for _, tt := range []struct {
		name   string
		option []byte
		want   string
	}{
		{"DNSSL with padding that is not zero", raw.Hex("1f03 0000 00000258 036c616e 076578616d706c6500 206e65"), ""},
		{"DNSSL with padding that is a name",
			raw.Hex("1f03 0000 00000258 036c616e 00 076578616d706c65 00 00 00"),
			"search lan 10m0s\nsearch example 10m0s"},
		{"DNSSL of the header alone", raw.Hex("1f01 0000 00000258"), ""},
		{"DNSSL of the root", raw.Hex("1f02 0000 00000258 0000000000000000"), ""},
		{"DNSSL without an end", raw.Hex("1f02 0000 00000258 07616161616161 61"), ""},
		{"DNSSL that ends in a name", raw.Hex("1f02 0000 00000258 036c616e 00 026161"), ""},
		{"DNSSL compressed", raw.Hex("1f02 0000 00000258 036c616e c008 0000"), ""},
		{"DNSSL with a dot in a label", raw.Hex("1f02 0000 00000258 03612e62 00 016300"), "search c 10m0s"},
		{"DNSSL with a line in a label", raw.Hex("1f02 0000 00000258 03610a62 00 016300"), "search c 10m0s"},
		{"DNSSL international", raw.DNSSL(600, "xn--bcher-kva.example"), "search xn--bcher-kva.example 10m0s"},
		{"DNSSL of 256 bytes and more", raw.DNSSL(600, label63+"."+label63, label63+"."+label63+"."+label63),
			"search " + label63 + "." + label63 + " 10m0s\nsearch " + label63 + "." + label63 + "." + label63 +
				" 10m0s"},
		{
			"DNSSL of the machine itself",
			raw.DNSSL(600, "localhost", "a.Localhost", "localhost.localdomain", "mylocalhost", "localhost.example"),
			"search mylocalhost 10m0s\nsearch localhost.example 10m0s",
		},
		{"DNSSL without end", raw.DNSSL(0xffffffff, "lan"), "search lan " + ndp.Infinity.String()},
		{"RDNSS without an address", raw.Hex("1901 0000 00000258"), ""},
		{"RDNSS of even length", raw.Hex("1902 0000 00000258 20010db800000000"), ""},
		{"RDNSS of one address and a half",
			raw.Hex("1904 0000 00000258 20010db8000000000000000000000001 20010db800000000"), ""},
		{"RDNSS that nobody can ask", raw.RDNSS(600, "::", "ff02::1", "::1", "2001:db8::53"), "dns 2001:db8::53 10m0s"},
		{"RDNSS on the link", raw.RDNSS(600, "fe80::53"), "dns fe80::53%eth0 10m0s"},
		{"RDNSS of 256 bytes and more", raw.RDNSS(600, sixteen...), "dns " + strings.Join(sixteen,
			" 10m0s\ndns ") + " 10m0s"},
		{"link-layer address of 16 bytes", raw.Hex("0102 80000048fe80 0002c90300a1b2c3"), ""},
		{"link-layer address of 24 bytes", raw.Hex("0103 80000048fe80 0002c90300a1b2c3 0000000000000000"), ""},
		{"link-layer address of nobody", raw.Hex("0101 000000000000"), ""},
		{"target link-layer address", raw.Hex("0202 000000000000 0000000000000000"), ""},
		{"PREF64 with a bad length code", raw.Hex("2602 0007 0064ff9b0000000000000000"), ""},
		{"PREF64 too short", raw.Hex("2601 0000 0064ff9b"), ""},
		{"PREF64", raw.Hex("2602 0708 0064ff9b0000000000000000"), ""},
		{"RIO with the reserved preference", raw.RIO("2001:db8:f::/48", 2, 600), ""},
		{"RIO too short for its prefix", raw.Hex("1801 4000 00000258"), ""},
		{"RIO of /65 in 16 bytes", raw.Hex("1802 4100 00000258 20010db800000000"), ""},
		{"RIO of /129", raw.Hex("1803 8100 00000258 20010db8000000000000000000000001"), ""},
		{"RIO of 32 bytes", raw.Hex("1804 3000 00000258 20010db8000f0000 0000000000000000 0000000000000000"), ""},
		{"RIO longer than its prefix needs", raw.Hex("1803 3008 00000258 20010db8000f0000 0000000000000000"),
			"route 2001:db8:f::/48 1 10m0s"},
		{"RIO of everything", raw.Hex("1801 0018 00000258"), "route ::/0 3 10m0s"},
		{"MTU below IPv6's", raw.MTU(1279), ""},
		{"MTU of 16 bytes", raw.Hex("0502 0000 00000578 0000000000000000"), ""},
		{"MTU that is immense", raw.MTU(0xffffffff), ""},
		{"MTU", raw.MTU(1400), "mtu 1400"},
		{"PIO too short", raw.Hex("0303 40c0 00000258 00000258 00000000 20010db800010000"), ""},
		{"PIO too long",
			append(raw.Hex("0305 40c0 00000258 00000258 00000000 20010db8000100000000000000000000"), make([]byte,
				8)...), ""},
		{"PIO of /129", raw.Hex("0304 81c0 00000258 00000258 00000000 20010db8000100000000000000000000"), ""},
		{"PIO preferred for too long", raw.PIO("2001:db8:9::/64", raw.OnLink|raw.Autonomous, 600, 601), ""},
		{"PIO of the link", raw.PIO("fe80::/64", raw.OnLink|raw.Autonomous, 600, 600), ""},
		{"PIO of the link by its first bits", raw.PIO("fe80::/9", raw.OnLink, 600, 600), ""},
		{"PIO of everything", raw.PIO("::/0", raw.OnLink, 600, 600), ""},
		{"PIO of groups", raw.PIO("ff0e::/64", raw.OnLink|raw.Autonomous, 600, 600), ""},
		{"PIO that leaves no room for an identifier", raw.PIO("2001:db8:9::/65", raw.OnLink|raw.Autonomous, 600,
			600), "prefix 2001:db8:9::/65 10m0s 10m0s on-link"},
		{"PIO that leaves too much room for one", raw.PIO("2001:db8:9::/60", raw.OnLink|raw.Autonomous, 600,
			600), "prefix 2001:db8:9::/60 10m0s 10m0s on-link"},
		{"PIO with bits after the prefix", raw.PIO("2001:db8:9::1/64", raw.Autonomous, 600, 0),
			"prefix 2001:db8:9::/64 10m0s 0s autonomous"},
		{"type 0", raw.Option(0, nil), ""},
		{"unknown", raw.Option(253, make([]byte, 30)), ""},
		{"captive portal without a name", raw.Hex("2501 000000000000"), ""},
		{"nonce", raw.Hex("0e01 010203040506"), ""},
		{"route over two", slices.Concat(raw.RIO("2001:db8:f::/48", 2, 600), raw.Hex("1901 0000 00000258")), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := mustParse(t, routerA, raw.RA{Options: [][]byte{
				raw.PIO("2001:db8:1::/64", raw.OnLink|raw.Autonomous, 600, 300), tt.option,
				raw.PIO("2001:db8:2::/64", raw.OnLink, 600, 300),
			}})
			if len(a.prefixes) < 2 {
				t.Fatalf("the other options are lost: %s", says(a))
			}
			last := len(a.prefixes) - 1
			first, second := a.prefixes[0].prefix.String(), a.prefixes[last].prefix.String()
			if first != "2001:db8:1::/64" || second != "2001:db8:2::/64" {
				t.Errorf("the other options are %s and %s", first, second)
			}
			a.prefixes = a.prefixes[1:last]
			if diff := cmp.Diff(tt.want, says(a)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoAdvert checks which messages are refused as a whole.
func TestNoAdvert(t *testing.T) {
	good := raw.PIO("2001:db8:1::/64", raw.OnLink|raw.Autonomous, 600, 300)
	for name, b := range map[string][]byte{
		"nothing":                              nil,
		"short":                                raw.RA{}.Bytes()[:15],
		"another type":                         append([]byte{133}, raw.RA{}.Bytes()[1:]...),
		"another code":                         raw.RA{Code: 1}.Bytes(),
		"an option of length 0":                raw.RA{Options: [][]byte{good, raw.Hex("0300 000000000000")}}.Bytes(),
		"an option of length 0 before":         raw.RA{Options: [][]byte{raw.Hex("fd00 000000000000"), good}}.Bytes(),
		"an option that ends after the packet": raw.RA{Options: [][]byte{good, raw.Hex("1904 0000 00000258")}}.Bytes(),
		"one byte at the end":                  append(raw.RA{Options: [][]byte{good}}.Bytes(), 1),
		"seven bytes at the end":               append(raw.RA{Options: [][]byte{good}}.Bytes(), 1, 1, 0, 0, 0, 0, 0),
	} {
		if a, err := parseAdvert(b, routerA); err == nil {
			t.Errorf("%s: it says %q", name, says(a))
		}
	}
	if a, err := parseAdvert(raw.RA{}.Bytes(), routerA); err != nil || says(a) != "" {
		t.Errorf("no option at all: %v, %q", err, says(a))
	}
}

// TestHeader checks the fields before the options.
func TestHeader(t *testing.T) {
	for _, tt := range []struct {
		ra   raw.RA
		want advert
	}{
		{raw.RA{}, advert{}},
		{raw.RA{HopLimit: 77, Flags: 0x80, Lifetime: 0xffff}, advert{hopLimit: 77, managed: true,
			lifetime: 65535 * time.Second}},
		{raw.RA{Flags: 0x40 | 0x08, Lifetime: 1},
			advert{other: true, preference: preferenceHigh, lifetime: time.Second}},
		{raw.RA{Flags: 0x18}, advert{preference: preferenceLow}},
		{raw.RA{Flags: 0x10}, advert{preference: preferenceMedium}},
	} {
		tt.want.router = routerA
		if got := mustParse(t, routerA, tt.ra); fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%+v is %+v, want %+v", tt.ra, got, tt.want)
		}
	}
}

// TestOddPrefixes checks prefixes of every length: no bit is lost, and bits after the prefix are ignored.
func TestOddPrefixes(t *testing.T) {
	all := netip.MustParseAddr("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	for bits := 1; bits <= 128; bits++ {
		sent := netip.PrefixFrom(all, bits)
		a := mustParse(t, routerA, raw.RA{Options: [][]byte{raw.RIO(sent.String(), 0, 600),
			raw.PIO(sent.String(), raw.OnLink, 600, 600)}})
		if len(a.routes) != 1 || a.routes[0].what != sent.Masked() {
			t.Errorf("the route to %v is read as %v", sent.Masked(), a.routes)
		}
		if bits < 3 {
			continue // only zeros are left of 3fff:…, which is no prefix for a link
		}
		if len(a.prefixes) != 1 || a.prefixes[0].prefix != sent.Masked() {
			t.Errorf("the prefix %v is read as %v", sent.Masked(), a.prefixes)
		}
	}
	a := mustParse(t, routerA, raw.RA{Options: [][]byte{raw.RIO("2001:db8:0:f0::/60", 0, 600)}})
	if got := says(a); got != "route 2001:db8:0:f0::/60 0 10m0s" {
		t.Errorf("the advertisement says %q", got)
	}
}

// TestOneOfEach checks that the first counts if a message says something twice.
func TestOneOfEach(t *testing.T) {
	got := says(mustParse(t, routerA, raw.RA{Options: [][]byte{
		raw.PIO("2001:db8:1::/64", raw.OnLink, 600, 600), raw.PIO("2001:db8:1::1/64", raw.Autonomous, 60, 60),
		raw.MTU(1), raw.MTU(1400), raw.MTU(1500),
		raw.RIO("2001:db8:f::/48", 0, 600), raw.RIO("2001:db8:f::/48", 1, 60),
	}}))
	if want := "prefix 2001:db8:1::/64 10m0s 10m0s on-link\nroute 2001:db8:f::/48 0 10m0s\nmtu 1400"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	many := raw.RA{}
	for i := range 200 {
		many.Options = append(many.Options, raw.RIO(fmt.Sprintf("2001:db8:%x::/48", i), 0, 600))
	}
	if a := mustParse(t, routerA, many); len(a.routes) != maxOptions {
		t.Errorf("of 200 options %d are read, want %d", len(a.routes), maxOptions)
	}
}

// FuzzAdvert checks that no message crashes the parser, that it agrees with the ndp library where that can read the
// message, and that one router cannot take back what only another gave.
func FuzzAdvert(f *testing.F) {
	good := raw.RA{Lifetime: 1800, HopLimit: 64, Options: [][]byte{
		raw.PIO("2001:db8:1::/64", raw.OnLink|raw.Autonomous, 600, 300), raw.RIO("2001:db8:0:f0::/60", 1, 600),
		raw.RDNSS(600, "2001:db8::53"),
		raw.DNSSL(600, "lan.example"), raw.MTU(1400),
	}}
	f.Add(good.Bytes())
	f.Add(raw.RA{Options: [][]byte{raw.Hex("1f03 0000 00000258 036c616e 076578616d706c6500 206e65")}}.Bytes())
	f.Add(raw.RA{Options: [][]byte{raw.PIO("2001:db8:1::/64", raw.OnLink|raw.Autonomous, 0, 0), raw.RDNSS(0,
		"2001:db8::53"), raw.RIO("2001:db8:0:f0::/60", 1, 0)}}.Bytes())
	f.Add(raw.RA{Options: [][]byte{raw.Hex("0102 80000048fe80 0002c90300a1b2c3"),
		raw.Hex("2602 0007 0064ff9b0000000000000000")}}.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		now := time.Now()
		l := testLink(t, "[IPv6AcceptRA]\nUseDomains=yes\n")
		first := mustParse(t, routerA, good)
		l.heard.routers.hear(first, now)
		before := holdings(l, now)
		a, err := parseAdvert(b, routerB)
		if err != nil {
			return
		}
		agrees(t, b, a)
		l.heard.routers.hear(a, now)
		after := holdings(l, now)
		for _, what := range before {
			if !slices.Contains(after, what) {
				t.Errorf("one router takes %q away that another gave; %q is left", what, after)
			}
		}
		for _, addr := range l.want(now).addresses {
			addressRequest(0, 0, 1, &addr).Serialize()
		}
		for _, r := range l.want(now).routes {
			routeRequest(0, 0, 1, &r, now).Serialize()
		}
	})
}

// holdings returns what a link has from its routers, without the times when it ends.
func holdings(l *link, now time.Time) []string {
	var out []string
	w := l.want(now)
	for _, a := range w.addresses {
		out = append(out, fmt.Sprintf("address %v %v", a.prefix, a.lapsed))
	}
	for _, r := range w.routes {
		out = append(out, fmt.Sprintf("route %s %d", r.String(), r.metric))
	}
	return append(append(out, texts(w.names.dns)...), w.names.domains...)
}

// agrees checks that the ndp library reads the same message in the same way.
func agrees(t *testing.T, b []byte, a advert) {
	m, err := ndp.ParseMessage(b)
	if err != nil {
		return // the library refuses the whole message
	}
	ra := m.(*ndp.RouterAdvertisement)
	if ra.RouterLifetime != a.lifetime || ra.CurrentHopLimit != a.hopLimit || ra.ManagedConfiguration != a.managed ||
		int(ra.RouterSelectionPreference) != int(a.preference) {
		t.Errorf("the header is %+v, the library reads %+v", a, ra)
	}
	for i, o := range ra.Options {
		if i >= maxOptions {
			break
		}
		switch o := o.(type) {
		case *ndp.RouteInformation:
			whole := int(o.PrefixLength) / 8 * 8 // all that the library reads
			if !slices.ContainsFunc(a.routes, func(r advertPiece[netip.Prefix]) bool {
				return r.what.Bits() == int(o.PrefixLength) && netip.PrefixFrom(r.what.Addr(),
					whole).Masked().Addr() == netip.PrefixFrom(o.Prefix, whole).Masked().Addr()
			}) {
				t.Errorf("the route %v is not read: %s", o, says(a))
			}
		case *ndp.RecursiveDNSServer:
			for _, s := range o.Servers {
				read := advertPiece[netip.Addr]{what: s, lifetime: o.Lifetime}
				if s.IsGlobalUnicast() && !slices.Contains(a.dns, read) {
					t.Errorf("the server %v is not read: %s", s, says(a))
				}
			}
		}
	}
	if binary.BigEndian.Uint16(b[6:]) == 0 && a.lifetime != 0 {
		t.Errorf("a lifetime of zero is read as %v", a.lifetime)
	}
}
