package network

import (
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/network/raw"
	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// leases returns a kernel whose links lead to a DHCPv4 server, which gives a router and a name server.
func leases(links int) func() *fakeKernel {
	return func() *fakeKernel {
		k := newKernel(links)
		k.dhcp4.on, k.dhcp4.lease = true, 3600
		k.dhcp4.options = []dhcpv4.Option{dhcpv4.OptRouter(net.IPv4(10, 0, 0, 1)), dhcpv4.OptDNS(net.IPv4(10, 0, 0, 3))}
		return k
	}
}

func silent(links int) func() *fakeKernel { return func() *fakeKernel { return newKernel(links) } }

// routed returns a kernel whose link leads to a router.
func routed(ra raw.RA) func() *fakeKernel {
	return func() *fakeKernel {
		k := newKernel(1)
		k.router.ra = &ra
		return k
	}
}

var (
	prefix1 = raw.PIO("2001:db8:1::/64", raw.OnLink|raw.Autonomous, 7200, 3600)
	rdnss   = raw.RDNSS(7200, "2001:db8::53")
)

// TestOnline checks when a machine counts as online, and what is said if it never does.
func TestOnline(t *testing.T) {
	static := "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.2/24\nLinkLocalAddressing=no\n"
	for _, tt := range []struct {
		name     string
		kernel   func() *fakeKernel
		files    map[string]string
		from, to time.Duration // when it is online
		err      string        // otherwise; a regular expression
	}{
		{"a lease", leases(1), nil, 0, time.Second, ""},
		{"a router", routed(raw.RA{Lifetime: 1800, Options: [][]byte{prefix1, rdnss}}), nil,
			2 * time.Second, 3 * time.Second, ""}, // the link-local address is checked for a second, then the other
		{"a static address and nothing else to wait for", silent(1), map[string]string{"a.network": static}, 0,
			time.Second, ""},
		{"a static address with all that is needed", silent(1),
			map[string]string{"a.network": static + "Gateway=192.0.2.1\nDNS=192.0.2.3\nDHCP=ipv4\n"}, 0, time.Second,
			""},
		{"a static address while a server is still waited for", silent(1),
			map[string]string{"a.network": static + "DHCP=ipv4\n"}, settle, settle + time.Second, ""},
		{"no name server while a router is still waited for", func() *fakeKernel {
			k := leases(1)()
			k.dhcp4.options = k.dhcp4.options[:1]
			k.router.ra = nil
			return k
		}, map[string]string{"a.network": "[Match]\nName=eth0\n[Network]\nDHCP=yes\n"}, 0, time.Second, ""},
		{"a lease without a router beside a router's silence on another link", func() *fakeKernel {
			k := leases(2)()
			k.dhcp4.options = nil
			k.cable(2, true)
			return k
		}, map[string]string{
			"a.network": "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n",
			"b.network": "[Match]\nName=eth1\n[Network]\nIPv6AcceptRA=yes\n",
		}, settle, settle + 2*time.Second, ""},
		{"not required", silent(1), map[string]string{"a.network": static + "[Link]\nRequiredForOnline=no\n"}, 0, 0,
			"a.network says RequiredForOnline=no"},
		{"nobody answers", silent(1), nil, 0, 0,
			"no answer to DHCP in (59|60) s and no router's advertisement in (58|59) s"},
		{"no cable", func() *fakeKernel {
			k := newKernel(1)
			k.cable(1, false)
			return k
		}, nil, 0, 0, "no carrier, is the cable in"},
		{"no file", silent(1), map[string]string{"a.network": "[Match]\nName=nobody\n[Network]\nDHCP=yes\n"}, 0, 0,
			"no .network file fits it"},
		{"left alone", silent(1), map[string]string{"a.network": "[Match]\nName=eth0\n[Link]\nUnmanaged=yes\n"}, 0, 0,
			"left alone by a.network"},
		{"left down", silent(1), map[string]string{"a.network": static + "[Link]\nActivationPolicy=down\n"}, 0, 0,
			"left down by ActivationPolicy=down in a.network"},
		{"no address in the file", silent(1),
			map[string]string{"a.network": "[Match]\nName=eth0\n[Network]\nLinkLocalAddressing=no\n"}, 0, 0,
			"a.network gives it no address"},
		{"a member of a bridge", silent(1), map[string]string{
			"a.network": "[Match]\nName=eth0\n[Network]\nBridge=br\n", "br.netdev": "[NetDev]\nName=br\nKind=bridge\n",
		}, 0, 0, "member of br"},
		{"a router without a prefix", routed(raw.RA{Lifetime: 1800}),
			map[string]string{"a.network": "[Match]\nName=eth0\n[Network]\nIPv6AcceptRA=yes\n"}, 0, 0,
			"no usable router's advertisement in"},
		{"a router that sends to a DHCPv6 server which is silent", routed(raw.RA{Flags: 0x80, Lifetime: 1800}),
			map[string]string{"a.network": "[Match]\nName=eth0\n[Network]\nIPv6AcceptRA=yes\n"}, 0, 0,
			"no answer to DHCPv6 in"},
		{"a gateway that nothing leads to", silent(1),
			map[string]string{"a.network": static + "Gateway=198.51.100.1\n"}, 0, 0,
			"cannot set the route default via 198.51.100.1: network is unreachable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.kernel, tt.files, func(t *testing.T, m *testManager, k *fakeKernel) {
				took, err := m.up(time.Minute)
				switch {
				case tt.err == "" && (err != nil || took < tt.from || took > tt.to):
					t.Errorf("online after %v (%v), want %v to %v", took, err, tt.from, tt.to)
				case tt.err != "" && (err == nil || !regexp.MustCompile(tt.err).MatchString(err.Error())):
					t.Errorf("after %v: %v, want %q", took, err, tt.err)
				}
			})
		})
	}
}

