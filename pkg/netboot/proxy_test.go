package netboot

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/iana"

	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

func proxy(t *testing.T) *Proxy {
	return &Proxy{Server: netip.MustParseAddr("192.0.2.1"), Arch: "amd64", Script: "http://192.0.2.1/boot.ipxe",
		UKI: "http://192.0.2.1/wyrcan.efi", BIOS: "undionly.kpxe", Logf: t.Logf}
}

var mac = net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}

// uuid is option 97: a type and the machine's UUID.
const uuid = "\x000123456789abcdef"

// client returns the options that a boot client adds to its DHCP messages: class (60), architecture (93), machine (97).
func client(class string, arch iana.Arch, more ...dhcpv4.Modifier) []dhcpv4.Modifier {
	return append([]dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier(class)),
		dhcpv4.WithOption(dhcpv4.OptClientArch(arch)),
		dhcpv4.WithGeneric(dhcpv4.OptionClientMachineIdentifier, []byte(uuid)),
	}, more...)
}

func message(t *testing.T, kind dhcpv4.MessageType, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	m, err := dhcpv4.NewDiscovery(mac, append(more, dhcpv4.WithMessageType(kind))...)
	if err != nil {
		t.Fatal(err)
	}
	m, err = dhcpv4.FromBytes(m.ToBytes()) // as it arrives
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const pxe, web = "PXEClient:Arch:00000:UNDI:002001", "HTTPClient:Arch:00016:UNDI:003001"

func TestOffer(t *testing.T) {
	for name, c := range map[string]struct {
		client []dhcpv4.Modifier
		file   string // "" if it gets no offer
		about  string // the text for the log
	}{
		"BIOS":            {client(pxe, iana.INTEL_X86PC), "undionly.kpxe", "undionly.kpxe"},
		"UEFI PXE":        {client(pxe, iana.EFI_X86_64), "wyrcan.efi", "wyrcan.efi"},
		"UEFI PXE, RFC's": {client(pxe, iana.EFI_BC), "wyrcan.efi", "wyrcan.efi"},
		"UEFI HTTP":       {client(web, iana.EFI_X86_64_HTTP), "http://192.0.2.1/wyrcan.efi", "wyrcan.efi"},
		"iPXE on BIOS": {client(pxe, iana.INTEL_X86PC, dhcpv4.WithUserClass("iPXE", false)),
			"http://192.0.2.1/boot.ipxe", "boot.ipxe"},
		"iPXE on EFI": {client(pxe, iana.EFI_X86_64, dhcpv4.WithUserClass("iPXE", true)),
			"http://192.0.2.1/boot.ipxe", "boot.ipxe"},
		"iPXE on arm64": {client(pxe, iana.EFI_ARM64, dhcpv4.WithUserClass("iPXE", false)),
			"http://192.0.2.1/boot.ipxe", "boot.ipxe"},
		"arm64":          {client(pxe, iana.EFI_ARM64), "", "nothing here"},
		"arm64 HTTP":     {client(web, iana.EFI_ARM64_HTTP), "", "nothing here"},
		"32-bit EFI":     {client(pxe, iana.EFI_IA32), "", "nothing here"},
		"class and arch": {client(web, iana.EFI_X86_64), "", "says HTTPClient"},
		"no arch":        {[]dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClassIdentifier(pxe))}, "", "does not say"},
		"an installed OS": {[]dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClassIdentifier("systemd-networkd"))}, "",
			""},
		"nothing to go by": {nil, "", ""},
	} {
		request := message(t, dhcpv4.MessageTypeDiscover, c.client...)
		reply, about := proxy(t).answer(request, false)
		if !strings.Contains(about, c.about) || (c.about == "") != (about == "") {
			t.Errorf("%s: the log says %q, want %q", name, about, c.about)
		}
		if (reply == nil) != (c.file == "") {
			t.Errorf("%s: answer = %v", name, reply)
		}
		if reply == nil {
			continue
		}
		reply, err := dhcpv4.FromBytes(reply.ToBytes())
		if err != nil {
			t.Fatal(err)
		}
		server := net.IPv4(192, 0, 2, 1)
		class, _, _ := strings.Cut(request.ClassIdentifier(), ":")
		vendor := string(reply.Options.Get(dhcpv4.OptionVendorSpecificInformation))
		switch {
		case reply.OpCode != dhcpv4.OpcodeBootReply || reply.TransactionID != request.TransactionID ||
			reply.MessageType() != dhcpv4.MessageTypeOffer:
			t.Errorf("%s: not an offer: %v", name, reply)
		case !reply.YourIPAddr.IsUnspecified():
			t.Errorf("%s: gives an address: %v", name, reply.YourIPAddr)
		case !reply.ServerIPAddr.Equal(server) || !reply.ServerIdentifier().Equal(server):
			t.Errorf("%s: from %v and %v, want %v", name, reply.ServerIPAddr, reply.ServerIdentifier(), server)
		case reply.BootFileName != c.file || reply.BootFileNameOption() != c.file:
			t.Errorf("%s: file %q and %q, want %q", name, reply.BootFileName, reply.BootFileNameOption(), c.file)
		case reply.ClassIdentifier() != class:
			t.Errorf("%s: class %q, want %q", name, reply.ClassIdentifier(), class)
		case string(reply.Options.Get(dhcpv4.OptionClientMachineIdentifier)) != uuid:
			t.Errorf("%s: the machine's UUID is not sent back", name)
		case (vendor == discoveryControl) != (class == "PXEClient"):
			t.Errorf("%s: option 43 = % x", name, vendor)
		}
	}
}

