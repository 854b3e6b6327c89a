package network_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/network/raw"
)

// rogue is a packet that no router should send, or that takes back what another router gave.
type rogue struct {
	name   string
	packet raw.ICMPv6
}

// rogues are what a router at fe80::bad sends.
func rogues() []rogue {
	own := raw.PIO("2001:db8:bad::/64", onLinkAndAutonomous, 3600, 1800)
	taken := [][]byte{
		raw.PIO("2001:db8:1::/64", onLinkAndAutonomous, 0, 0), raw.RDNSS(0, server), raw.RIO("2001:db8:f::/48",
			0, 0), raw.DNSSL(0, "lan.example"), raw.RIO("::/0", 0, 0),
	}
	var list []rogue
	add := func(name string, p raw.ICMPv6) {
		if !p.From.IsValid() {
			p.From = netip.MustParseAddr("fe80::bad")
		}
		list = append(list, rogue{name, p})
	}
	message := func(options ...[]byte) []byte { return raw.RA{Lifetime: 1800, Options: options}.Bytes() }
	add("what another router gave is withdrawn", raw.ICMPv6{Message: message(taken...)})
	add("no router", raw.ICMPv6{Message: raw.RA{Options: taken}.Bytes()})
	add("another router's word from beyond the link", raw.ICMPv6{From: netip.MustParseAddr("fe80::a"),
		HopLimit: 64, Message: raw.RA{Options: taken}.Bytes()})
	add("another router's word with a wrong checksum", raw.ICMPv6{From: netip.MustParseAddr("fe80::a"),
		BadChecksum: true, Message: raw.RA{Options: taken}.Bytes()})
	add("another router's word with a code", raw.ICMPv6{From: netip.MustParseAddr("fe80::a"),
		Message: raw.RA{Code: 1, Options: taken}.Bytes()})
	add("another router's word with an option of no length", raw.ICMPv6{From: netip.MustParseAddr("fe80::a"),
		Message: raw.RA{Options: append(slices.Clone(taken), raw.Hex("1900 000000000000"))}.Bytes()})
	add("of a global address", raw.ICMPv6{From: netip.MustParseAddr("2001:db8::bad"), Message: message(own)})
	add("of no address", raw.ICMPv6{From: netip.IPv6Unspecified(), Message: message(own)})
	add("of the machine itself", raw.ICMPv6{From: netip.MustParseAddr("fe80::ff:fe00:1"),
		Message: message(own, raw.RIO("2001:db8:e::/48", 0, 600))})
	add("a hop limit that leads nowhere", raw.ICMPv6{Message: raw.RA{HopLimit: 1, Lifetime: 1800}.Bytes()})
	add("no byte", raw.ICMPv6{})
	for n := 1; n < 24; n++ {
		add(fmt.Sprintf("%d bytes", n), raw.ICMPv6{Message: message(own)[:n]})
	}
	for kind := range 256 {
		for _, units := range []byte{0, 1, 2, 3, 4, 5, 255} {
			add(fmt.Sprintf("option %d of %d units", kind, units), raw.ICMPv6{Message: message(own,
				append([]byte{byte(kind), units}, make([]byte, max(8*int(min(units, 5)), 8)-2)...))})
		}
	}
	return list
}

// mutant returns a message with some bytes changed, cut off or inserted.
func mutant(chance *rand.Rand, message []byte) []byte {
	b := slices.Clone(message)
	for range 1 + chance.IntN(8) {
		switch i := chance.IntN(len(b)); chance.IntN(8) {
		case 0:
			b = b[:max(i, 1)]
		case 1:
			b = slices.Insert(b, i, byte(chance.IntN(256)))
		case 2:
			b[i] = []byte{0, 1, 0x7f, 0x80, 0xff}[chance.IntN(5)]
		default:
			b[i] = byte(chance.IntN(256))
		}
	}
	b[0] = 134
	return b
}

