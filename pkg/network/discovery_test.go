package network

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gitlab.com/wyrcan/wyrcan/integration/network/raw"
)

// TestRouterLifetime checks that what a router gave ends in time, and that routers are asked until a default router
// answers.
func TestRouterLifetime(t *testing.T) {
	short := raw.RA{Lifetime: 30, Options: [][]byte{raw.PIO("2001:db8:1::/64", raw.OnLink|raw.Autonomous, 100, 50),
		rdnss}}
	inBubble(t, routed(short), map[string]string{"a.network": acceptRA},
		func(t *testing.T, m *testManager, k *fakeKernel) {
			m.mustUp(time.Minute)
			want := []string{"2001:db8:1::ff:fe00:1/64", "2001:db8:1::/64", "default via fe80::a"}
			if diff := cmp.Diff(want, k.has(1)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			pass(20 * time.Second)
			k.router.says(short) // again: the default route ends later
			pass(20 * time.Second)
			if diff := cmp.Diff(want, k.has(1)); diff != "" {
				t.Errorf("40 s after the first, 20 s after the second (-want +got):\n%s", diff)
			}
			pass(15 * time.Second)
			if slices.Contains(k.has(1), "default via fe80::a") || len(m.State()[0].Gateways) != 0 {
				t.Errorf("35 s after the last word of 30 s it has %q", k.has(1))
			}
			pass(75 * time.Second)
			if has := k.has(1); len(has) != 0 {
				t.Errorf("when all is over it has %q", has)
			}
			if n := k.router.questions(); n != 1 {
				t.Errorf("a router that answered was asked %d times", n)
			}
		})
	inBubble(t, routed(raw.RA{Options: [][]byte{prefix1}}), map[string]string{"a.network": acceptRA},
		func(t *testing.T, m *testManager, k *fakeKernel) {
			m.mustUp(time.Minute)
			pass(time.Minute)
			if n := k.router.questions(); n < 5 {
				t.Errorf("beside a router that leads nowhere others were asked for %d times in a minute", n)
			}
		})
}

// TestRouterLimits checks that the hop limit and the MTU for IPv6 follow the routers, and are restored when the
// carrier is lost.
func TestRouterLimits(t *testing.T) {
	ra := raw.RA{Lifetime: 1800, HopLimit: 32, Options: [][]byte{raw.MTU(1400), prefix1}}
	inBubble(t, routed(ra), map[string]string{"a.network": acceptRA},
		func(t *testing.T, m *testManager, k *fakeKernel) {
			m.mustUp(time.Minute)
			check := func(when, mtu, hops string) {
				t.Helper()
				if k.sysctl("ipv6", "eth0", "mtu") != mtu || k.sysctl("ipv6", "eth0", "hop_limit") != hops {
					t.Errorf("%s the MTU is %s and the hop limit %s, want %s and %s", when,
						k.sysctl("ipv6", "eth0", "mtu"),
						k.sysctl("ipv6", "eth0", "hop_limit"), mtu, hops)
				}
			}
			pass(time.Second)
			check("with the router", "1400", "32")
			k.do(setMTU(target{1, "eth0"}, 1450)) // by somebody else: the kernel resets the MTU for IPv6
			pass(2 * time.Second)
			check("with another MTU of the link", "1400", "32")
			k.router.says(raw.RA{Lifetime: 1800, HopLimit: 16})
			pass(2 * time.Second)
			check("with the router's second word", "1400", "16")
			k.cable(1, false)
			pass(5 * time.Second)
			check("without a carrier", "1450", "64")
		})
}

// TestTooManyRouters checks what is said when a link has more routers than are remembered.
func TestTooManyRouters(t *testing.T) {
	var h heard
	now := time.Now()
	for i := range maxRouters {
		a := mustParse(t, routerA.Prev(), raw.RA{Lifetime: 1800})
		a.router = netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(i + 1)})
		if said := h.hear(a, now); said != "" {
			t.Errorf("router %d: %s", i, said)
		}
	}
	late := mustParse(t, routerA, raw.RA{Flags: managed, Lifetime: 1800})
	late.router = netip.MustParseAddr("fe80::ff")
	if said := h.hear(late, now); said != "more than 16 routers, fe80::ff is one too many" || h.managed {
		t.Errorf("it says %q, and %v of its flag counts", said, h.managed)
	}
}
