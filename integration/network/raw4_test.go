package network_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"gitlab.com/wyrcan/wyrcan/integration/network/raw"
)

var (
	everybody4   = netip.MustParseAddr("255.255.255.255")
	everybodyMAC = net.HardwareAddr{255, 255, 255, 255, 255, 255}
	rawServer    = netip.MustParseAddr("10.9.0.1")
	rawClient    = netip.MustParseAddr("10.9.0.50")
	stranger     = netip.MustParseAddr("172.31.255.254")
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// wire opens the other end of a link for arbitrary packets, until the test ends.
func (w *world) wire(device string) *raw.Wire {
	w.t.Helper()
	type result struct {
		wire *raw.Wire
		err  error
	}
	ready := make(chan result)
	go func() {
		runtime.LockOSThread() // for good, as in reaches; the socket stays in its namespace
		ns, err := netns.GetFromName(w.server)
		if err == nil {
			defer ns.Close()
			err = netns.Set(ns)
		}
		var r result
		if r.err = err; err == nil {
			r.wire, r.err = raw.Open(device)
		}
		ready <- r
	}()
	r := <-ready
	if r.err != nil {
		w.t.Fatal(r.err)
	}
	w.t.Cleanup(func() { r.wire.Close() })
	return r.wire
}

// asked4 is a DHCPv4 message from the machine and its datagram.
type asked4 struct {
	*raw.Message4
	*raw.Datagram
	at time.Time
}

// renewal reports whether it asks to extend a lease.
func (a asked4) renewal() bool { return a.Type() == raw.Request4 && !a.CIAddr.IsUnspecified() }

// serveRaw4 calls answer for each DHCPv4 message from the machine until the test ends.
func (w *world) serveRaw4(wire *raw.Wire, answer func(asked4)) {
	go func() {
		for {
			d, err := wire.Receive(raw.ServerPort4, time.Time{})
			if err != nil {
				return
			}
			if m := raw.Parse4(d.Payload); m != nil {
				answer(asked4{m, d, time.Now()})
			}
		}
	}()
}

// tell4 sends a message to the machine.
func tell4(wire *raw.Wire, m raw.Message4) {
	wire.Send(raw.Datagram4(rawServer, everybody4, everybodyMAC, m.Bytes()))
}

// lease4 starts a server on the first link that always gives 10.9.0.50 for an hour, with these bytes, in hexadecimal,
// in the three option fields.
func lease4(options, file, sname string) func(*world) {
	return timeless4("33 04 00000e10"+options, file, sname)
}

// timeless4 is lease4 without a lease time.
func timeless4(options, file, sname string) func(*world) {
	return func(w *world) {
		w.peer(0, "10.9.0.1/24")
		w.peer(1)
		wire := w.wire("peer0")
		w.serveRaw4(wire, func(a asked4) {
			kind := map[byte]byte{raw.Discover4: raw.Offer4, raw.Request4: raw.ACK4}[a.Type()]
			if kind == 0 {
				return
			}
			m := a.Reply(kind, rawServer, rawClient, unhex(options)...)
			m.File, m.SName = unhex(file), unhex(sname)
			tell4(wire, m)
		})
	}
}

// seconds4 returns the options for a lease time, T1 and T2.
func seconds4(lease, t1, t2 uint32) []byte {
	var b []byte
	for code, n := range map[byte]uint32{51: lease, 58: t1, 59: t2} {
		b = binary.BigEndian.AppendUint32(append(b, code, 4), n)
	}
	return append(b, unhex("0104ffffff00 03040a090001 06040a090001")...)
}

// TestRenewal checks RFC 2131 section 4.4.5. Between T1 and T2 only the lease's server is asked, at its own address
// and from that of the lease; other answers are ignored. After T2 all servers are asked; a refusal is ignored as long
// as any server acknowledges.
func TestRenewal(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 1)
	w.peer(0, "10.9.0.1/24")
	wire := w.wire("peer0")
	var mu sync.Mutex
	var renewals []asked4
	var leased time.Time
	extended := 0
	w.serveRaw4(wire, func(a asked4) {
		mu.Lock()
		defer mu.Unlock()
		options := seconds4(60, 2, 7)
		foreign := netip.MustParseAddr("10.9.0.66")
		switch {
		case a.Type() == raw.Discover4:
			tell4(wire, a.Reply(raw.Offer4, rawServer, rawClient, options...))
		case a.Type() == raw.Request4 && !a.renewal():
			leased = a.at
			tell4(wire, a.Reply(raw.ACK4, rawServer, rawClient, options...))
		case a.renewal():
			renewals = append(renewals, a)
			tell4(wire, a.Reply(raw.NAK4, stranger, netip.Addr{}))
			if a.To.Addr() != everybody4 {
				tell4(wire, a.Reply(raw.ACK4, stranger, foreign, options...))
				break
			}
			time.Sleep(300 * time.Millisecond)
			tell4(wire, a.Reply(raw.ACK4, rawServer, rawClient, seconds4(3600, 0, 0)...))
			extended++
		}
	})
	p := w.wyrnet(map[string]string{"lan.network": dhcp4Only}, "-k")
	w.eventually("the lease was extended", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return extended > 0
	})
	time.Sleep(4 * time.Second) // longer than a refusal without an acknowledgement would need to count
	mu.Lock()
	defer mu.Unlock()
	if !w.hasAddress("eth0", "10.9.0.50/24") || w.hasAddress("eth0", "10.9.0.66/24") ||
		strings.Contains(p.output(), "took") {
		t.Errorf("the lease was not kept:\n%s\n%s", w.ip("addr"), p.output())
	}
	unicast := 0
	for _, r := range renewals {
		since := r.at.Sub(leased)
		if r.To.Addr() == everybody4 {
			if since < 6500*time.Millisecond {
				t.Errorf("all were asked after %v, which is before T2", since)
			}
			continue
		}
		unicast++
		if r.From.String() != "10.9.0.50:68" || r.To.String() != "10.9.0.1:67" ||
			r.ToMAC.String() != wire.MAC.String() || r.CIAddr != rawClient ||
			r.Option(54) != nil || r.Option(50) != nil {
			t.Errorf("renewal from %v to %v (%v), ciaddr %v, server identifier %x, requested address %x", r.From,
				r.To, r.ToMAC, r.CIAddr, r.Option(54), r.Option(50))
		}
	}
	if unicast < 2 || extended != 1 {
		t.Errorf("the server was asked %d times before all were, and extended the lease %d times", unicast, extended)
	}
}