// TestRogueRouter checks that a rogue beside a good router, who sends rogues and mutations of them from several
// addresses, can neither keep the machine offline nor take anything away from it.
func TestRogueRouter(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 1)
	w.peer(0)
	w.advertise(ofA(lan(), raw.RDNSS(600, server), raw.RIO("2001:db8:f::/48", 0, 600),
		raw.DNSSL(600, "lan.example"))...)
	send := func(p raw.ICMPv6) {
		w.air.mu.Lock()
		defer w.air.mu.Unlock()
		if err := w.air.wire.ICMPv6(p); err != nil {
			t.Error(err)
		}
	}
	packets := rogues()
	all := func() {
		for _, r := range packets {
			send(r.packet)
		}
	}
	var online atomic.Bool
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for ; !online.Load(); time.Sleep(500 * time.Millisecond) {
			all()
		}
	}()
	defer func() { online.Store(true); <-stopped }()
	start := time.Now()
	p := w.wyrnet(map[string]string{"lan.network": "[Match]\nName=eth0\n[IPv6AcceptRA]\nUseDomains=yes\n"}, "-k")
	holds := func() (lacks string) {
		for what, has := range map[string]bool{
			"its address":           w.hasAddress("eth0", "2001:db8:1::ff:fe00:1/64"),
			"the default route":     strings.Contains(w.ip("-6", "route", "show", "default"), "via fe80::a "),
			"the announced route":   strings.Contains(w.ip("-6", "route", "show", "2001:db8:f::/48"), "via fe80::a "),
			"the name server":       slices.Contains(w.resolvers(), server),
			"the search domain":     strings.Contains(w.resolvNames(), "lan.example"),
			"the route to the link": strings.Contains(w.ip("-6", "route", "show", "2001:db8:1::/64"), "proto ra"),
			"its hop limit":         w.sysctl6("eth0", "hop_limit") >= 64,
		} {
			if !has {
				lacks += " " + what
			}
		}
		return lacks
	}
	w.eventually("the machine is online", func() bool { return holds() == "" })
	if took := time.Since(start); took > pace(15) {
		t.Errorf("it took %v", took)
	}
	online.Store(true)
	<-stopped
	chance := rand.New(rand.NewPCG(1, 2))
	for i := range 5000 {
		r := packets[chance.IntN(30)]
		if len(r.packet.Message) < 16 || r.packet.From == netip.MustParseAddr("fe80::a") {
			r = packets[0]
		}
		r.packet.Message = mutant(chance, r.packet.Message)
		r.packet.From = netip.MustParseAddr(fmt.Sprintf("fe80::bad:%x", i%7))
		r.packet.HopLimit, r.packet.BadChecksum = 0, false
		send(r.packet)
		if i%200 == 0 {
			if lacks := holds(); lacks != "" {
				t.Fatalf("after %d packets the machine lacks%s, the last was %x\n%s", i, lacks, r.packet.Message,
					p.output())
			}
		}
	}
	w.advertise(ofA(raw.PIO("2001:db8:2::/64", onLinkAndAutonomous, 600, 600))...)
	w.within(pace(10), "the router is heard again", func() bool {
		return w.hasAddress("eth0",
			"2001:db8:2::ff:fe00:1/64")
	})
	if lacks := holds(); lacks != "" {
		t.Errorf("the machine lacks%s\n%s", lacks, p.output())
	}
	select {
	case <-p.done:
		t.Errorf("wyrnet has ended: %v\n%s", p.err, p.output())
	default:
	}
}

// sysctl6 returns an IPv6 number of a link of the machine.
func (w *world) sysctl6(link, key string) (value int) {
	w.t.Helper()
	path := "/proc/sys/net/ipv6/conf/" + link + "/" + key
	if _, err := fmt.Sscan(w.run("ip", "netns", "exec", w.client, "cat", path), &value); err != nil {
		w.t.Fatal(err)
	}
	return value
}

// TestRouterIsLeft checks that the MTU and the hop limit of a router are forgotten with the router.
func TestRouterIsLeft(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 1)
	w.peer(0)
	w.advertise(ofRouter(raw.RA{HopLimit: 33, Lifetime: 1800, Options: [][]byte{lan(), raw.MTU(1400)}})...)
	w.wyrnet(nil, "-k")
	has := func(hops, mtu int) func() bool {
		return func() bool { return w.sysctl6("eth0", "hop_limit") == hops && w.sysctl6("eth0", "mtu") == mtu }
	}
	w.eventually("the router is heard", has(33, 1400))
	w.ip("link", "set", "eth0", "mtu", "1450") // the kernel sets the MTU for IPv6 too
	w.eventually("the router is still heard", has(33, 1400))
	w.advertise()
	w.far("link", "set", "peer0", "down")
	w.eventually("the router is forgotten", has(64, 1450))
}

// TestRouterIsAsked checks that the machine still asks after a router that is no default router has spoken. The
// default router is silent until it is asked.
func TestRouterIsAsked(t *testing.T) {
	t.Parallel()
	needRoot(t, "radvd")
	w := newWorld(t, 1)
	w.peer(0, "2001:db8:1::1/64")
	w.advertise(ofRouter(raw.RA{Options: [][]byte{raw.PIO("2001:db8:bad::/64", onLinkAndAutonomous, 3600, 1800)}})...)
	w.wyrnet(nil, "-k")
	w.eventually("the other one is heard", func() bool { return w.hasAddress("eth0", "2001:db8:bad::ff:fe00:1/64") })
	w.radvd("interface peer0 { AdvSendAdvert on; UnicastOnly on; prefix 2001:db8:1::/64 {}; };")
	w.eventually("the router answers", func() bool { return w.hasAddress("eth0", "2001:db8:1::ff:fe00:1/64") })
}
