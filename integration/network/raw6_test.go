package network_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/network/raw"
)

// serveRaw6 calls answer for each DHCPv6 message from the machine until the test ends, with a function that sends
// from fe80::1.
func (w *world) serveRaw6(wire *raw.Wire, answer func(m *raw.Message6, reply func(raw.Message6))) {
	go func() {
		for {
			d, err := wire.Receive(raw.ServerPort6, time.Time{})
			if err != nil {
				return
			}
			if m := raw.Parse6(d.Payload); m != nil {
				answer(m, func(r raw.Message6) {
					wire.Send(raw.Datagram{ToMAC: d.FromMAC, Payload: r.Bytes(), To: d.From,
						From: netip.AddrPortFrom(netip.MustParseAddr("fe80::1"), raw.ServerPort6)})
				})
			}
		}
	}()
}

// DHCPv6 options: the identifiers of a server and of a stranger, and a name server.
var (
	serverID6   = raw.Option6(2, unhex("00030001020000000101")...)
	strangerID6 = raw.Option6(2, unhex("00030001020000009999")...)
	names6      = raw.Option6(23, netip.MustParseAddr("2001:db8:1::53").AsSlice()...)
)

// address6 returns the option of an identity association like the machine's, with an address and its times in
// seconds.
func address6(m *raw.Message6, address string, t1, t2, lifetime uint32) []byte {
	ia := slices.Clone(m.Option(3))
	if len(ia) < 12 {
		return nil
	}
	binary.BigEndian.PutUint32(ia[4:], t1)
	binary.BigEndian.PutUint32(ia[8:], t2)
	a := binary.BigEndian.AppendUint32(netip.MustParseAddr(address).AsSlice(), lifetime)
	return raw.Option6(3, append(ia[:12], raw.Option6(5, binary.BigEndian.AppendUint32(a, lifetime)...)...)...)
}

// noAddress6 returns the option of an identity association with a status code instead of an address.
func noAddress6(m *raw.Message6, status byte) []byte {
	return raw.Option6(3, append(slices.Clone(m.Option(3)[:12]), raw.Option6(13, 0, status)...)...)
}

// to6 returns an answer to the message.
func to6(m *raw.Message6, kind byte, options ...[]byte) raw.Message6 {
	return raw.Message6{Type: kind, XID: m.XID,
		Options: append(raw.Option6(1, m.Option(1)...), slices.Concat(options...)...)}
}

// managed starts a router on the first link that sends the machine to a DHCPv6 server.
func managed(t *testing.T) (*world, *raw.Wire) {
	needRoot(t, "radvd")
	w := newWorld(t, 1)
	w.peer(0, "2001:db8:1::1/64", "fe80::1/64")
	w.radvd("interface peer0 { AdvSendAdvert on; AdvManagedFlag on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; " +
		"prefix 2001:db8:1::/64 {}; };")
	return w, w.wire("peer0")
}

// TestPrefixAlone checks that the machine gets the names of a server that has prefixes for routers but no address for
// a machine: RFC 8415 section 18.2.6.
func TestPrefixAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                string
		advertises, informs bool
	}{
		{"of both", true, true}, {"of the advertisement alone", true, false}, {"silent on addresses", false, true},
	} { // the information comes from a server without an identifier
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, wire := managed(t)
			w.serveRaw6(wire, func(m *raw.Message6, reply func(raw.Message6)) {
				switch {
				case m.Type == raw.Solicit6 && tt.advertises:
					reply(to6(m, raw.Advertise6, serverID6, noAddress6(m, 2), names6))
				case m.Type == raw.InformationRequest6 && tt.informs:
					reply(to6(m, raw.Reply6, names6))
				}
			})
			p := w.wyrnet(map[string]string{"lan.network": eth0File}, "-k")
			w.eventually("the name server is known",
				func() bool { return slices.Equal(w.resolvers(), []string{"2001:db8:1::53"}) })
			if out := p.output(); tt.advertises != strings.Contains(out, "no address for this machine") {
				t.Errorf("wyrnet says\n%s", out)
			}
		})
	}
}