// TestRefusal checks whose refusal ends a lease: that of its own server at once, that of another server only if all
// are asked and none acknowledges.
func TestRefusal(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for _, tt := range []struct {
		name   string
		by     netip.Addr
		within time.Duration
		after  time.Duration // not before
	}{
		{"own server", rawServer, 6 * time.Second, 0},
		{"another", stranger, 20 * time.Second, 6 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.peer(0, "10.9.0.1/24")
			wire := w.wire("peer0")
			leased, again := make(chan time.Time, 64), make(chan time.Time, 64)
			w.serveRaw4(wire, func(a asked4) {
				switch {
				case a.Type() == raw.Discover4:
					if len(leased) > 0 {
						again <- a.at
					}
					tell4(wire, a.Reply(raw.Offer4, rawServer, rawClient, seconds4(60, 2, 7)...))
				case a.renewal():
					tell4(wire, a.Reply(raw.NAK4, tt.by, netip.Addr{}))
				case a.Type() == raw.Request4:
					leased <- a.at
					tell4(wire, a.Reply(raw.ACK4, rawServer, rawClient, seconds4(60, 2, 7)...))
				}
			})
			w.wyrnet(map[string]string{"lan.network": dhcp4Only}, "-k")
			select {
			case at := <-again:
				if took := at.Sub(<-leased); took < tt.after {
					t.Errorf("the lease was given up after %v", took)
				}
			case <-time.After(tt.within):
				t.Errorf("the lease was not given up in %v", tt.within)
			}
		})
	}
}

// TestTwoAuthorities checks that a lease is renewed again and again on a link with two servers which both refuse what
// they have not leased, as dnsmasq does with --dhcp-authoritative.
func TestTwoAuthorities(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	w := newWorld(t, 1)
	w.far("link", "add", "name", "sw0", "type", "bridge")
	w.far("link", "set", "peer0", "master", "sw0")
	w.far("link", "set", "peer0", "up")
	w.far("link", "set", "sw0", "up")
	var servers []*process
	for i := 1; i <= 2; i++ {
		w.far("link", "add", fmt.Sprintf("srv%d", i), "type", "veth", "peer", "name", fmt.Sprintf("port%d", i))
		w.far("link", "set", fmt.Sprintf("port%d", i), "master", "sw0")
		w.far("link", "set", fmt.Sprintf("port%d", i), "up")
		w.far("link", "set", fmt.Sprintf("srv%d", i), "up")
		w.far("addr", "add", fmt.Sprintf("10.%d.0.1/24", i), "dev", fmt.Sprintf("srv%d", i))
		servers = append(servers, w.dnsmasq(fmt.Sprintf("--interface=srv%d", i),
			fmt.Sprintf("--dhcp-range=10.%d.0.50,10.%d.0.90,255.255.255.0,2m", i, i), "--dhcp-option=option:T1,4"))
	}
	p := w.wyrnet(map[string]string{"lan.network": dhcp4Only}, "-k")
	acks := func() int {
		return strings.Count(servers[0].output(), "DHCPACK") + strings.Count(servers[1].output(), "DHCPACK")
	}
	// Three renewals take 6 seconds, and several times that beside emulated machines.
	w.within(time.Minute, "the lease was renewed three times", func() bool { return acks() >= 4 })
	anew := false
	for _, s := range servers {
		if _, after, leased := strings.Cut(s.output(), "DHCPACK"); leased && strings.Contains(after, "DHCPDISCOVER") {
			anew = true
		}
	}
	if strings.Contains(p.output(), "took") || anew {
		t.Errorf("the lease was lost in between:\n%s\n%s\n%s", p.output(), servers[0].output(), servers[1].output())
	}
}

