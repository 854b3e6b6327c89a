package network

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// LinkState is what one link is and has got.
type LinkState struct {
	Name       string
	KernelName string   // before it was renamed
	AltNames   []string // further names that a [Match] fits, those that systemd would give it included
	Kind       string   // of a virtual device: vlan, bond, …; "" for hardware
	Driver     string
	MAC        net.HardwareAddr
	MTU        int
	Carrier    bool
	Config     string // the .network file that it follows; "" if none fits

	Managed   bool           // it follows a file that does not leave it alone
	Usable    bool           // carrier, an address of more than local use, and a way out or nothing of the file left undone
	Pending   bool           // a server or router is still being waited for
	Addresses []netip.Prefix // those set here, and no link-local ones
	Gateways  []netip.Addr   // of default routes
	DNS       []netip.Addr
	Domains   []string
	NTP       []string
	Servers   []string // who gave it: "DHCP server 10.0.2.2", "router fe80::1"
	Leased    bool     // its IPv4 address is a DHCP server's
	Hostname  string   // that a DHCP server has for the machine
	Problem   string   // what is missing or has failed
	Broken    bool     // the kernel cannot bring it up
	Final     bool     // as it is, it will never bring the machine online
}

func texts[T fmt.Stringer](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

// state sums up the link.
func (l *link) state(now time.Time) LinkState {
	s := LinkState{
		Name: l.name, KernelName: l.kernelName, AltNames: l.dev.AltNames, Kind: l.dev.Kind, Driver: l.dev.Driver, MAC: l.attrs.HardwareAddr, MTU: l.attrs.MTU, Carrier: l.hasCarrier(),
		Managed: l.conf != nil && !l.conf.Link.Unmanaged,
	}
	if l.conf == nil {
		s.Problem, s.Final = "no .network file fits it", true
		return s
	}
	s.Config = l.conf.Name
	if !s.Managed {
		s.Problem, s.Final = fmt.Sprintf("left alone by %s.network", l.conf.Name), true
		return s
	}
	ready := false // an address that can be used from elsewhere and passed duplicate address detection
	for _, a := range l.addresses {
		if a.prefix.Addr().IsLinkLocalUnicast() && a.scope != unix.RT_SCOPE_UNIVERSE || a.prefix.Addr().IsLoopback() {
			continue
		}
		s.Addresses = append(s.Addresses, a.prefix)
		ready = ready || l.settled(a)
	}
	slices.SortFunc(s.Addresses, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	for _, r := range l.routes {
		if !r.dst.IsValid() && r.kind == unix.RTN_UNICAST && (r.gateway.IsValid() || l.conf.DefaultRouteOnDevice) && r.table == l.table(0) {
			s.Gateways = appendNew(s.Gateways, []netip.Addr{r.gateway})
		}
	}
	slices.SortFunc(s.Gateways, netip.Addr.Compare)
	l.names(&s, now)
	s.Pending = l.pending()
	s.Broken = l.trouble[bringUp] != ""
	s.Final = s.Broken || !l.conf.Link.Required || !l.conf.Link.Up()
	s.Problem = l.problem(ready, now)
	// Where there is a way out, a setting that failed is told and no more.
	s.Usable = s.Carrier && ready && (s.Problem == "" || len(s.Gateways) > 0)
	return s
}

// settled reports whether the kernel lets the address be used.
func (l *link) settled(a address) bool {
	for _, k := range l.kernel {
		if ip, ok := netip.AddrFromSlice(k.IP); ok && ip.Unmap() == a.prefix.Addr() {
			return k.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 || k.Flags&unix.IFA_F_OPTIMISTIC != 0
		}
	}
	return false
}

// onLink puts the link to the addresses that mean nothing without one.
func onLink(list []netip.Addr, name string) []netip.Addr {
	for i, a := range list {
		if a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "" {
			list[i] = a.WithZone(name)
		}
	}
	return list
}

// names collects name servers, domains and time servers: first those of the file, then DHCPv4's, DHCPv6's and the routers'.
func (l *link) names(s *LinkState, now time.Time) {
	c := l.conf
	ntp := func(list []netip.Addr) { s.NTP = appendNew(s.NTP, texts(list)) }
	if s.Carrier || c.ConfigureWithoutCarrier {
		s.DNS, s.Domains, s.NTP = slices.Clone(c.DNS), domains(c.Domains), slices.Clone(c.NTP)
	}
	if lease := l.lease4; lease != nil {
		s.Servers = append(s.Servers, "DHCP server "+lease.server.String())
		s.Hostname, s.Leased = lease.hostname, true
		if c.DHCPv4.UseDNS {
			s.DNS = appendNew(s.DNS, elsewhere(lease.dns))
		}
		if c.DHCPv4.UseDomains {
			s.Domains = appendNew(s.Domains, domains(lease.domains))
		}
		if c.DHCPv4.UseNTP {
			ntp(elsewhere(lease.ntp))
		}
	}
	if lease := l.lease6; lease != nil {
		s.Servers = append(s.Servers, "DHCPv6 server "+lease.server)
		if c.DHCPv6.UseDNS {
			s.DNS = appendNew(s.DNS, elsewhere(lease.dns))
		}
		if c.DHCPv6.UseDomains {
			s.Domains = appendNew(s.Domains, domains(lease.domains))
		}
		if c.DHCPv6.UseNTP {
			ntp(elsewhere(lease.ntp))
		}
	}
	for _, r := range l.routers {
		if r.holds(now) {
			s.Servers = append(s.Servers, "router "+r.addr.WithZone("").String())
		}
		if c.RA.UseDNS {
			s.DNS = appendNew(s.DNS, whatLives(r.dns, now))
		}
		if c.RA.UseDomains {
			s.Domains = appendNew(s.Domains, whatLives(r.search, now))
		}
	}
	s.DNS = onLink(s.DNS, l.name)
}

// pending reports whether a server or router may still give something better than what there is.
func (l *link) pending() bool {
	switch {
	case !l.hasCarrier():
		return false
	case l.conf.DHCP4 && l.lease4 == nil:
		return true
	case l.conf.AcceptRA && l.conf.LinkLocal6 && len(l.routers) == 0 && l.lease4 == nil:
		return true
	}
	return l.dhcp6Mode != "" && l.lease6 == nil
}

// problem is the sentence for why the link is of no use yet.
func (l *link) problem(ready bool, now time.Time) string {
	waited := func(since time.Time) string { return fmt.Sprintf("%.0f s", now.Sub(since).Seconds()) }
	c := l.conf
	if !c.Link.Up() {
		return fmt.Sprintf("left down by ActivationPolicy=%s in %s.network", c.Link.Activation, c.Name)
	}
	var parts []string
	if !l.hasCarrier() {
		switch {
		case l.trouble[bringUp] != "": // which says it
		case l.attrs.RawFlags&unix.IFF_UP == 0:
			parts = append(parts, "cannot be brought up")
		default:
			parts = append(parts, "no carrier, is the cable in and the other end on?")
		}
	} else if !ready {
		switch {
		case c.DHCP4 && !l.dhcp4Since.IsZero() && !l.raSince.IsZero() && len(l.routers) == 0:
			parts = append(parts, fmt.Sprintf("no answer to DHCP in %s and no router's advertisement in %s", waited(l.dhcp4Since), waited(l.raSince)))
		case c.DHCP4 && !l.dhcp4Since.IsZero():
			parts = append(parts, fmt.Sprintf("no answer to DHCP in %s", waited(l.dhcp4Since)))
		case l.dhcp6Mode != "" && l.lease6 == nil:
			parts = append(parts, fmt.Sprintf("no answer to DHCPv6 in %s", waited(l.raSince)))
		case c.AcceptRA && !l.raSince.IsZero():
			parts = append(parts, fmt.Sprintf("no usable router's advertisement in %s", waited(l.raSince)))
		case c.Bond+c.Bridge != "":
			parts = append(parts, "member of "+c.Bond+c.Bridge)
		case len(l.addresses) > 0:
			parts = append(parts, "its address is not confirmed to be free yet")
		default:
			parts = append(parts, fmt.Sprintf("%s.network gives it no address", c.Name))
		}
	}
	var keys []string
	for k := range l.trouble {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		parts = append(parts, l.trouble[k])
	}
	return strings.Join(parts, ", ")
}