// TestDuplicateAddress checks that an IPv6 address is used only after duplicate address detection, and never if
// another machine has it.
func TestDuplicateAddress(t *testing.T) {
	files := map[string]string{"a.network": "[Match]\nName=eth0\n[Network]\nAddress=2001:db8::7/64\nIPv6AcceptRA=no\n"}
	inBubble(t, silent(1), files, func(t *testing.T, m *testManager, k *fakeKernel) {
		if took := m.mustUp(time.Minute); took < time.Second || took > 2*time.Second {
			t.Errorf("online after %v, want a second for duplicate address detection", took)
		}
	})
	taken := func() *fakeKernel {
		k := newKernel(1)
		k.taken[netip.MustParseAddr("2001:db8::7")] = true
		return k
	}
	inBubble(t, taken, files, func(t *testing.T, m *testManager, k *fakeKernel) {
		const want = "its address is not confirmed to be free yet"
		if _, err := m.up(time.Minute); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with another machine's address: %v, want %q", err, want)
		}
	})
}

// TestCarrier checks that a short loss of the carrier changes nothing, that a long one removes what was set, and that
// everything comes back with the carrier.
func TestCarrier(t *testing.T) {
	inBubble(t, leases(1), nil, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.mustUp(time.Minute)
		full := []string{"10.0.0.5/24", "10.0.0.1/32", "10.0.0.3/32", "default via 10.0.0.1"}
		check := func(when string, want []string, resolv string) {
			t.Helper()
			if diff := cmp.Diff(want, k.has(1)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
			if got := m.resolvConf(); got != resolv {
				t.Errorf("%s resolv.conf has %q, want %q", when, got, resolv)
			}
		}
		pass(0)
		check("with the lease", full, "nameserver 10.0.0.3\n")
		k.cable(1, false)
		pass(2 * time.Second)
		check("2 s without a carrier", full, "nameserver 10.0.0.3\n")
		k.cable(1, true)
		pass(10 * time.Second)
		check("with the carrier again", full, "nameserver 10.0.0.3\n")
		if n := len(k.dhcp4.questions()); n != 2 {
			t.Errorf("the server was asked %q: a short loss is no new beginning", k.dhcp4.questions())
		}
		k.cable(1, false)
		pass(5 * time.Second)
		check("5 s without a carrier", nil, "")
		if s := m.State()[0]; s.Carrier || s.Usable || s.Leased || len(s.Gateways) > 0 {
			t.Errorf("without a carrier the state is %+v", s)
		}
		k.cable(1, true)
		pass(2 * time.Second)
		check("with the cable back", full, "nameserver 10.0.0.3\n")
	})
}