// TestServerMoves checks that the machine follows long before T2 when the server and the network move to other
// addresses.
func TestServerMoves(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	w := newWorld(t, 1)
	w.peer(0, "10.9.0.1/24")
	old := w.dnsmasq("--interface=peer0", "--dhcp-range=10.9.0.50,10.9.0.90,255.255.255.0,1h",
		"--dhcp-option=option:T1,3")
	w.wyrnet(nil, "-k")
	w.eventually("eth0 has a default route", func() bool { return w.hasRoute("-4", "default", "10.9.0.1", "eth0") })
	old.stop()
	w.far("addr", "flush", "dev", "peer0")
	w.far("addr", "add", "10.8.0.1/24", "dev", "peer0")
	w.dnsmasq("--interface=peer0", "--dhcp-range=10.8.0.50,10.8.0.90,255.255.255.0,1h")
	w.eventually("eth0 has another default route",
		func() bool { return w.hasRoute("-4", "default", "10.8.0.1", "eth0") })
}

// TestSilentServer checks that a server which offers first but never confirms does not block another one.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 1)
	w.peer(0, "10.9.0.1/24")
	wire := w.wire("peer0")
	w.serveRaw4(wire, func(a asked4) {
		switch {
		case a.Type() == raw.Discover4:
			tell4(wire, a.Reply(raw.Offer4, stranger, netip.MustParseAddr("172.31.0.9"), seconds4(60, 0, 0)...))
			time.Sleep(300 * time.Millisecond)
			tell4(wire, a.Reply(raw.Offer4, rawServer, rawClient, seconds4(60, 0, 0)...))
		case slices.Equal(a.Option(54), rawServer.AsSlice()):
			tell4(wire, a.Reply(raw.ACK4, rawServer, rawClient, seconds4(60, 0, 0)...))
		}
	})
	start := time.Now()
	out := w.online(w.wyrnet(map[string]string{"lan.network": dhcp4Only}), 60*time.Second)
	if took := time.Since(start); took > 9*time.Second || !w.hasRoute("-4", "default", "10.9.0.1", "eth0") {
		t.Errorf("it took %v:\n%s\n%s", took, w.ip("route"), out)
	}
}