// A request that is not for a proxy is left to the other server.
func TestWhoIsAnswered(t *testing.T) {
	bios := client(pxe, iana.INTEL_X86PC)
	ours := append(client(pxe, iana.INTEL_X86PC), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 1))))
	other := append(client(pxe, iana.INTEL_X86PC),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 9))))
	for name, c := range map[string]struct {
		request *dhcpv4.DHCPv4
		direct  bool
		want    dhcpv4.MessageType // none: no answer
	}{
		"discover":          {message(t, dhcpv4.MessageTypeDiscover, bios...), false, dhcpv4.MessageTypeOffer},
		"discover at 4011":  {message(t, dhcpv4.MessageTypeDiscover, bios...), true, dhcpv4.MessageTypeNone},
		"request to us":     {message(t, dhcpv4.MessageTypeRequest, ours...), false, dhcpv4.MessageTypeAck},
		"request to other":  {message(t, dhcpv4.MessageTypeRequest, other...), false, dhcpv4.MessageTypeNone},
		"request to nobody": {message(t, dhcpv4.MessageTypeRequest, bios...), false, dhcpv4.MessageTypeNone},
		"request at 4011":   {message(t, dhcpv4.MessageTypeRequest, bios...), true, dhcpv4.MessageTypeAck},
		"inform":            {message(t, dhcpv4.MessageTypeInform, bios...), false, dhcpv4.MessageTypeNone},
		"inform at 4011":    {message(t, dhcpv4.MessageTypeInform, bios...), true, dhcpv4.MessageTypeAck},
		"release":           {message(t, dhcpv4.MessageTypeRelease, ours...), false, dhcpv4.MessageTypeNone},
		"not a boot client": {message(t, dhcpv4.MessageTypeDiscover), false, dhcpv4.MessageTypeNone},
		"no request but reply": {reply(t, message(t, dhcpv4.MessageTypeDiscover, bios...)), false,
			dhcpv4.MessageTypeNone},
	} {
		got := dhcpv4.MessageTypeNone
		if reply, _ := proxy(t).answer(c.request, c.direct); reply != nil {
			got = reply.MessageType()
		}
		if got != c.want {
			t.Errorf("%s: answered with %v, want %v", name, got, c.want)
		}
	}
}

func reply(t *testing.T, m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	m.OpCode = dhcpv4.OpcodeBootReply
	return m
}

func TestDestination(t *testing.T) {
	peer := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1068}
	for name, c := range map[string]struct {
		client []dhcpv4.Modifier
		direct bool
		want   string
	}{
		"no address yet": {nil, false, "255.255.255.255:68"},
		"has an address": {[]dhcpv4.Modifier{dhcpv4.WithClientIP(net.IPv4(192, 0, 2, 7))}, false, "192.0.2.7:68"},
		"through relay":  {[]dhcpv4.Modifier{dhcpv4.WithGatewayIP(net.IPv4(192, 0, 2, 254))}, false, "192.0.2.254:67"},
		"at 4011":        {[]dhcpv4.Modifier{dhcpv4.WithClientIP(net.IPv4(192, 0, 2, 7))}, true, "192.0.2.7:1068"},
	} {
		if got := destination(message(t, dhcpv4.MessageTypeDiscover, c.client...), peer,
			c.direct); got.String() != c.want {
			t.Errorf("%s: the reply goes to %v, want %s", name, got, c.want)
		}
	}
}

