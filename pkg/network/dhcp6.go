package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/nclient6"
	"github.com/insomniacslk/dhcp/iana"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// lease6 is what a DHCPv6 server gave.
type lease6 struct {
	addresses []lease6Addr
	dns, ntp  []netip.Addr
	domains   []string
	server    string
	renew     time.Time // zero: never
	expires   time.Time
}

type lease6Addr struct {
	addr             netip.Addr
	valid, preferred time.Time // zero: forever
}

// dhcp6 asks DHCPv6 servers on one link (RFC 8415), for an address or for other configuration alone.
type dhcp6 struct {
	name     string
	mac      net.HardwareAddr
	conf     netconf.DHCPv6
	inform   bool // information-request: no address
	hostname string
	update   func(*lease6)
	notice   func(string)
}

// run ends with ctx. The link must have its link-local address.
func (d *dhcp6) run(ctx context.Context) {
	for try := 0; ctx.Err() == nil; try++ {
		if err := d.session(ctx); err != nil && ctx.Err() == nil {
			if !errors.Is(err, errNoAnswer) {
				d.notice(fmt.Sprintf("DHCPv6: %v", err))
			}
			sleep(ctx, wait(try))
		}
	}
}

func (d *dhcp6) session(ctx context.Context) error {
	conn, err := nclient6.NewIPv6UDPConn(d.name, dhcpv6.DefaultClientPort)
	if err != nil {
		return fmt.Errorf("cannot open a socket: %w", err)
	}
	client, err := nclient6.NewWithConn(conn, d.mac, nclient6.WithTimeout(time.Hour), nclient6.WithRetry(1))
	if err != nil {
		conn.Close()
		return err
	}
	defer client.Close()
	for {
		reply, err := d.obtain(ctx, client)
		if err != nil {
			return err
		}
		lease := readLease6(reply, time.Now())
		if !d.inform && len(lease.addresses) == 0 {
			return fmt.Errorf("server %s has no address for this machine%s", lease.server, status(reply))
		}
		d.update(lease)
		if d.inform || lease.renew.IsZero() {
			<-ctx.Done()
			return ctx.Err()
		}
		// A lease that is half over is asked for anew as if it were the first: the server knows this client and gives the same.
		sleep(ctx, time.Until(lease.renew))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func status(m *dhcpv6.Message) string {
	if ia := m.Options.OneIANA(); ia != nil {
		if s := ia.Options.Status(); s != nil && s.StatusMessage != "" {
			return fmt.Sprintf(": %q", s.StatusMessage)
		}
	}
	return ""
}

// obtain is SOLICIT and REPLY with rapid commit, or with ADVERTISE and REQUEST in between; or INFORMATION-REQUEST and REPLY.
func (d *dhcp6) obtain(ctx context.Context, client *nclient6.Client) (*dhcpv6.Message, error) {
	if d.inform {
		m, err := dhcpv6.NewMessage(d.modifiers()...)
		if err != nil {
			return nil, err
		}
		m.MessageType = dhcpv6.MessageTypeInformationRequest
		return exchange6(ctx, client, m, 1<<20, nclient6.IsMessageType(dhcpv6.MessageTypeReply))
	}
	var id [4]byte
	copy(id[:], iaid(d.conf.IAID, d.mac))
	mods := append(d.modifiers(), dhcpv6.WithIAID(id))
	if d.conf.RapidCommit {
		mods = append(mods, dhcpv6.WithRapidCommit)
	}
	solicit, err := dhcpv6.NewSolicit(d.mac, mods...)
	if err != nil {
		return nil, err
	}
	answer, err := exchange6(ctx, client, solicit, 1<<20, func(m *dhcpv6.Message) bool {
		return m.MessageType == dhcpv6.MessageTypeReply || m.MessageType == dhcpv6.MessageTypeAdvertise && len(readLease6(m, time.Now()).addresses) > 0
	})
	if err != nil || answer.MessageType == dhcpv6.MessageTypeReply {
		return answer, err
	}
	request, err := dhcpv6.NewRequestFromAdvertise(answer, d.modifiers()...)
	if err != nil {
		return nil, err
	}
	return exchange6(ctx, client, request, 4, nclient6.IsMessageType(dhcpv6.MessageTypeReply))
}

func exchange6(ctx context.Context, client *nclient6.Client, message *dhcpv6.Message, times int, fits nclient6.Matcher) (*dhcpv6.Message, error) {
	begin := time.Now()
	return repeat(ctx, times, func(once context.Context) (*dhcpv6.Message, error) {
		// In hundredths of a second, with an end: RFC 8415 21.9.
		message.UpdateOption(dhcpv6.OptElapsedTime(min(time.Since(begin), 65535*10*time.Millisecond)))
		return client.SendAndRead(once, client.RemoteAddr(), message, fits)
	})
}

func (d *dhcp6) modifiers() []dhcpv6.Modifier {
	wanted := []dhcpv6.OptionCode{dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList, dhcpv6.OptionNTPServer, dhcpv6.OptionSNTPServerList}
	for _, code := range d.conf.RequestOptions {
		wanted = append(wanted, dhcpv6.OptionCode(code))
	}
	mods := []dhcpv6.Modifier{
		func(m dhcpv6.DHCPv6) { m.UpdateOption(dhcpv6.OptClientID(d.duid())) },
		func(m dhcpv6.DHCPv6) { m.UpdateOption(dhcpv6.OptRequestedOption(wanted...)) },
	}
	option := func(code uint16, data []byte) {
		mods = append(mods, func(m dhcpv6.DHCPv6) {
			m.UpdateOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionCode(code), OptionData: data})
		})
	}
	if name := sentHostname(d.conf.SendHostname, d.conf.Hostname, d.hostname); name != "" && !d.inform {
		mods = append(mods, dhcpv6.WithFQDN(1, name)) // RFC 4704: the server may do the forward record
	}
	if len(d.conf.UserClass) > 0 {
		var b []byte
		for _, c := range d.conf.UserClass {
			b = append(append(b, byte(len(c)>>8), byte(len(c))), c...)
		}
		option(15, b)
	}
	if len(d.conf.VendorClass) > 0 { // RFC 8415 21.16, under systemd's enterprise number
		b := []byte{0, 0, 0xab, 0x11}
		for _, c := range d.conf.VendorClass {
			b = append(append(b, byte(len(c)>>8), byte(len(c))), c...)
		}
		option(16, b)
	}
	for _, o := range d.conf.SendOptions {
		option(o.Code, o.Data)
	}
	return mods
}

