package network

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"gitlab.com/wyrcan/wyrcan/integration/network/raw"
)

var onlyDHCP4 = map[string]string{
	"a.network": "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n",
}

// kinds returns the kinds of questions without the times, and of equal ones in a row the first.
func kinds(questions []string) []string {
	var out []string
	for _, q := range questions {
		kind, _, _ := strings.Cut(q, " at ")
		if len(out) == 0 || out[len(out)-1] != kind {
			out = append(out, kind)
		}
	}
	return out
}

// TestRenewal checks when a lease is extended, and which server is asked: RFC 2131 section 4.4.5.
func TestRenewal(t *testing.T) {
	const own = "request of 10.0.0.1"
	for _, tt := range []struct {
		name    string
		changes func(s *fakeServer4) // after the lease was given
		after   time.Duration
		asked   []string
		keeps   bool // whether it still has the lease
		says    string
	}{
		{"before T1", func(*fakeServer4) {}, 1799 * time.Second, []string{"discover", own}, true, ""},
		{"at T1", func(*fakeServer4) {}, 1801 * time.Second, []string{"discover", own, "renew"}, true, ""},
		{"for hours", func(*fakeServer4) {}, 3 * time.Hour, []string{"discover", own, "renew"}, true, ""},
		{"silent until T2", func(s *fakeServer4) { s.ignores = map[string]bool{"renew": true} }, 3151 * time.Second,
			[]string{"discover", own, "renew", "rebind"}, true, ""},
		{"silent until the end", func(s *fakeServer4) { s.on = false }, 3599 * time.Second,
			[]string{"discover", own, "renew", "rebind"}, true, ""},
		{"silent beyond the end", func(s *fakeServer4) { s.on = false }, 3604 * time.Second,
			[]string{"discover", own, "renew", "rebind", "discover"}, false, "the lease of 10.0.0.5 ran out"},
		{"not to be found", func(s *fakeServer4) { s.gone = true }, 1802 * time.Second,
			[]string{"discover", own, "rebind"}, true, ""},
		{"refused", func(s *fakeServer4) {
			s.refuses = map[string]bool{"renew": true}
			s.ignores = map[string]bool{"discover": true}
		},
			1804 * time.Second, []string{"discover", own, "renew", "discover"}, false,
			"server 10.0.0.1 took 10.0.0.5 back"},
		{"refused by its server when all are asked", func(s *fakeServer4) {
			s.refuses = map[string]bool{"rebind": true}
			s.ignores = map[string]bool{"renew": true, "discover": true}
		}, 3154 * time.Second, []string{"discover", own, "renew", "rebind", "discover"}, false, "took 10.0.0.5 back"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, leases(1), onlyDHCP4, func(t *testing.T, m *testManager, k *fakeKernel) {
				m.mustUp(time.Minute)
				k.dhcp4.set(tt.changes)
				pass(tt.after)
				if diff := cmp.Diff(tt.asked, kinds(k.dhcp4.questions())); diff != "" {
					t.Errorf("the server was asked (-want +got):\n%s", diff)
				}
				if has := slices.Contains(k.has(1), "10.0.0.5/24"); has != tt.keeps || m.State()[0].Leased != tt.keeps {
					t.Errorf("it has %q and state %+v", k.has(1), m.State()[0])
				}
				if tt.says != "" && m.says(tt.says) != 1 {
					t.Errorf("it says %q, want %q", m.said, tt.says)
				}
			})
		})
	}
}

// TestRenewalExtends checks that the kernel gets the new lifetime, and that options which a server omits in a renewal
// stay valid, as with Windows' server.
func TestRenewalExtends(t *testing.T) {
	inBubble(t, leases(1), onlyDHCP4, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.mustUp(time.Minute)
		k.dhcp4.set(func(s *fakeServer4) { s.options = nil })
		pass(2 * time.Hour)
		if n := k.did("eth0: set the address 10.0.0.5/24"); n < 4 {
			t.Errorf("the address was set %d times, want once for each lease", n)
		}
		if !slices.Contains(k.has(1), "default via 10.0.0.1") || m.resolvConf() != "nameserver 10.0.0.3\n" {
			t.Errorf("after renewals without options it has %q and resolv.conf %q", k.has(1), m.resolvConf())
		}
	})
}

// TestEndlessLease checks that a lease without a time is not extended.
func TestEndlessLease(t *testing.T) {
	kernel := func() *fakeKernel {
		k := leases(1)()
		k.dhcp4.lease = 0
		return k
	}
	inBubble(t, kernel, onlyDHCP4, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.mustUp(time.Minute)
		pass(5 * time.Hour)
		if q := kinds(k.dhcp4.questions()); len(q) != 2 || !m.State()[0].Leased {
			t.Errorf("it asks %q", q)
		}
	})
}