// A wire is one end of an Ethernet of two machines. Each end receives everything that the other sends.
type wire struct {
	net.PacketConn
	from, to chan []byte
	self     *net.UDPAddr
	closed   chan struct{}
}

func newWire() (a, b *wire) {
	x, y, closed := make(chan []byte, 9), make(chan []byte, 9), make(chan struct{})
	return &wire{from: x, to: y, self: &net.UDPAddr{Port: 67}, closed: closed},
		&wire{from: y, to: x, self: &net.UDPAddr{Port: 68}, closed: closed}
}

func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-w.from:
		return copy(b, p), &net.UDPAddr{IP: net.IPv4zero, Port: 67 + 68 - w.self.Port}, nil
	case <-w.closed:
		return 0, nil, net.ErrClosed
	}
}
func (w *wire) WriteTo(b []byte, _ net.Addr) (int, error) {
	w.to <- append([]byte(nil), b...)
	return len(b), nil
}
func (w *wire) LocalAddr() net.Addr             { return w.self }
func (w *wire) SetReadDeadline(time.Time) error { return nil }
func (w *wire) Close() error {
	select {
	case <-w.closed:
	default:
		close(w.closed)
	}
	return nil
}

// A real client sends its discovery after a packet of garbage, and a request to port 4011 over loopback.
func TestProxy(t *testing.T) {
	p := proxy(t)
	server, end := newWire()
	served := make(chan error, 1)
	go func() { served <- p.Serve(server, false) }()
	end.to <- []byte("not DHCP at all")
	c, err := nclient4.NewWithConn(end, mac)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	offer, err := c.DiscoverOffer(ctx, client(web, iana.EFI_X86_64_HTTP)...)
	if err != nil || offer.BootFileNameOption() != p.UKI {
		t.Errorf("DiscoverOffer = %v, %v", offer, err)
	}
	end.Close()
	c.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve = %v when its connection is closed", err)
	}

	direct, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	go func() { served <- p.Serve(direct, true) }()
	ack := asked(t, direct.LocalAddr(), client(pxe, iana.EFI_X86_64)...)
	if ack.MessageType() != dhcpv4.MessageTypeAck || ack.BootFileName != "wyrcan.efi" {
		t.Errorf("at port 4011: %v", ack)
	}
	direct.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve = %v when its connection is closed", err)
	}
}

// asked sends a client's request to the server and returns the answer.
func asked(t *testing.T, server net.Addr, options ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	conn, err := net.DialUDP("udp4", nil, server.(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(message(t, dhcpv4.MessageTypeRequest, options...).ToBytes()); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 2048)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := dhcpv4.FromBytes(b[:n])
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// All of Serve on a real interface. Loopback is good enough, because it can be bound to.
func TestServeDHCP(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("ports 67 and 69 need root")
	}
	l := new(nettest.Log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx,
			Options{Site: site(t), HTTP: "127.0.0.1:0", TFTP: "127.0.0.1:69", DHCP: "lo", BIOS: "undionly.kpxe",
				Logf: l.Printf})
	}()
	l.Wait(t, `from 127.0.0.1; their addresses come from another DHCP server`)
	url := l.Wait(t, `UEFI HTTP boot: (\S+)`)

	ack := asked(t, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: proxyPort}, client(web, iana.EFI_X86_64_HTTP)...)
	if ack.BootFileNameOption() != url {
		t.Errorf("told of %v, want %s", ack, url)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestServeDHCPRefuses(t *testing.T) {
	for name, want := range map[string]string{"missing0": `no interface "missing0"`} {
		o := Options{Site: site(t), TFTP: ":69", DHCP: name, Logf: t.Logf}
		if err := o.serveDHCP(context.Background(), nil, &net.TCPAddr{}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", name, err, want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, arch := range []iana.Arch{iana.INTEL_X86PC, iana.EFI_X86_64, iana.EFI_X86_64_HTTP} {
		m, err := dhcpv4.NewDiscovery(mac, client(pxe, arch)...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.ToBytes(), false)
		f.Add(m.ToBytes(), true)
	}
	p := &Proxy{Server: netip.MustParseAddr("192.0.2.1"), Arch: "amd64", Script: "s", UKI: "u", BIOS: "b",
		Logf: func(string, ...any) {}}
	f.Fuzz(func(t *testing.T, b []byte, direct bool) {
		request, err := dhcpv4.FromBytes(b)
		if err != nil {
			return
		}
		if reply, _ := p.answer(request, direct); reply != nil && !reply.YourIPAddr.IsUnspecified() {
			t.Errorf("gives an address: %v", reply)
		}
	})
}
