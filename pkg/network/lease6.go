package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// lease6 is a lease of a DHCPv6 server.
type lease6 struct {
	addresses []lease6Addr
	dns, ntp  []netip.Addr
	domains   []string
	hostname  string
	boot      Boot
	wrong     []string  // what is wrong with boot
	server    string    // in a form that a person may recognise
	id        string    // of the server, as in its messages
	renew     time.Time // T1; zero: never
	rebind    time.Time // T2
	expires   time.Time
}

type lease6Addr struct {
	addr             netip.Addr
	valid, preferred time.Time // zero: forever
}

func readLease6(m *message6, now time.Time) *lease6 {
	said := boot6(m)
	l := &lease6{
		dns: addrs(m.Options.DNS()), ntp: addrs(append(m.Options.NTPServers(), m.Options.SNTP()...)),
		server: serverName(m), id: m.server, boot: said.boot, wrong: said.wrong,
	}
	if name := m.Options.FQDN(); name != nil && len(name.DomainName.Labels) > 0 {
		l.hostname = plainName(name.DomainName.Labels[0])
	}
	if search := m.Options.DomainSearchList(); search != nil {
		l.domains = search.Labels
	}
	ia := m.Options.OneIANA()
	if ia == nil {
		return l
	}
	var shortest, longest time.Duration // of the lifetimes: preferred and valid
	for _, o := range ia.Options.Addresses() {
		a := addrOrNone(o.IPv6Addr)
		if !a.Is6() || a.IsLoopback() || a.IsLinkLocalUnicast() {
			continue
		}
		if o.ValidLifetime == 0 || o.PreferredLifetime > o.ValidLifetime { // RFC 8415 21.6
			continue
		}
		l.addresses = append(l.addresses, lease6Addr{a, until6(o.ValidLifetime, now), until6(o.PreferredLifetime, now)})
		if shortest == 0 || o.PreferredLifetime < shortest && o.PreferredLifetime > 0 {
			shortest = o.PreferredLifetime
		}
		longest = max(longest, o.ValidLifetime)
	}
	l.times(ia, shortest, longest, now)
	return l
}

const infinity6 = time.Duration(1<<32-1) * time.Second

// until6 returns when a lifetime ends; the zero time if it has no end.
func until6(d time.Duration, now time.Time) time.Time {
	if d >= infinity6 {
		return time.Time{}
	}
	return now.Add(d)
}

// times sets when the lease is to be extended. If the server gives no times, or impossible ones, they are half and
// four fifths of the preferred lifetime: RFC 8415 sections 14.2 and 21.4.
func (l *lease6) times(ia *dhcpv6.OptIANA, preferred, valid time.Duration, now time.Time) {
	if valid == 0 || valid >= infinity6 || ia.T1 >= infinity6 {
		return
	}
	base := preferred
	if base == 0 || base >= infinity6 {
		base = valid
	}
	t1, t2 := ia.T1, ia.T2
	if t2 <= 0 || t2 >= valid {
		t2 = base / 5 * 4
	}
	if t1 <= 0 || t1 > t2 {
		t1 = min(base/2, t2)
	}
	l.renew, l.rebind, l.expires = now.Add(t1), now.Add(t2), now.Add(valid)
}

// serverName returns what a person may recognise of a server's identifier, which should have 130 bytes at most (RFC
// 8415 section 11.1).
func serverName(m *message6) string {
	name := fmt.Sprintf("%x", m.server)
	switch id := m.Options.ServerID().(type) {
	case *dhcpv6.DUIDLL:
		name = id.LinkLayerAddr.String()
	case *dhcpv6.DUIDLLT:
		name = id.LinkLayerAddr.String()
	}
	return cmp.Or(printable.Line(name), "of no name")
}