// TestQuestions checks how often a silent server is asked.
func TestQuestions(t *testing.T) {
	inBubble(t, silent(1), onlyDHCP4, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.up(time.Minute)
		if n := len(k.dhcp4.questions()); n < 7 || n > 12 {
			t.Errorf("in a minute it asked %d times: %q", n, k.dhcp4.questions())
		}
	})
}

// TestFailingServer checks that a server which does not confirm its offer does not block the others.
func TestFailingServer(t *testing.T) {
	kernel := func() *fakeKernel {
		k := leases(1)()
		k.dhcp4.more = []net.IP{net.IPv4(10, 0, 0, 66)}
		return k
	}
	inBubble(t, kernel, onlyDHCP4, func(t *testing.T, m *testManager, k *fakeKernel) {
		if took := m.mustUp(time.Minute); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		want := []string{"discover", "request of 10.0.0.66", "request of 10.0.0.1"}
		if diff := cmp.Diff(want, kinds(k.dhcp4.questions())); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
		k.cable(1, false)
		pass(5 * time.Second)
		if m.State()[0].Leased {
			t.Error("the lease outlives the cable")
		}
	})
	refusing := func() *fakeKernel {
		k := leases(1)()
		k.dhcp4.refuses = map[string]bool{"request": true}
		return k
	}
	inBubble(t, refusing, onlyDHCP4, func(t *testing.T, m *testManager, k *fakeKernel) {
		if _, err := m.up(20 * time.Second); err == nil || m.says("server 10.0.0.1 refused 10.0.0.5") != 1 {
			t.Errorf("%v; it says %q", err, m.said)
		}
	})
	silentAfterOffer := func() *fakeKernel {
		k := leases(1)()
		k.dhcp4.ignores = map[string]bool{"request": true}
		return k
	}
	attempts := map[string]string{"a.network": onlyDHCP4["a.network"] + "[DHCPv4]\nMaxAttempts=2\n"}
	inBubble(t, silentAfterOffer, attempts, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.up(2 * time.Minute)
		asked := k.dhcp4.questions()
		pass(time.Hour)
		if n := len(k.dhcp4.questions()); n != len(asked) || !slices.Contains(kinds(asked), "request of 10.0.0.1") {
			t.Errorf("after two attempts it goes on: %q", k.dhcp4.questions())
		}
	})
}

// TestNoSocket checks that a client which cannot open its socket says so once and tries again.
func TestNoSocket(t *testing.T) {
	kernel := func() *fakeKernel {
		k := leases(1)()
		k.router.ra = &raw.RA{Flags: 0x80, Lifetime: 1800}
		k.noSocket = errors.New("out of sockets")
		return k
	}
	inBubble(t, kernel, nil, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.up(20 * time.Second)
		for _, want := range []string{
			"eth0: DHCPv4: cannot open a socket: out of sockets",
			"eth0: cannot listen for router advertisements: out of sockets",
		} {
			if n := m.says(want); n != 1 {
				t.Errorf("%q is said %d times: %q", want, n, m.said)
			}
		}
		k.mu.Lock()
		k.noSocket = nil
		k.mu.Unlock()
		m.mustUp(30 * time.Second)
	})
}

// TestFallback checks that LinkLocalAddressing=ipv4 with DHCP gives an address while no server does.
func TestFallback(t *testing.T) {
	files := map[string]string{"a.network": "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=ipv4\n"}
	inBubble(t, silent(1), files, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.up(20 * time.Second)
		if has := k.has(1); len(has) > 0 {
			t.Errorf("after 20 s it has %q", has)
		}
		pass(10 * time.Second)
		if has := k.has(1); len(has) != 1 || !strings.HasPrefix(has[0], "169.254.") {
			t.Errorf("after 30 s it has %q, want an address of 169.254.0.0/16", has)
		}
		k.dhcp4.set(func(s *fakeServer4) { s.on, s.lease = true, 3600 })
		pass(time.Minute)
		if has := k.has(1); len(has) != 1 || has[0] != "10.0.0.5/24" {
			t.Errorf("with a lease it has %q", has)
		}
	})
}

