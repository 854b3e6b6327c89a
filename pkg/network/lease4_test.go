package network

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// unhex reads hexadecimal digits with spaces anywhere.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// message4 returns an acknowledgement of 10.9.0.50 with these bytes in its three option fields.
func message4(t testing.TB, options, file, sname string) []byte {
	t.Helper()
	p, err := dhcpv4.New(dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 1}),
		dhcpv4.WithYourIP(net.IPv4(10, 9, 0, 50)))
	if err != nil {
		t.Fatal(err)
	}
	p.OpCode = dhcpv4.OpcodeBootReply
	b := p.ToBytes()[:options4]
	copy(b[file4:options4-4], unhex(t, file))
	copy(b[sname4:file4], unhex(t, sname))
	return append(append(b, unhex(t, "350105 36040a090001")...), unhex(t, options)...)
}

// TestParse4 checks which options are read: RFC 2131 section 4.1, RFC 2132 section 9.3, RFC 3396 section 5.
func TestParse4(t *testing.T) {
	for _, tt := range []struct {
		name, options, file, sname string
		want                       map[uint8]string // in hexadecimal, without the message type and the server
	}{
		{"plain", "0104ffffff00 ff", "", "", map[uint8]string{1: "ffffff00"}},
		{"no end", "0104ffffff00", "", "", map[uint8]string{1: "ffffff00"}},
		{"nothing behind the end", "ff 03040a090001", "", "", map[uint8]string{}},
		{"padding between", "00 0104ffffff00 0000 03040a090001 ff", "", "",
			map[uint8]string{1: "ffffff00", 3: "0a090001"}},
		{"file", "340101 ff", "03040a090001 06040a090003 ff", "03040a090009 ff",
			map[uint8]string{52: "01", 3: "0a090001", 6: "0a090003"}},
		{"server name", "340102 ff", "03040a090001 ff", "06040a090003 ff", map[uint8]string{52: "02", 6: "0a090003"}},
		{"both", "340103 ff", "03040a090001 ff", "06040a090003 ff",
			map[uint8]string{52: "03", 3: "0a090001", 6: "0a090003"}},
		{"none", "ff", "03040a090001 ff", "06040a090003 ff", map[uint8]string{}},
		{"of zero", "340100 ff", "03040a090001 ff", "06040a090003 ff", map[uint8]string{52: "00"}},
		{"of two bytes", "34020101 ff", "03040a090001 ff", "", map[uint8]string{}},
		{"in the file field", "340101 ff", "340103 03040a090001 ff", "06040a090003 ff",
			map[uint8]string{52: "03", 3: "0a090001"}},
		{"no end in the file field", "340103", "03040a090001", "06040a090003",
			map[uint8]string{52: "03", 3: "0a090001", 6: "0a090003"}},
		{"longer than the file field", "340103 ff", "06040a090003 03ff0a090001", "0f03787878 ff",
			map[uint8]string{52: "03", 6: "0a090003", 15: "787878"}},
		{"split", "06040a090003 03040a090001 06040a090004 ff", "", "",
			map[uint8]string{3: "0a090001", 6: "0a0900030a090004"}},
		{"split over all fields", "340103 0f0161 ff", "0f0162 ff", "0f0163 ff",
			map[uint8]string{52: "03", 15: "616263"}},
		{"one value twice", "0104ff000000 0104ffffff00 ff", "", "", map[uint8]string{1: "ffffff00"}},
		{"one value too long", "0104ffffff00 0105ff00000000 ff", "", "", map[uint8]string{1: "ffffff00"}},
		{"beyond the message", "0104ffffff00 03080a090001", "", "", map[uint8]string{1: "ffffff00"}},
		{"no length", "0104ffffff00 03", "", "", map[uint8]string{1: "ffffff00"}},
		{"the longest", "0fff" + strings.Repeat("61", 255) + "03040a090001 ff", "", "",
			map[uint8]string{15: strings.Repeat("61", 255), 3: "0a090001"}},
		{"longer than the longest", "0fff" + strings.Repeat("61", 255) + "0f0162 ff", "", "",
			map[uint8]string{15: strings.Repeat("61", 255) + "62"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := parse4(message4(t, tt.options, tt.file, tt.sname))
			if err != nil {
				t.Fatal(err)
			}
			got := map[uint8]string{}
			for code, value := range p.Options {
				got[code] = hex.EncodeToString(value)
			}
			if got[53] != "05" || got[54] != "0a090001" {
				t.Errorf("message type %s of server %s", got[53], got[54])
			}
			delete(got, 53)
			delete(got, 54)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
	whole := message4(t, "ff", "", "")
	for n := range options4 {
		if _, err := parse4(whole[:n]); err == nil {
			t.Errorf("%d bytes are a message", n)
		}
	}
}

// TestLease4 checks leases with unusual options.
func TestLease4(t *testing.T) {
	for _, tt := range []struct {
		name, options    string
		prefix           string
		broadcast        string
		routes           []string
		dns, nameservers []string
	}{
		{name: "plain", options: "0104ffffff00", prefix: "10.9.0.50/24"},
		{name: "no netmask", prefix: "10.9.0.50/8"},
		{name: "netmask of three bytes", options: "0103ffffff", prefix: "10.9.0.50/8"},
		{name: "netmask with a hole", options: "0104ff00ff00", prefix: "10.9.0.50/24"},
		{name: "netmask of nothing", options: "010400000000", prefix: "10.9.0.50/0"},
		{name: "broadcast", options: "0104ffffff00 1c040a0900fe", prefix: "10.9.0.50/24", broadcast: "10.9.0.254"},
		{name: "broadcast of zero", options: "0104ffffff00 1c0400000000", prefix: "10.9.0.50/24"},
		{name: "broadcast cut off", options: "0104ffffff00 1c020a09", prefix: "10.9.0.50/24"},
		{name: "static routes", options: "0104ffffff00 2110 c0000200 0a090009 0b000000 0a090008",
			prefix: "10.9.0.50/24", routes: []string{"192.0.2.0/24 10.9.0.9", "11.0.0.0/8 10.9.0.8"}},
		{name: "static routes beside classless ones",
			options: "0104ffffff00 2108 c0000200 0a090009 7906 08 0b 0a090008", prefix: "10.9.0.50/24",
			routes: []string{"11.0.0.0/8 10.9.0.8"}},
		{name: "static routes beside nothing", options: "0104ffffff00 2108 c0000200 0a090009 7900",
			prefix: "10.9.0.50/24", routes: []string{"192.0.2.0/24 10.9.0.9"}},
		{name: "static routes cut off", options: "0104ffffff00 2107 c0000200 0a0900", prefix: "10.9.0.50/24"},
		{name: "static route to no network", options: "0104ffffff00 2110 e0000001 0a090009 ac100000 0a090009",
			prefix: "10.9.0.50/24", routes: []string{"172.16.0.0/16 10.9.0.9"}},
		{name: "classless routes with a bad tail", options: "0104ffffff00 790b 08 0b 0a090008 21 01020304",
			prefix: "10.9.0.50/24", routes: []string{"11.0.0.0/8 10.9.0.8"}},
		{name: "classless routes cut off", options: "0104ffffff00 7909 08 0b 0a090008 18 0c00",
			prefix: "10.9.0.50/24", routes: []string{"11.0.0.0/8 10.9.0.8"}},
		{name: "classless routes of odd lengths",
			options: "0104ffffff00 791f 14 0a20f0 0a090008 01 80 0a090008 1f c0000203 0a090008 11 0a30ff 0a090008",
			prefix:  "10.9.0.50/24",
			routes: []string{"10.32.240.0/20 10.9.0.8", "128.0.0.0/1 10.9.0.8", "192.0.2.2/31 10.9.0.8",
				"10.48.128.0/17 10.9.0.8"}},
		{name: "own name server", options: "0104ffffff00 0608 7f000001 0a090003", prefix: "10.9.0.50/24",
			dns: []string{"127.0.0.1", "10.9.0.3"}, nameservers: []string{"10.9.0.3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := parse4(message4(t, tt.options+"ff", "", ""))
			if err != nil {
				t.Fatal(err)
			}
			if !(&dhcp4{}).usable(p) {
				t.Fatal("it is no lease")
			}
			lease := readLease4(p)
			if lease.prefix.String() != tt.prefix {
				t.Errorf("address %s, want %s", lease.prefix, tt.prefix)
			}
			if got := lease.broadcast; got.IsValid() != (tt.broadcast != "") || got.IsValid() &&
				got.String() != tt.broadcast {
				t.Errorf("broadcast %s, want %q", got, tt.broadcast)
			}
			var routes []string
			for _, r := range lease.routes {
				routes = append(routes, r.to.String()+" "+r.via.String())
			}
			if diff := cmp.Diff(tt.routes, routes); diff != "" {
				t.Errorf("routes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.dns, texts(lease.dns)); diff != "" {
				t.Errorf("name servers given (-want +got):\n%s", diff)
			}
			l := testLink(t, "")
			l.lease4 = lease
			if diff := cmp.Diff(tt.nameservers, texts(l.want(time.Now()).names.dns)); diff != "" {
				t.Errorf("name servers used (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPayload4 checks that only the lengths in the packet count, and that none of them leads out of it.
func TestPayload4(t *testing.T) {
	whole := datagram4([]byte("hello"), 67, 68)
	change := func(at int, b ...byte) []byte {
		p := slices.Clone(whole)
		copy(p[at:], b)
		return p
	}
	for _, tt := range []struct {
		name   string
		packet []byte
		want   string
	}{
		{"whole", whole, "hello"},
		{"padded", append(slices.Clone(whole), 0, 0, 0), "hello"},
		{"cut off", whole[:len(whole)-1], ""},
		{"nothing", nil, ""},
		{"IPv6", change(0, 0x65), ""},
		{"a header of nothing", change(0, 0x40), ""},
		{"a header beyond the packet", change(0, 0x4f), ""},
		{"a total of nothing", change(2, 0, 0), ""},
		{"a total beyond the packet", change(2, 9, 0), ""},
		{"a length of nothing", change(24, 0, 0), ""},
		{"a length beyond the packet", change(24, 9, 0), ""},
		{"a shorter length", change(24, 0, 10), "he"},
	} {
		if got := string(payload4(tt.packet)); got != tt.want {
			t.Errorf("%s: payload %q, want %q", tt.name, got, tt.want)
		}
	}
	if sum := checksum(whole[:20]); sum != 0 {
		t.Errorf("the header's checksum is off by %#x", sum)
	}
}

// TestInfiniBand checks what RFC 4390 section 2.1 says about messages over InfiniBand, and that the queue number,
// which each boot chooses anew, is not part of the client's identity.
func TestInfiniBand(t *testing.T) {
	mac := func(queue byte) net.HardwareAddr {
		return append(net.HardwareAddr{0x80, 0, 2, queue, 0xfe, 0x80, 0, 0, 0, 0, 0, 0}, 0xf4, 0x52, 0x14, 3, 0, 0x7b,
			0xcb, 0xa1)
	}
	const id = "ff 007bcba1 00030020 f4521403007bcba1"
	for _, queue := range []byte{0x86, 0x99} {
		d := &dhcp4{mac: mac(queue)}
		d.conf.ClientIdentifier = "mac"
		discover, err := dhcpv4.NewDiscovery(d.mac, d.modifiers()...)
		if err != nil {
			t.Fatal(err)
		}
		renewal := ack(t)
		renew, err := dhcpv4.NewRenewFromAck(renewal, d.modifiers()...)
		if err != nil {
			t.Fatal(err)
		}
		for name, m := range map[string]*dhcpv4.DHCPv4{"discover": discover, "renewal": renew} {
			b := m.ToBytes()
			if b[1] != 32 || b[2] != 0 || !bytes.Equal(b[28:44], make([]byte, 16)) {
				t.Errorf("%s: htype %d, hlen %d, chaddr %x", name, b[1], b[2], b[28:44])
			}
			if got := m.IsBroadcast(); got != (name == "discover") {
				t.Errorf("%s: broadcast flag is %v", name, got)
			}
			if got := m.Options[61]; !bytes.Equal(got, unhex(t, id)) {
				t.Errorf("%s: client identifier %x, want %s", name, got, id)
			}
		}
		w := &wire4{clientID: d.clientID(), mac: d.mac}
		reply := ack(t)
		reply.OpCode = dhcpv4.OpcodeBootReply
		for _, tt := range []struct {
			id   []byte
			want bool
		}{{nil, true}, {d.clientID(), true}, {[]byte{255, 1}, false}} {
			if delete(reply.Options, 61); tt.id != nil {
				reply.Options[61] = tt.id
			}
			if got := w.forUs(reply); got != tt.want {
				t.Errorf("a reply with the identifier %x is for us: %v", tt.id, got)
			}
		}
	}
}

// FuzzParse4 checks that no packet crashes the parser, that everything it reads lies within the packet, and that what
// is sent can be read again.
func FuzzParse4(f *testing.F) {
	for _, options := range []string{"ff", "340103 0104ffffff00 ff", "7906 08 0b 0a090008 2108c00002000a090009", "03",
		"0600 0c00 0f00 7700 1a00", "0fff" + strings.Repeat("61", 255) + "0f0162 ff"} {
		f.Add(message4(f, options, "06040a090003 ff", "7703026161 ff"))
	}
	f.Add(datagram4([]byte("hello"), 67, 68))
	f.Fuzz(func(t *testing.T, b []byte) {
		if inside := payload4(b); len(inside) > max(0, len(b)-28) {
			t.Errorf("%d bytes in a packet of %d", len(inside), len(b))
		}
		p, err := parse4(b)
		if err != nil {
			return
		}
		total := 0
		for code, value := range p.Options {
			if n, single := lengths4[code]; single && len(value) != n {
				t.Errorf("option %d has %d bytes", code, len(value))
			}
			total += len(value)
		}
		if total > len(b) {
			t.Errorf("%d bytes of options in a packet of %d", total, len(b))
		}
		if (&dhcp4{}).usable(p) {
			lease := readLease4(p)
			if a := lease.prefix.Addr(); !a.Is4() || a.IsUnspecified() || lease.lifetime > 0 &&
				!(0 < lease.renew && lease.renew < lease.rebind && lease.rebind < lease.lifetime) {
				t.Errorf("lease of %v for %v, extended after %v and %v", lease.prefix, lease.lifetime, lease.renew,
					lease.rebind)
			}
			for _, r := range lease.routes {
				if !r.to.IsValid() || r.to != r.to.Masked() || r.via.IsValid() && r.via == netip.IPv4Unspecified() {
					t.Errorf("route to %v via %v", r.to, r.via)
				}
			}
		}
		if again, err := parse4(p.ToBytes()); err != nil || len(again.Options) > len(p.Options) {
			t.Errorf("what is sent reads %v, %v", again, err)
		}
	})
}