// bad4 returns frames that no server should send, or that are not meant for the machine, in answer to a message of
// the machine.
func bad4(wire *raw.Wire, a asked4) map[string][]byte {
	good := a.Reply(raw.Offer4, stranger, netip.MustParseAddr("172.31.0.9"), seconds4(60, 0, 0)...)
	if a.Type() == raw.Request4 {
		good = a.Reply(raw.ACK4, stranger, netip.MustParseAddr("172.31.0.9"), seconds4(60, 0, 0)...)
	}
	frame := func(m raw.Message4) []byte {
		return wire.Bytes(raw.Datagram4(stranger, everybody4, everybodyMAC, m.Bytes()))
	}
	change := func(f func(*raw.Message4)) []byte {
		m := good
		m.Options = slices.Clone(m.Options)
		f(&m)
		return frame(m)
	}
	cut := func(n int) []byte {
		return wire.Bytes(raw.Datagram4(stranger, everybody4, everybodyMAC, good.Bytes()[:n]))
	}
	at := func(n int, b ...byte) []byte {
		f := frame(good)
		copy(f[n:], b)
		return f
	}
	options := func(s string) []byte { return change(func(m *raw.Message4) { m.Options = unhex(s) }) }
	const ip, udp = 14, 34
	return map[string][]byte{
		"no packet":                frame(good)[:14],
		"half a packet":            frame(good)[:24],
		"no datagram":              frame(good)[:udp],
		"IP header of nothing":     at(ip, 0x40),
		"IP header beyond":         at(ip, 0x4f),
		"IP length of nothing":     at(ip+2, 0, 0),
		"IP length beyond":         at(ip+2, 255, 255),
		"fragment":                 at(ip+6, 0x20, 0),
		"UDP length of nothing":    at(udp+4, 0, 0),
		"UDP length beyond":        at(udp+4, 255, 255),
		"no message":               cut(0),
		"half a message":           cut(100),
		"no cookie":                cut(236),
		"no options":               cut(240),
		"cut options":              cut(245),
		"another cookie":           at(udp+8+236, 1, 2, 3, 4),
		"another transaction":      change(func(m *raw.Message4) { m.XID[0] ^= 1 }),
		"another machine":          change(func(m *raw.Message4) { m.CHAddr = unhex("020000000007") }),
		"no machine":               change(func(m *raw.Message4) { m.HLen = 0 }),
		"a long hardware address":  change(func(m *raw.Message4) { m.HLen = 255 }),
		"a question":               change(func(m *raw.Message4) { m.Op = 1 }),
		"no type":                  options("3604ac1ffffe ff"),
		"an empty type":            options("3500 3604ac1ffffe ff"),
		"type 0":                   options("350100 3604ac1ffffe ff"),
		"type 255":                 options("3501ff 3604ac1ffffe ff"),
		"a refusal":                options("350106 3604ac1ffffe ff"),
		"a refusal of nobody":      options("350106 ff"),
		"a release":                options("350107 3604ac1ffffe ff"),
		"a server of three bytes":  options("350102 3603ac1fff 330400000e10 ff"),
		"an offer of nobody":       options("350102 330400000e10 0104ffffff00 ff"),
		"an offer for no time":     options("350102 3604ac1ffffe 330400000000 ff"),
		"an offer of nothing":      change(func(m *raw.Message4) { m.YIAddr = netip.IPv4Unspecified() }),
		"an offer of all":          change(func(m *raw.Message4) { m.YIAddr = everybody4 }),
		"an offer of a group":      change(func(m *raw.Message4) { m.YIAddr = netip.MustParseAddr("224.0.0.1") }),
		"an offer of the loopback": change(func(m *raw.Message4) { m.YIAddr = netip.MustParseAddr("127.0.0.1") }),
		"overload of garbage": change(func(m *raw.Message4) {
			m.YIAddr, m.File, m.SName, m.Options = netip.IPv4Unspecified(), randomBytes(128), randomBytes(64),
				append([]byte{52, 1, 3}, m.Options...)
		}),
		"a large message": change(func(m *raw.Message4) {
			m.YIAddr, m.Options = netip.IPv4Unspecified(), append(m.Options, make([]byte, 1100)...)
		}),
		"an acknowledgement unasked": change(func(m *raw.Message4) { m.Options[2] = raw.ACK4; m.XID[3] ^= 9 }),
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

const dhcp4Only = "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n"

// TestPackets4 sends packets that no server should send, and random mutations of them, before every answer of a good
// server. None may end the client, delay it, or take the lease away.
func TestPackets4(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 1)
	w.peer(0, "10.9.0.1/24")
	wire := w.wire("peer0")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	renewals, discovers, leased := 0, 0, false
	w.serveRaw4(wire, func(a asked4) {
		mu.Lock()
		defer mu.Unlock()
		for name, frame := range bad4(wire, a) {
			if err := wire.Frame(frame); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			// A mutation never makes a usable offer: it is behind the transaction ID or before the type.
			for range 8 {
				f := slices.Clone(frame)
				if len(f) > 46 {
					copy(f[46:50], "none")
				}
				for range 1 + chance.IntN(6) {
					if at := chance.IntN(len(f)); at >= 14 && (at < 42 || at >= 50) {
						f[at] = byte(chance.Uint32())
					}
				}
				wire.Frame(f)
			}
			time.Sleep(time.Millisecond) // a busy host would drop what comes faster, and the answer with it
		}
		switch {
		case a.Type() == raw.Discover4:
			if leased {
				discovers++
			}
			tell4(wire, a.Reply(raw.Offer4, rawServer, rawClient, seconds4(60, 2, 30)...))
		case a.Type() == raw.Request4:
			if leased = true; a.renewal() {
				renewals++
			}
			tell4(wire, a.Reply(raw.ACK4, rawServer, rawClient, seconds4(60, 2, 30)...))
		}
	})
	start := time.Now()
	p := w.wyrnet(map[string]string{"lan.network": dhcp4Only}, "-k")
	w.eventually("eth0 has a default route", func() bool { return w.hasRoute("-4", "default", "10.9.0.1", "eth0") })
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
	w.ip("link", "set", "eth0", "down") // the packet socket reports it once
	w.ip("link", "set", "eth0", "up")
	w.eventually("the lease was renewed three times", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return renewals >= 3
	})
	mu.Lock()
	defer mu.Unlock()
	if !w.hasAddress("eth0", "10.9.0.50/24") || discovers > 0 {
		t.Errorf("the lease was not kept, asked for %d times anew:\n%s\n%s", discovers, w.ip("addr"), p.output())
	}
	select {
	case <-p.done:
		t.Errorf("wyrnet has ended: %v\n%s", p.err, p.output())
	default:
	}
}