// TestLeaseMTU checks that the MTU of a lease is set if the configuration wants it, and restored when the lease is
// gone.
func TestLeaseMTU(t *testing.T) {
	kernel := func() *fakeKernel {
		k := leases(1)()
		k.dhcp4.options = append(k.dhcp4.options, dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x23, 0x28}))
		return k
	}
	mtu := func(k *fakeKernel) int { d, _ := k.look(); return d[0].mtu }
	inBubble(t, kernel, nil, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.mustUp(time.Minute)
		pass(2 * time.Second)
		if got := mtu(k); got != 9000 {
			t.Errorf("the MTU is %d, want the lease's", got)
		}
		k.cable(1, false)
		pass(10 * time.Second)
		if got := mtu(k); got != 1500 {
			t.Errorf("without the lease the MTU is %d, want its own", got)
		}
	})
	inBubble(t, kernel, onlyDHCP4, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.mustUp(time.Minute)
		pass(2 * time.Second)
		if got := mtu(k); got != 1500 {
			t.Errorf("the MTU is %d although no file wants the lease's", got)
		}
	})
}

const acceptRA = "[Match]\nName=eth0\n[Network]\nIPv6AcceptRA=yes\n"

// managed and other are the flags of an advertisement.
const (
	managed = 0x80
	other   = 0x40
)

// TestDHCPv6Mode checks how files and routers decide about DHCPv6. A client that asks for no address is replaced when
// a router says later that DHCPv6 has addresses, never the other way round.
func TestDHCPv6Mode(t *testing.T) {
	for _, tt := range []struct {
		name  string
		file  string
		flags []byte // of the advertisements, which come a minute apart
		asked []string
		has   bool // whether it has an address from DHCPv6 at the end
	}{
		{"not a word of it", "", []byte{0}, nil, false},
		{"other", "", []byte{other}, []string{"INFORMATION-REQUEST"}, false},
		{"managed", "", []byte{managed}, []string{"SOLICIT", "REQUEST"}, true},
		{"both", "", []byte{managed | other}, []string{"SOLICIT", "REQUEST"}, true},
		{"other, later managed", "", []byte{other, managed | other},
			[]string{"INFORMATION-REQUEST", "SOLICIT", "REQUEST"}, true},
		{"managed, later other", "", []byte{managed, other}, []string{"SOLICIT", "REQUEST"}, true},
		{"managed, later nothing", "", []byte{managed, 0}, []string{"SOLICIT", "REQUEST"}, true},
		{"nothing, later other, later managed", "", []byte{0, other, managed},
			[]string{"INFORMATION-REQUEST", "SOLICIT", "REQUEST"}, true},
		{"never", "[IPv6AcceptRA]\nDHCPv6Client=no\n", []byte{managed}, nil, false},
		{"always", "[IPv6AcceptRA]\nDHCPv6Client=always\n", []byte{0}, []string{"SOLICIT", "REQUEST"}, true},
		{"without a router's word", "[DHCPv6]\nWithoutRA=solicit\n", []byte{0}, []string{"SOLICIT", "REQUEST"}, true},
		{"for information without a router's word", "[DHCPv6]\nWithoutRA=information-request\n", []byte{0, managed},
			[]string{"INFORMATION-REQUEST"}, false},
		{"an address that is not wanted", "[DHCPv6]\nUseAddress=no\n", []byte{managed},
			[]string{"SOLICIT", "REQUEST"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kernel := func() *fakeKernel {
				k := newKernel(1)
				k.dhcp6.on, k.dhcp6.valid = true, 4*time.Hour
				k.router.ra = &raw.RA{Flags: tt.flags[0], Lifetime: 1800}
				return k
			}
			inBubble(t, kernel, map[string]string{"a.network": acceptRA + tt.file},
				func(t *testing.T, m *testManager, k *fakeKernel) {
					m.up(30 * time.Second)
					for _, flags := range tt.flags[1:] {
						pass(time.Minute)
						k.router.says(raw.RA{Flags: flags, Lifetime: 1800})
					}
					pass(time.Minute)
					if diff := cmp.Diff(tt.asked, kinds(k.dhcp6.questions())); diff != "" {
						t.Errorf("the server was asked (-want +got):\n%s", diff)
					}
					if has := slices.Contains(k.has(1), "2001:db8::150/128"); has != tt.has {
						t.Errorf("it has %q", k.has(1))
					}
					wantNames := ""
					if len(tt.asked) > 0 {
						wantNames = "nameserver 2001:db8::53\n"
					}
					if got := m.resolvConf(); got != wantNames {
						t.Errorf("resolv.conf has %q, want %q", got, wantNames)
					}
				})
		})
	}
}

