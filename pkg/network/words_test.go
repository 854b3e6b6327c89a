package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func card(name string, last byte) LinkState {
	return LinkState{Name: name, Driver: "e1000e", MAC: net.HardwareAddr{2, 0, 0, 0, 0, last}, MTU: 1500}
}

// TestNews checks what is printed about a link that gets more after the first line about it.
func TestNews(t *testing.T) {
	four := card("eth0", 1)
	four.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.5/24")}
	four.Gateways = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	four.DNS = []netip.Addr{netip.MustParseAddr("192.0.2.3")}
	four.Servers = []string{"DHCP server 192.0.2.2"}
	both := four
	both.Addresses = append(both.Addresses[:1:1], netip.MustParsePrefix("2001:db8::5/64"))
	both.Gateways = append(both.Gateways[:1:1], netip.MustParseAddr("fe80::1"))
	both.Servers = append(both.Servers[:1:1], "router fe80::1")
	six := both
	six.Addresses, six.Gateways, six.Servers, six.DNS = six.Addresses[1:], six.Gateways[1:], six.Servers[1:], nil
	large := both
	large.MTU = 9000
	large.Problem = "cannot set the group: no"
	renamed := four
	renamed.Name = "lan0"
	for _, tt := range []struct {
		what      string
		told, now LinkState
		want      string
	}{
		{"first", LinkState{}, four,
			"eth0 (e1000e, 02:00:00:00:00:01): 192.0.2.5/24, gateway 192.0.2.1, DNS 192.0.2.3, from DHCP server " +
				"192.0.2.2"},
		{"nothing", four, four, ""},
		{"more", four, both, "eth0 now has 2001:db8::5/64, gateway fe80::1, from router fe80::1"},
		{"less", both, six, "eth0 has lost 192.0.2.5/24, gateway 192.0.2.1, DNS 192.0.2.3, from DHCP server 192.0.2.2"},
		{"else", four, six, "eth0 now has 2001:db8::5/64, gateway fe80::1, from router fe80::1 and has lost " +
			"192.0.2.5/24, gateway 192.0.2.1, DNS 192.0.2.3, from DHCP server 192.0.2.2"},
		{"settings", both, large, "eth0 now has MTU 9000, cannot set the group: no"},
		{"settings again", large, both, "eth0 now has MTU 1500"},
		{"another name", four, renamed,
			"lan0 (e1000e, 02:00:00:00:00:01): 192.0.2.5/24, gateway 192.0.2.1, DNS 192.0.2.3, from DHCP server " +
				"192.0.2.2"},
	} {
		if got := tt.now.news(tt.told); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, got, tt.want)
		}
	}
}

func TestOffline(t *testing.T) {
	with := func(s LinkState, problem string, final bool) LinkState {
		s.Problem, s.Final = problem, final
		return s
	}
	virtual := func(kind string, final bool) LinkState { return LinkState{Name: kind + "0", Kind: kind, Final: final} }
	const noCarrier, noFile = "no carrier, is the cable in and the other end on?", "no .network file fits it"
	usable := card("eth0", 1)
	usable.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.5/24")}
	usable.Gateways = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	usable.Config, usable.Final = "lan", true
	for _, tt := range []struct {
		what     string
		links    []LinkState
		want     string
		hopeless bool
	}{
		{"none", nil, "no network interface was found: is the driver of the network card there?", true},
		{"cables", []LinkState{with(card("eth0", 1), noCarrier, false), with(card("eth1", 2), noCarrier, false)},
			"eth0 (e1000e, 02:00:00:00:00:01), eth1 (e1000e, 02:00:00:00:00:02): " + noCarrier, false},
		{"no file", []LinkState{with(card("eth0", 1), noFile, true), with(card("eth1", 2), noFile, true)},
			"eth0 (e1000e, 02:00:00:00:00:01), eth1 (e1000e, 02:00:00:00:00:02): " + noFile, true},
		{"a file for one", []LinkState{with(card("eth0", 1), noFile, true), with(card("eth1", 2), noCarrier, false)},
			"eth0 (e1000e, 02:00:00:00:00:01): " + noFile + "; eth1 (e1000e, 02:00:00:00:00:02): " + noCarrier, false},
		{"not counted", []LinkState{usable},
			"eth0 (e1000e, 02:00:00:00:00:01): 192.0.2.5/24, gateway 192.0.2.1, lan.network says " +
				"RequiredForOnline=no", true},
		{"port of a bond", []LinkState{with(card("eth0", 1), "member of bond0", true),
			with(virtual("bond", false), noCarrier, false)},
			"eth0 (e1000e, 02:00:00:00:00:01): member of bond0; bond0: " + noCarrier, false},
		{"a bond of nothing", []LinkState{with(virtual("bond", false), noCarrier, false)}, "bond0: " + noCarrier, true},
		{"a tunnel of the kernel's", []LinkState{with(virtual("sit", true), noFile, true)}, "sit0: " + noFile, true},
		{"end of a container's cable", []LinkState{with(virtual("veth", false), noCarrier, false)},
			"veth0: " + noCarrier, false},
	} {
		e := &Offline{Links: tt.links, cause: context.DeadlineExceeded}
		if got := e.Error(); got != "no network link can reach out: "+tt.want {
			t.Errorf("%s: %q, want …%q", tt.what, got, tt.want)
		}
		if e.Hopeless() != tt.hopeless {
			t.Errorf("%s: hopeless is %v, want %v", tt.what, e.Hopeless(), tt.hopeless)
		}
		if !errors.Is(e, context.DeadlineExceeded) {
			t.Errorf("%s: its cause is lost", tt.what)
		}
	}
}

// The reason that a server gives for a refusal is cut to one short line.
func TestBecause(t *testing.T) {
	for message, want := range map[string]string{"": "", "no": `: "no"`, "a\x1b[2J\nb": `: "a [2J b"`} {
		if got := because(message); got != want {
			t.Errorf("because(%q) = %q, want %q", message, got, want)
		}
	}
	if got := because(strings.Repeat("much ", 1<<14)); len(got) > 300 {
		t.Errorf("of 80 kB become %d", len(got))
	}
}