// TestCarrierlessAddress checks that ConfigureWithoutCarrier=yes sets addresses at once and keeps them.
func TestCarrierlessAddress(t *testing.T) {
	kernel := func() *fakeKernel {
		k := newKernel(1)
		k.cable(1, false)
		return k
	}
	inBubble(t, kernel, map[string]string{
		"a.network": "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.2/24\nDNS=192.0.2.3\n" +
			"ConfigureWithoutCarrier=yes\n",
	}, func(t *testing.T, m *testManager, k *fakeKernel) {
		if _, err := m.up(10 * time.Second); err == nil {
			t.Error("a machine without a carrier counts as online")
		}
		if diff := cmp.Diff([]string{"192.0.2.2/24"}, k.has(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := m.resolvConf(); got != "nameserver 192.0.2.3\n" {
			t.Errorf("resolv.conf has %q", got)
		}
	})
}

// TestSecondLink checks that a link which comes after the machine is online is used too, and that its removal is
// reported.
func TestSecondLink(t *testing.T) {
	inBubble(t, leases(1), nil, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.mustUp(time.Minute)
		k.plug(2, netconf.Device{Name: "usb0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, Type: "ether"})
		pass(3 * time.Second)
		if s := m.State(); len(s) != 2 || !s[1].Usable || s[1].Name != "usb0" {
			t.Errorf("the states are %+v", s)
		}
		k.mu.Lock()
		delete(k.devices, 2)
		k.mu.Unlock()
		pass(2 * time.Second)
		if s := m.State(); len(s) != 1 || m.says("usb0: gone") != 1 {
			t.Errorf("the states are %+v; it says %q", s, m.said)
		}
	})
}

// TestListFails checks that a kernel that does not list its links is reported once, that the loop waits before it
// asks again, and that a link that a partial list lacks is kept.
func TestListFails(t *testing.T) {
	inBubble(t, leases(1), nil, func(t *testing.T, m *testManager, k *fakeKernel) {
		looks := &countingKernel{fakeKernel: k}
		m.kernel = looks
		m.mustUp(time.Minute)
		fail := func(err error) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.lookErr = err
		}
		fail(unix.ENOMEM)
		pass(time.Millisecond)
		before := looks.n()
		pass(20 * time.Second)
		if n := looks.n() - before; n < 15 || n > 25 {
			t.Errorf("it looked %d times in 20 s, want once a second", n)
		}
		if n := m.says("cannot list the network links: cannot allocate memory"); n != 1 {
			t.Errorf("it is said %d times: %q", n, m.said)
		}
		fail(nil)
		pass(2 * time.Second)
		fail(unix.ENOMEM)
		pass(2 * time.Second)
		if n := m.says("cannot list the network links"); n != 2 {
			t.Errorf("a failure after it had worked is said %d times in all: %q", n, m.said)
		}
		fail(interrupted)
		k.mu.Lock()
		eth0 := k.devices[1]
		delete(k.devices, 1)
		k.mu.Unlock()
		pass(5 * time.Second)
		k.mu.Lock()
		k.devices[1] = eth0
		k.mu.Unlock()
		fail(nil)
		pass(5 * time.Second)
		if m.says("gone") > 0 || len(k.dhcp4.questions()) != 2 {
			t.Errorf("a link that an interrupted list lacks was given up: it says %q and asks %q", m.said,
				k.dhcp4.questions())
		}
	})
}

// TestNoWatch checks the error when the kernel's links cannot be followed.
func TestNoWatch(t *testing.T) {
	m := &Manager{kernel: noWatch{}}
	if err := m.Up(t.Context()); err == nil || err.Error() != "cannot follow the kernel's links: no buffers" {
		t.Errorf("%v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

var errNoBuffers = errors.New("no buffers")