// TestRenewal6 checks when a DHCPv6 lease is extended, and which server is asked: RFC 8415 sections 18.2.4 and
// 18.2.5. The lease is valid for four hours and preferred for two, so T1 is one hour and T2 96 minutes.
func TestRenewal6(t *testing.T) {
	for _, tt := range []struct {
		name    string
		changes func(s *fakeServer6)
		after   time.Duration
		asked   []string
		keeps   bool
	}{
		{"before T1", func(*fakeServer6) {}, 59 * time.Minute, []string{"SOLICIT", "REQUEST"}, true},
		{"at T1", func(*fakeServer6) {}, 61 * time.Minute, []string{"SOLICIT", "REQUEST", "RENEW"}, true},
		{"silent until T2", func(s *fakeServer6) { s.ignores = map[dhcpv6.MessageType]bool{dhcpv6.MessageTypeRenew: true} },
			98 * time.Minute, []string{"SOLICIT", "REQUEST", "RENEW", "REBIND"}, true},
		{"silent until the end", func(s *fakeServer6) { s.on = false }, 239 * time.Minute,
			[]string{"SOLICIT", "REQUEST", "RENEW", "REBIND"}, true},
		{"silent beyond the end", func(s *fakeServer6) { s.on = false }, 241 * time.Minute,
			[]string{"SOLICIT", "REQUEST", "RENEW", "REBIND", "SOLICIT", "INFORMATION-REQUEST", "SOLICIT"}, false},
		{"a lease that the server does not know", func(s *fakeServer6) { s.noBinding = true }, 62 * time.Minute,
			[]string{"SOLICIT", "REQUEST", "RENEW", "SOLICIT", "REQUEST"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kernel := func() *fakeKernel {
				k := newKernel(1)
				k.dhcp6.on, k.dhcp6.valid = true, 4*time.Hour
				return k
			}
			files := map[string]string{"a.network": "[Match]\nName=eth0\n[Network]\nDHCP=ipv6\n[DHCPv6]\n" +
				"WithoutRA=solicit\n"}
			inBubble(t, kernel, files, func(t *testing.T, m *testManager, k *fakeKernel) {
				m.mustUp(30 * time.Second)
				k.dhcp6.set(tt.changes)
				pass(tt.after)
				if diff := cmp.Diff(tt.asked, kinds(k.dhcp6.questions())); diff != "" {
					t.Errorf("the server was asked (-want +got):\n%s", diff)
				}
				if has := slices.Contains(k.has(1), "2001:db8::150/128"); has != tt.keeps {
					t.Errorf("it has %q", k.has(1))
				}
			})
		})
	}
}

// TestDHCPv6Server checks servers that commit at once, that have no address, and that do not confirm.
func TestDHCPv6Server(t *testing.T) {
	files := map[string]string{"a.network": acceptRA}
	with := func(change func(s *fakeServer6)) func() *fakeKernel {
		return func() *fakeKernel {
			k := newKernel(1)
			k.dhcp6.on, k.dhcp6.valid = true, 4*time.Hour
			k.router.ra = &raw.RA{Flags: managed, Lifetime: 1800}
			change(k.dhcp6)
			return k
		}
	}
	inBubble(t, with(func(s *fakeServer6) { s.rapid = true }), files,
		func(t *testing.T, m *testManager, k *fakeKernel) {
			m.mustUp(30 * time.Second)
			if diff := cmp.Diff([]string{"SOLICIT"}, kinds(k.dhcp6.questions())); diff != "" {
				t.Errorf("rapid commit (-want +got):\n%s", diff)
			}
		})
	inBubble(t, with(func(s *fakeServer6) { s.noAddress = true }), files,
		func(t *testing.T, m *testManager, k *fakeKernel) {
			m.up(30 * time.Second)
			if got := m.resolvConf(); got != "nameserver 2001:db8::53\n" {
				t.Errorf("a server without an address gives the names %q", got)
			}
			if n := m.says(`eth0: DHCPv6: server 02:00:00:00:01:01 has no address for this machine: "none left"`); n != 1 {
				t.Errorf("it says %q", m.said)
			}
			if !slices.Contains(kinds(k.dhcp6.questions()), "INFORMATION-REQUEST") {
				t.Errorf("it asked %q", k.dhcp6.questions())
			}
			k.dhcp6.set(func(s *fakeServer6) { s.noAddress = false })
			pass(3 * time.Minute)
			if !slices.Contains(k.has(1), "2001:db8::150/128") {
				t.Errorf("when the server has an address the link has %q", k.has(1))
			}
		})
	unconfirmed := func(s *fakeServer6) { s.ignores = map[dhcpv6.MessageType]bool{dhcpv6.MessageTypeRequest: true} }
	inBubble(t, with(unconfirmed), files, func(t *testing.T, m *testManager, k *fakeKernel) {
		if _, err := m.up(time.Minute); err == nil {
			t.Error("an address that is not confirmed counts")
		}
		k.dhcp6.set(func(s *fakeServer6) { s.ignores = nil })
		m.mustUp(time.Minute)
	})
}
