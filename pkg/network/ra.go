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

// listener asks the routers of a link for their advertisements and passes on what they say.
type listener struct {
	ifi     *net.Interface
	heeds   func(netip.Addr) bool // whether a router may say anything
	update  func(advert)
	conn    *ndp.Conn
	own     netip.Addr
	waiting bool // for a router that leads anywhere
}

// run listens until ctx ends or the link fails. The link must have its link-local address.
func (l *listener) run(ctx context.Context) error {
	conn, own, err := ndp.Listen(l.ifi, ndp.LinkLocal)
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
	l.conn, l.own, l.waiting = conn, own, true
	for n := 0; ; n++ {
		var next time.Time // none: routers say what changes without being asked
		if l.waiting {
			if err := conn.WriteTo(l.solicitation(), nil, netip.IPv6LinkLocalAllRouters()); err != nil && ctx.Err() == nil {
				return fmt.Errorf("cannot ask for routers from %s: %w", own, err)
			}
			next = time.Now().Add(wait(n))
		}
		if err := l.listenUntil(next); ctx.Err() != nil {
			return nil
		} else if !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("cannot read a router advertisement: %w", err)
		}
	}
}

func (l *listener) solicitation() *ndp.RouterSolicitation {
	if len(l.ifi.HardwareAddr) != 6 {
		return &ndp.RouterSolicitation{}
	}
	own := &ndp.LinkLayerAddress{Direction: ndp.Source, Addr: l.ifi.HardwareAddr}
	return &ndp.RouterSolicitation{Options: []ndp.Option{own}}
}

// listenUntil takes in advertisements until the moment has come, or for ever if it is zero or as soon as nobody has to
// be asked.
func (l *listener) listenUntil(t time.Time) error {
	if err := l.conn.SetReadDeadline(t); err != nil {
		return err
	}
	buffer := make([]byte, 1<<16) // more than the MTU: fragments come put together
	for {
		n, control, from, err := l.conn.ReadRaw(buffer)
		if err != nil {
			return err
		}
		// RFC 4861 section 6.1.2: one that a router beyond this link may have sent is not to be believed.
		if control == nil || control.HopLimit != ndp.HopLimit || !from.IsLinkLocalUnicast() || from == l.own {
			continue
		}
		if !l.heeds(from.WithZone("")) {
			continue
		}
		a, err := parseAdvert(buffer[:n], from)
		if err != nil {
			continue
		}
		l.update(a)
		// RFC 4861 section 6.3.7: who is no default router may not be the only one.
		if l.waiting && a.lifetime > 0 {
			l.waiting = false
			if err := l.conn.SetReadDeadline(time.Time{}); err != nil {
				return err
			}
		}
	}
}