const eth0File = "[Match]\nName=eth0\n[Network]\nIPv6AcceptRA=yes\n"

// TestRenewal6 checks RFC 8415 sections 18.2.4 and 18.2.5. Until T2 only the lease's server is asked, then all
// servers; other answers before T2 are ignored, and no server can end the lease by saying that there is none.
func TestRenewal6(t *testing.T) {
	t.Parallel()
	w, wire := managed(t)
	var mu sync.Mutex
	asked := map[byte]int{}
	w.serveRaw6(wire, func(m *raw.Message6, reply func(raw.Message6)) {
		mu.Lock()
		defer mu.Unlock()
		if asked[m.Type]++; m.Type == raw.Request6 {
			asked[raw.Solicit6] = 0 // count only what is asked from now on
		}
		foreign := address6(m, "2001:db8:1::666", 60, 80, 100)
		switch m.Type {
		case raw.Solicit6:
			reply(to6(m, raw.Advertise6, serverID6, address6(m, "2001:db8:1::150", 2, 6, 60), names6))
		case raw.Request6:
			reply(to6(m, raw.Reply6, serverID6, address6(m, "2001:db8:1::150", 2, 6, 60), names6))
		case raw.Renew6:
			if !slices.Equal(m.Option(2), serverID6[4:]) {
				t.Errorf("the renewal is for the server %x", m.Option(2))
			}
			reply(to6(m, raw.Reply6, strangerID6, foreign))
			reply(to6(m, raw.Reply6, strangerID6, noAddress6(m, 3)))
		case raw.Rebind6:
			if m.Option(2) != nil {
				t.Errorf("the rebinding is for the server %x", m.Option(2))
			}
			reply(to6(m, raw.Reply6, strangerID6, noAddress6(m, 3)))
			reply(to6(m, raw.Reply6, serverID6, address6(m, "2001:db8:1::150", 600, 800, 1000), names6))
		}
	})
	p := w.wyrnet(map[string]string{"lan.network": eth0File}, "-k")
	w.eventually("the lease was rebound", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return asked[raw.Rebind6] > 0
	})
	time.Sleep(3 * time.Second)
	mu.Lock()
	defer mu.Unlock()
	if asked[raw.Renew6] < 2 || asked[raw.Solicit6] != 0 || asked[raw.Rebind6] != 1 ||
		!w.hasAddress("eth0", "2001:db8:1::150/128") || w.hasAddress("eth0", "2001:db8:1::666/128") {
		t.Errorf("asked %v\n%s\n%s", asked, w.ip("-6", "addr"), p.output())
	}
}

