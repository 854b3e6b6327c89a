package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/ndp"
	"golang.org/x/net/ipv6"
)

// advert is what one router says of a link: a router advertisement (RFC 4861 section 4.2) with the times made absolute.
type advert struct {
	router     netip.Addr // link-local, with its zone
	until      time.Time  // as a default router; in the past: it is none
	preference uint8
	managed    bool // addresses come from DHCPv6
	other      bool // other configuration comes from DHCPv6
	hopLimit   uint8
	mtu        int
	prefixes   []advertPrefix
	routes     []advertRoute
	dns        []advertDNS
	search     []advertSearch
}

type advertPrefix struct {
	prefix             netip.Prefix
	onLink, autonomous bool
	valid, preferred   time.Time // zero: forever
	deprecated         bool
}

type advertRoute struct {
	to         netip.Prefix
	preference uint8
	until      time.Time
}

type advertDNS struct {
	servers []netip.Addr
	until   time.Time
}

type advertSearch struct {
	domains []string
	until   time.Time
}

// ended reports whether the moment has come; the zero time never does.
func ended(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// listenRA asks the routers of the link for their advertisements and passes on what they say, until ctx ends. The link
// must have its link-local address.
func listenRA(ctx context.Context, ifi *net.Interface, update func(advert)) error {
	conn, self, err := ndp.Listen(ifi, ndp.LinkLocal)
	if err != nil {
		return fmt.Errorf("cannot listen for router advertisements: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()

	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterAdvertisement)
	if err := errors.Join(
		conn.SetICMPFilter(&filter),
		conn.SetControlMessage(ipv6.FlagHopLimit, true),
		conn.JoinGroup(netip.IPv6LinkLocalAllNodes()),
	); err != nil {
		return fmt.Errorf("cannot listen for router advertisements: %w", err)
	}
	solicit := &ndp.RouterSolicitation{Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: ifi.HardwareAddr}}}
	if len(ifi.HardwareAddr) != 6 {
		solicit.Options = nil
	}
	answered := false
	for n := 0; ; n++ {
		var until time.Time // none: routers say what changes without being asked
		if !answered {
			if err := conn.WriteTo(solicit, nil, netip.IPv6LinkLocalAllRouters()); err != nil && ctx.Err() == nil {
				return fmt.Errorf("cannot ask for routers from %s: %w", self, err)
			}
			until = time.Now().Add(wait(n))
		}
		if err := conn.SetReadDeadline(until); err != nil {
			return err
		}
		for {
			message, control, from, err := conn.ReadFrom()
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return fmt.Errorf("cannot read a router advertisement: %w", err)
			}
			// RFC 4861 6.1.2: one that a router beyond this link may have sent is not to be believed.
			ra, ok := message.(*ndp.RouterAdvertisement)
			if !ok || control == nil || control.HopLimit != ndp.HopLimit || !from.IsLinkLocalUnicast() {
				continue
			}
			update(readAdvert(ra, from, time.Now()))
			if !answered {
				answered = true
				if err := conn.SetReadDeadline(time.Time{}); err != nil {
					return err
				}
			}
		}
	}
}

func readAdvert(ra *ndp.RouterAdvertisement, from netip.Addr, now time.Time) advert {
	// until is when a lifetime of so long from now ends; all ones in the packet's 32 bits mean never.
	until := func(lifetime time.Duration) time.Time {
		if lifetime >= ndp.Infinity {
			return time.Time{}
		}
		return now.Add(lifetime)
	}
	a := advert{
		router:     from,
		until:      now.Add(ra.RouterLifetime),
		preference: preferenceOf(ra.RouterSelectionPreference),
		managed:    ra.ManagedConfiguration,
		other:      ra.OtherConfiguration,
		hopLimit:   ra.CurrentHopLimit,
	}
	for _, o := range ra.Options {
		switch o := o.(type) {
		case *ndp.MTU:
			if o.MTU >= 1280 && o.MTU <= 65535 { // RFC 8200 5: no link has less
				a.mtu = int(o.MTU)
			}
		case *ndp.PrefixInformation:
			p := netip.PrefixFrom(o.Prefix, int(o.PrefixLength)).Masked()
			// RFC 4862 5.5.3: the link-local prefix is not the router's to give, nor may a prefix be preferred longer than it is valid.
			if !p.IsValid() || o.Prefix.IsLinkLocalUnicast() || o.Prefix.IsMulticast() || o.PreferredLifetime > o.ValidLifetime {
				continue
			}
			a.prefixes = append(a.prefixes, advertPrefix{
				prefix: p, onLink: o.OnLink, autonomous: o.AutonomousAddressConfiguration,
				valid: until(o.ValidLifetime), preferred: until(o.PreferredLifetime), deprecated: o.PreferredLifetime == 0,
			})
		case *ndp.RouteInformation:
			a.routes = append(a.routes, advertRoute{
				to: netip.PrefixFrom(o.Prefix, int(o.PrefixLength)).Masked(), preference: preferenceOf(o.Preference), until: until(o.RouteLifetime),
			})
		case *ndp.RecursiveDNSServer:
			servers := make([]netip.Addr, 0, len(o.Servers))
			for _, s := range o.Servers {
				if s.IsLinkLocalUnicast() {
					s = s.WithZone(from.Zone())
				}
				servers = append(servers, s)
			}
			a.dns = append(a.dns, advertDNS{servers, until(o.Lifetime)})
		case *ndp.DNSSearchList:
			a.search = append(a.search, advertSearch{o.DomainNames, until(o.Lifetime)})
		}
	}
	return a
}

func preferenceOf(p ndp.Preference) uint8 {
	switch p {
	case ndp.High:
		return preferenceHigh
	case ndp.Low:
		return preferenceLow
	}
	return preferenceMedium
}
