package network

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/u-root/u-root/pkg/dhclient"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// lease4 is what a DHCPv4 server gave.
type lease4 struct {
	prefix    netip.Prefix
	server    netip.Addr
	routers   []netip.Addr
	classless []classless
	dns, ntp  []netip.Addr
	domains   []string
	hostname  string
	mtu       int
	since     time.Time
	lifetime  time.Duration // 0: no end
	renew     time.Duration // T1, counted from since
	ack       *dhcpv4.DHCPv4
}

// classless is a route of RFC 3442's option; without a router the destination is on the link.
type classless struct {
	to  netip.Prefix
	via netip.Addr
}

// dhcp4 asks for a lease on one link and keeps it.
type dhcp4 struct {
	name     string
	mac      net.HardwareAddr
	conf     netconf.DHCPv4
	hostname string
	update   func(*lease4) // nil: the lease is no more
	notice   func(string)  // something a person may want to know
}

// The waits between two sendings of a message that is not answered: RFC 2131 4.1 begins at 4 s and doubles up to 64; a
// switch port that begins to forward after 30 s must not cost a minute, so ours begin lower and end at 8.
var waits = [...]time.Duration{1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}

// wait is the n-th wait, a fifth more or less by chance lest a rack of machines ask in step.
func wait(n int) time.Duration {
	w := waits[min(n, len(waits)-1)]
	return w - w/5 + rand.N(2*w/5)
}

var errNoAnswer = errors.New("no answer")

