package network

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// LinkState describes one link and its configuration.
type LinkState struct {
	Name       string
	KernelName string   // before it was renamed
	AltNames   []string // alternative names that [Match] fits, with those that systemd would give it
	Kind       string   // of a virtual device: vlan, bond, …; "" for hardware
	Driver     string
	MAC        net.HardwareAddr
	MTU        int
	Carrier    bool
	Config     string // the .network file that it follows; "" if none fits

	Managed   bool           // it follows a file that does not leave it alone
	Usable    bool           // it has a carrier, a global address, and either a default route or nothing that failed
	Pending   bool           // a server or router may still answer
	Addresses []netip.Prefix // those set here, and no link-local ones
	Gateways  []netip.Addr   // of default routes
	DNS       []netip.Addr
	Domains   []string
	NTP       []string
	Servers   []string // who configured it: "DHCP server 10.0.2.2", "router fe80::1"
	Leased    bool     // its IPv4 address is a DHCP server's
	Hostname  string   // from a DHCP server, for the machine
	Boot      []Boot   // what each DHCP server says about what to boot; the DHCPv4 server comes first
	Problem   string   // what is missing or has failed
	Broken    bool     // the kernel cannot bring it up
	Final     bool     // it will never bring the machine online as it is
}

func texts[T fmt.Stringer](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

// state returns the state of the link.
func (l *link) state(now time.Time) LinkState {
	s := LinkState{
		Name: l.Name, KernelName: l.KernelName, AltNames: l.AltNames, Kind: l.Kind, Driver: l.Driver, MAC: l.MAC,
		MTU: l.mtu, Carrier: l.carrier(), Managed: l.managed(),
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
	var ready bool
	s.Addresses, ready = l.reachable()
	s.Gateways = l.gateways()
	names := &l.wanted.names
	s.DNS, s.Domains, s.NTP = names.dns, names.domains, names.ntp
	s.Servers = l.servers(now)
	s.Hostname, s.Leased = l.hostname(), l.lease4 != nil
	s.Boot = l.boots()
	s.Pending = l.pending()
	s.Broken = l.applied.trouble[bringUp] != ""
	s.Final = s.Broken || !l.conf.Link.Required || !l.conf.Link.Up()
	s.Problem = l.problem(ready, now)
	// With a default route, a setting that failed does not make the link useless.
	s.Usable = s.Carrier && ready && (s.Problem == "" || len(s.Gateways) > 0)
	return s
}

// reachable returns the addresses that were set and that other hosts can use. ready is true if at least one has
// passed duplicate address detection.
func (l *link) reachable() (prefixes []netip.Prefix, ready bool) {
	for _, a := range l.applied.addresses {
		ip := a.prefix.Addr()
		if ip.IsLinkLocalUnicast() && a.scope != unix.RT_SCOPE_UNIVERSE || ip.IsLoopback() {
			continue
		}
		prefixes = append(prefixes, a.prefix)
		has, there := l.find(ip)
		ready = ready || there && has.usable()
	}
	sort.Slice(prefixes, func(i, j int) bool { return prefixes[i].Addr().Less(prefixes[j].Addr()) })
	return prefixes, ready
}

// gateways returns the gateways of the default routes that were set. A default route without a gateway counts if the
// file wants one.
func (l *link) gateways() []netip.Addr {
	var out []netip.Addr
	for _, r := range l.applied.routes {
		leads := r.gateway.IsValid() || l.conf.DefaultRouteOnDevice
		if !r.dst.IsValid() && r.kind == unix.RTN_UNICAST && leads && r.table == l.table(0) {
			out = appendNew(out, []netip.Addr{r.gateway})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Less(out[j]) })
	return out
}

// servers returns who configured the link.
func (l *link) servers(now time.Time) []string {
	var out []string
	if l.lease4 != nil {
		out = append(out, "DHCP server "+l.lease4.server.String())
	}
	if l.lease6 != nil {
		out = append(out, "DHCPv6 server "+l.lease6.server)
	}
	for _, r := range l.heard.routers {
		if r.holds(now) {
			out = append(out, "router "+r.addr.WithZone("").String())
		}
	}
	return out
}

// onLink adds the link as zone to link-local addresses.
func onLink(list []netip.Addr, name string) []netip.Addr {
	for i, a := range list {
		if a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "" {
			list[i] = a.WithZone(name)
		}
	}
	return list
}

// wantNames fills in name servers, domains and time servers: first the file's, then those of DHCPv4, of DHCPv6 and of
// the routers.
func (v *view) wantNames(n *names, now time.Time) {
	c := v.conf
	if v.carrier() || c.ConfigureWithoutCarrier {
		*n = names{slices.Clone(c.DNS), domains(c.Domains), slices.Clone(c.NTP)}
	}
	if l := v.lease4; l != nil {
		n.add(l.dns, l.domains, l.ntp, c.DHCPv4.UseDNS, c.DHCPv4.UseDomains, c.DHCPv4.UseNTP)
	}
	if l := v.lease6; l != nil {
		n.add(l.dns, l.domains, l.ntp, c.DHCPv6.UseDNS, c.DHCPv6.UseDomains, c.DHCPv6.UseNTP)
	}
	for _, r := range v.heard.routers {
		if c.RA.UseDNS {
			n.dns = appendNew(n.dns, whatLives(r.dns, now))
		}
		if c.RA.UseDomains {
			n.domains = appendNew(n.domains, whatLives(r.search, now))
		}
	}
	n.dns = onLink(n.dns, v.Name)
}

// add adds what the configuration uses of a lease.
func (n *names) add(dns []netip.Addr, search []string, ntp []netip.Addr, useDNS, useDomains, useNTP bool) {
	if useDNS {
		n.dns = appendNew(n.dns, elsewhere(dns))
	}
	if useDomains {
		n.domains = appendNew(n.domains, domains(search))
	}
	if useNTP {
		n.ntp = appendNew(n.ntp, texts(elsewhere(ntp)))
	}
}

// pending reports whether a server or router may still give something better.
func (l *link) pending() bool {
	switch {
	case !l.carrier():
		return false
	case l.conf.DHCP4 && l.lease4 == nil:
		return true
	case l.conf.AcceptRA && l.conf.LinkLocal6 && len(l.heard.routers) == 0 && l.lease4 == nil:
		return true
	}
	return l.running.dhcp6Mode != dhcp6Off && l.lease6 == nil
}

// problem returns why the link cannot be used yet.
func (l *link) problem(ready bool, now time.Time) string {
	if c := l.conf; !c.Link.Up() {
		return fmt.Sprintf("left down by ActivationPolicy=%s in %s.network", c.Link.Activation, c.Name)
	}
	var parts []string
	switch {
	case !l.carrier():
		parts = l.noCarrier()
	case !ready:
		parts = []string{l.noAddress(now)}
	}
	return strings.Join(append(parts, l.applied.troubles()...), ", ")
}

// noCarrier returns why no frames can pass.
func (l *link) noCarrier() []string {
	switch {
	case l.applied.trouble[bringUp] != "": // which says it
		return nil
	case !l.up():
		return []string{"cannot be brought up"}
	}
	return []string{"no carrier, is the cable in and the other end on?"}
}

// noAddress returns why there is no address that other hosts can reach.
func (l *link) noAddress(now time.Time) string {
	waited := func(since time.Time) string { return fmt.Sprintf("%.0f s", now.Sub(since).Seconds()) }
	c, asks4, asksRouters := l.conf, l.conf.DHCP4 && !l.since4.IsZero(), !l.sinceRA.IsZero()
	switch {
	case asks4 && asksRouters && len(l.heard.routers) == 0:
		return fmt.Sprintf("no answer to DHCP in %s and no router's advertisement in %s", waited(l.since4),
			waited(l.sinceRA))
	case asks4:
		return fmt.Sprintf("no answer to DHCP in %s", waited(l.since4))
	case l.running.dhcp6Mode != dhcp6Off && l.lease6 == nil:
		return fmt.Sprintf("no answer to DHCPv6 in %s", waited(l.sinceRA))
	case c.AcceptRA && asksRouters:
		return fmt.Sprintf("no usable router's advertisement in %s", waited(l.sinceRA))
	case c.Bond+c.Bridge != "":
		return "member of " + c.Bond + c.Bridge
	case len(l.applied.addresses) > 0:
		return "its address is not confirmed to be free yet"
	}
	return fmt.Sprintf("%s.network gives it no address", c.Name)
}