// bad6 returns messages that no server should send, or that are not meant for the machine.
func bad6(m *raw.Message6) map[string]raw.Message6 {
	foreign := address6(m, "2001:db8:1::666", 60, 80, 100)
	otherLink := slices.Clone(foreign)
	otherLink[4] ^= 1
	other := to6(m, raw.Reply6, strangerID6, foreign)
	other.XID[0] ^= 1
	return map[string]raw.Message6{
		"nothing":             {Type: raw.Reply6, XID: m.XID},
		"another transaction": other,
		"of nobody":           to6(m, raw.Reply6, foreign),
		"to nobody": {Type: raw.Reply6, XID: m.XID,
			Options: append(slices.Clone(strangerID6), foreign...)},
		"to another": {Type: raw.Reply6, XID: m.XID,
			Options: slices.Concat(raw.Option6(1, 0, 3, 0, 1, 9), strangerID6, foreign)},
		"of another link": to6(m, raw.Advertise6, strangerID6, otherLink),
		"a reply unasked": to6(m, raw.Reply6, strangerID6, foreign),
		"no address":      to6(m, raw.Advertise6, strangerID6, raw.Option6(3, m.Option(3)...)),
		"a cut address": to6(m, raw.Advertise6, strangerID6,
			raw.Option6(3, append(slices.Clone(m.Option(3)), raw.Option6(5, 1, 2)...)...)),
		"a cut option":               to6(m, raw.Advertise6, strangerID6, []byte{0, 3, 9, 9}),
		"a relay's":                  {Type: 13, XID: m.XID, Options: make([]byte, 40)},
		"a question":                 to6(m, raw.Solicit6, strangerID6, foreign),
		"type 0":                     to6(m, 0, strangerID6, foreign),
		"type 255":                   to6(m, 255, strangerID6, foreign),
		"a request to reconfigure":   to6(m, 10, strangerID6, raw.Option6(19, 5)),
		"garbage":                    to6(m, raw.Advertise6, strangerID6, randomBytes(900)),
		"a multicast address":        to6(m, raw.Advertise6, strangerID6, address6(m, "ff02::1", 60, 80, 100)),
		"an address for no time":     to6(m, raw.Advertise6, strangerID6, address6(m, "2001:db8:1::666", 0, 0, 0)),
		"no address, says a reply":   to6(m, raw.Reply6, strangerID6, raw.Option6(14), raw.Option6(13, 0, 2)),
		"a failure, says a reply":    to6(m, raw.Reply6, strangerID6, raw.Option6(13, 0, 1)),
		"names of nothing, to begin": to6(m, raw.Advertise6, strangerID6, raw.Option6(23), raw.Option6(24, 255, 1)),
	}
}

// TestPackets6 is TestPackets4 for DHCPv6.
func TestPackets6(t *testing.T) {
	t.Parallel()
	w, wire := managed(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	asked := map[byte]int{}
	w.serveRaw6(wire, func(m *raw.Message6, reply func(raw.Message6)) {
		mu.Lock()
		defer mu.Unlock()
		if asked[m.Type]++; m.Type == raw.Request6 {
			asked[raw.Solicit6] = 0 // count only what is asked from now on
		}
		if m.Type == raw.Request6 || len(m.Option(3)) >= 12 {
			for _, b := range bad6(m) {
				reply(b)
				for range 6 {
					b.Options = slices.Clone(b.Options)
					for range 1 + chance.IntN(6) {
						if len(b.Options) > 0 {
							b.Options[chance.IntN(len(b.Options))] = byte(chance.Uint32())
						}
					}
					b.Type = raw.Reply6 // the stranger was not asked
					b.Options = slices.DeleteFunc(b.Options, func(c byte) bool { return c == 14 })
					reply(b)
				}
			}
		}
		switch m.Type {
		case raw.Solicit6:
			reply(to6(m, raw.Advertise6, serverID6, address6(m, "2001:db8:1::150", 2, 40, 60), names6))
		case raw.Request6, raw.Renew6:
			reply(to6(m, raw.Reply6, serverID6, address6(m, "2001:db8:1::150", 2, 40, 60), names6))
		}
	})
	start := time.Now()
	p := w.wyrnet(map[string]string{"lan.network": eth0File}, "-k")
	w.eventually("eth0 has its address", func() bool { return w.hasAddress("eth0", "2001:db8:1::150/128") })
	if took := time.Since(start); took > 9*time.Second {
		t.Errorf("it took %v", took)
	}
	w.eventually("the lease was renewed three times", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return asked[raw.Renew6] >= 3
	})
	mu.Lock()
	defer mu.Unlock()
	if asked[raw.Solicit6] != 0 || asked[raw.Rebind6] != 0 || !w.hasAddress("eth0", "2001:db8:1::150/128") ||
		w.hasAddress("eth0", "2001:db8:1::666/128") {
		t.Errorf("asked %v\n%s\n%s", asked, w.ip("-6", "addr"), p.output())
	}
	select {
	case <-p.done:
		t.Errorf("wyrnet has ended: %v\n%s", p.err, p.output())
	default:
	}
}