// run ends with ctx.
func (d *dhcp4) run(ctx context.Context) {
	for try := 0; ctx.Err() == nil; try++ {
		if err := d.session(ctx); err != nil && ctx.Err() == nil {
			if !errors.Is(err, errNoAnswer) {
				d.notice(fmt.Sprintf("DHCPv4: %v", err))
			}
			if d.conf.MaxAttempts > 0 && try+1 >= d.conf.MaxAttempts {
				return
			}
			sleep(ctx, wait(try))
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// session is one lease from its request to its end.
func (d *dhcp4) session(ctx context.Context) error {
	conn, err := nclient4.NewRawUDPConn(d.name, d.clientPort())
	if err != nil {
		return fmt.Errorf("cannot open a socket: %w", err)
	}
	server := &net.UDPAddr{IP: net.IPv4bcast, Port: nclient4.ServerPort}
	if d.conf.ServerPort != 0 {
		server.Port = d.conf.ServerPort
	}
	// How often and how long is decided here, so the client is told to wait as long as its context.
	client, err := nclient4.NewWithConn(conn, d.mac, nclient4.WithTimeout(time.Hour), nclient4.WithRetry(1), nclient4.WithServerAddr(server))
	if err != nil {
		conn.Close()
		return err
	}
	defer client.Close()

	lease, err := d.obtain(ctx, client)
	if err != nil {
		return err
	}
	defer d.update(nil)
	for {
		d.update(lease)
		if lease.lifetime == 0 {
			<-ctx.Done()
			return ctx.Err()
		}
		sleep(ctx, time.Until(lease.since.Add(lease.renew)))
		if lease, err = d.extend(ctx, client, lease); err != nil {
			return err
		}
	}
}

func (d *dhcp4) clientPort() int {
	if d.conf.ListenPort != 0 {
		return d.conf.ListenPort
	}
	return nclient4.ClientPort
}

// obtain is DISCOVER, OFFER, REQUEST, ACK. It takes the first offer of an address; one without comes from a proxyDHCP
// server, which hands out boot files only (PXE 2.1, section 2.2.3), and is passed over.
func (d *dhcp4) obtain(ctx context.Context, client *nclient4.Client) (*lease4, error) {
	discover, err := dhcpv4.NewDiscovery(d.mac, d.modifiers()...)
	if err != nil {
		return nil, err
	}
	offer, err := exchange4(ctx, client, discover, 1<<20, func(p *dhcpv4.DHCPv4) bool {
		return p.MessageType() == dhcpv4.MessageTypeOffer && d.usable(p)
	})
	if err != nil {
		return nil, err
	}
	request, err := dhcpv4.NewRequestFromOffer(offer, d.modifiers()...)
	if err != nil {
		return nil, err
	}
	ack, err := exchange4(ctx, client, request, 4, func(p *dhcpv4.DHCPv4) bool {
		return p.ServerIdentifier().Equal(offer.ServerIdentifier()) &&
			(p.MessageType() == dhcpv4.MessageTypeNak || p.MessageType() == dhcpv4.MessageTypeAck && d.usable(p))
	})
	if err != nil {
		return nil, fmt.Errorf("server %s offered %s but did not confirm it: %w", offer.ServerIdentifier(), offer.YourIPAddr, err)
	}
	if ack.MessageType() == dhcpv4.MessageTypeNak {
		return nil, fmt.Errorf("server %s refused %s%s", ack.ServerIdentifier(), offer.YourIPAddr, because(ack.Message()))
	}
	return readLease4(ack)
}

func because(message string) string {
	if message == "" {
		return ""
	}
	return fmt.Sprintf(": %q", message)
}

// extend renews the lease, or says why it came to its end.
func (d *dhcp4) extend(ctx context.Context, client *nclient4.Client, old *lease4) (*lease4, error) {
	request, err := dhcpv4.NewRenewFromAck(old.ack, d.modifiers()...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(ctx, old.since.Add(old.lifetime))
	defer cancel()
	ack, err := exchange4(ctx, client, request, 1<<20, func(p *dhcpv4.DHCPv4) bool {
		return p.MessageType() == dhcpv4.MessageTypeNak || p.MessageType() == dhcpv4.MessageTypeAck && d.usable(p)
	})
	if err != nil {
		return nil, fmt.Errorf("the lease of %s ran out: %w", old.prefix.Addr(), err)
	}
	if ack.MessageType() == dhcpv4.MessageTypeNak {
		return nil, fmt.Errorf("server %s took %s back%s", ack.ServerIdentifier(), old.prefix.Addr(), because(ack.Message()))
	}
	for code, value := range old.ack.Options { // Windows' server leaves out of a renewal what it said before
		if _, there := ack.Options[code]; !there {
			ack.Options[code] = value
		}
	}
	return readLease4(ack)
}

// exchange4 sends the message until a fitting answer comes, at most so many times. The transaction id stays, so that an
// answer to an earlier sending counts: a server may spend seconds on finding out whether an address is free.
func exchange4(ctx context.Context, client *nclient4.Client, message *dhcpv4.DHCPv4, times int, fits nclient4.Matcher) (*dhcpv4.DHCPv4, error) {
	begin := time.Now()
	return repeat(ctx, times, func(once context.Context) (*dhcpv4.DHCPv4, error) {
		message.NumSeconds = uint16(min(time.Since(begin).Seconds(), 65535))
		return client.SendAndRead(once, client.RemoteAddr(), message, fits)
	})
}

// repeat sends until there is an answer, each time waiting longer for it: RFC 2131 4.1, RFC 8415 15. Only silence is a
// reason to send again.
func repeat[T any](ctx context.Context, times int, send func(once context.Context) (T, error)) (T, error) {
	var none T
	for n := range times {
		once, cancel := context.WithTimeout(ctx, wait(n))
		answer, err := send(once)
		expired := once.Err() != nil
		cancel()
		switch {
		case err == nil:
			return answer, nil
		case ctx.Err() != nil:
			return none, ctx.Err()
		case !expired:
			return none, err
		}
	}
	return none, errNoAnswer
}

// usable reports whether the offer or acknowledgement gives an address and comes from a server that the configuration allows.
func (d *dhcp4) usable(p *dhcpv4.DHCPv4) bool {
	server, ok := netip.AddrFromSlice(p.ServerIdentifier().To4())
	if !ok {
		return false
	}
	yours, ok := netip.AddrFromSlice(p.YourIPAddr.To4())
	if !ok || yours.IsUnspecified() || yours.IsMulticast() || yours.IsLoopback() || yours == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return false
	}
	within := func(l []netip.Prefix) bool {
		return slices.ContainsFunc(l, func(p netip.Prefix) bool { return p.Contains(server) })
	}
	if len(d.conf.AllowList) > 0 { // systemd.network(5): the other list is ignored then
		return within(d.conf.AllowList)
	}
	return !within(d.conf.DenyList)
}

// modifiers complete every message to a server.
func (d *dhcp4) modifiers() []dhcpv4.Modifier {
	wanted := []dhcpv4.OptionCode{
		dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionHostName, dhcpv4.OptionDomainName,
		dhcpv4.OptionInterfaceMTU, dhcpv4.OptionNTPServers, dhcpv4.OptionDNSDomainSearchList, dhcpv4.OptionClasslessStaticRoute,
	}
	if d.conf.Anonymize {
		wanted = wanted[:3] // RFC 7844 3.6: ask for no more than one uses
	}
	for _, code := range d.conf.RequestOptions {
		wanted = append(wanted, dhcpv4.GenericOptionCode(code))
	}
	mods := []dhcpv4.Modifier{
		func(p *dhcpv4.DHCPv4) { p.Options.Update(dhcpv4.OptParameterRequestList(wanted...)) },
		dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(nclient4.MaxMessageSize)),
		dhcpv4.WithBroadcast(d.conf.Broadcast),
	}
	option := func(code uint8, value []byte) {
		mods = append(mods, dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(code), value))
	}
	if id := d.clientID(); id != nil {
		option(61, id)
	}
	if !d.conf.Anonymize {
		if name := sentHostname(d.conf.SendHostname, d.conf.Hostname, d.hostname); name != "" {
			mods = append(mods, dhcpv4.WithOption(dhcpv4.OptHostName(name)))
		}
		if d.conf.VendorClass != "" {
			mods = append(mods, dhcpv4.WithOption(dhcpv4.OptClassIdentifier(d.conf.VendorClass)))
		}
		if len(d.conf.UserClass) > 0 { // RFC 3004: each with its length before it
			var b []byte
			for _, c := range d.conf.UserClass {
				b = append(append(b, byte(len(c))), c...)
			}
			option(77, b)
		}
	}
	if d.conf.RequestAddress.IsValid() {
		mods = append(mods, func(p *dhcpv4.DHCPv4) {
			if p.MessageType() == dhcpv4.MessageTypeDiscover {
				p.Options.Update(dhcpv4.OptRequestedIPAddress(d.conf.RequestAddress.AsSlice()))
			}
		})
	}
	for _, o := range d.conf.SendOptions {
		option(uint8(o.Code), o.Data)
	}
	return mods
}

// sentHostname is what a server is told: the configured name, else the machine's if it has one.
func sentHostname(send bool, configured, own string) string {
	switch {
	case !send:
		return ""
	case configured != "":
		return configured
	case own == "localhost" || own == "(none)":
		return ""
	}
	return own
}

// clientID is option 61 (RFC 2132 9.14): the hardware address, or with a DUID the form of RFC 4361.
func (d *dhcp4) clientID() []byte {
	switch d.conf.ClientIdentifier {
	case "duid":
		return slices.Concat([]byte{255}, iaid(d.conf.IAID, d.mac), duid(d.conf.DUID, d.mac))
	case "duid-only":
		return slices.Concat([]byte{255}, duid(d.conf.DUID, d.mac))
	}
	return append([]byte{1}, d.mac...)
}

// readLease4 takes what it knows from an acknowledgement. It refuses no part: a server's mistake in one option leaves the others.
func readLease4(ack *dhcpv4.DHCPv4) (*lease4, error) {
	packet := dhclient.NewPacket4(nil, ack)
	network := packet.Lease()
	ip, _ := netip.AddrFromSlice(network.IP.To4())
	ones, bits := network.Mask.Size()
	if bits != 32 {
		return nil, fmt.Errorf("server %s gave %s the netmask %s", ack.ServerIdentifier(), ip, network.Mask)
	}
	server, _ := netip.AddrFromSlice(ack.ServerIdentifier().To4())
	l := &lease4{
		prefix:   netip.PrefixFrom(ip, ones),
		server:   server,
		routers:  addrs(ack.Router()),
		ntp:      addrs(ack.NTPServers()),
		hostname: strings.TrimRight(ack.HostName(), "\x00"),
		since:    time.Now(),
		ack:      ack,
	}
	dns, search, domain := packet.GatherDNSSettings()
	l.dns = addrs(dns)
	if domain = strings.TrimRight(domain, "\x00"); domain != "" {
		l.domains = append(l.domains, domain)
	}
	for _, s := range search {
		if s != "" && !slices.Contains(l.domains, s) {
			l.domains = append(l.domains, s)
		}
	}
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil && mtu >= 68 { // RFC 2132 5.1
		l.mtu = int(mtu)
	}
	for _, r := range ack.ClasslessStaticRoute() {
		to, via := prefixOf(r.Dest), addrOrNone(r.Router)
		if to.IsValid() {
			l.classless = append(l.classless, classless{to, via})
		}
	}
	if t := ack.IPAddressLeaseTime(0); t > 0 && t < time.Duration(1<<32-1)*time.Second {
		l.lifetime = t
		l.renew = ack.IPAddressRenewalTime(t / 2)
		if l.renew <= 0 || l.renew > t {
			l.renew = t / 2
		}
	}
	return l, nil
}

// addrs leaves out what is no address of a host.
func addrs(ips []net.IP) []netip.Addr {
	var out []netip.Addr
	for _, ip := range ips {
		if a := addrOrNone(ip); a.IsValid() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

func addrOrNone(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip)
	a = a.Unmap()
	if !ok || a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}
	}
	return a
}

func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if !ok || bits == 0 {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a.Unmap(), ones).Masked()
}