func (d *dhcp6) duid() dhcpv6.DUID {
	raw := duid(d.conf.DUID, d.mac)
	if id, err := dhcpv6.DUIDFromBytes(raw); err == nil {
		return id
	}
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: d.mac}
}

func readLease6(m *dhcpv6.Message, now time.Time) *lease6 {
	l := &lease6{dns: addrs(m.Options.DNS()), ntp: addrs(append(m.Options.NTPServers(), m.Options.SNTP()...))}
	if id := m.Options.ServerID(); id != nil {
		l.server = serverName(id)
	}
	if search := m.Options.DomainSearchList(); search != nil {
		l.domains = search.Labels
	}
	const infinity = time.Duration(1<<32-1) * time.Second
	until := func(d time.Duration) time.Time {
		if d >= infinity {
			return time.Time{}
		}
		return now.Add(d)
	}
	ia := m.Options.OneIANA()
	if ia == nil {
		return l
	}
	for _, o := range ia.Options.Addresses() {
		a := addrOrNone(o.IPv6Addr)
		if !a.Is6() || o.ValidLifetime == 0 || o.PreferredLifetime > o.ValidLifetime { // RFC 8415 21.6
			continue
		}
		l.addresses = append(l.addresses, lease6Addr{a, until(o.ValidLifetime), until(o.PreferredLifetime)})
		renew := ia.T1
		if renew == 0 { // the choice is ours: RFC 8415 21.4
			renew = o.PreferredLifetime / 2
		}
		if t := until(o.ValidLifetime); !t.IsZero() && renew > 0 {
			l.expires = t
			l.renew = now.Add(min(renew, o.ValidLifetime/2))
		}
	}
	return l
}

// serverName is what can be told of a server from its DUID.
func serverName(id dhcpv6.DUID) string {
	switch id := id.(type) {
	case *dhcpv6.DUIDLL:
		return id.LinkLayerAddr.String()
	case *dhcpv6.DUIDLLT:
		return id.LinkLayerAddr.String()
	}
	return fmt.Sprintf("%x", slices.Clip(id.ToBytes()))
}
