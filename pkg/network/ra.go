package network

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"time"
)

// discovery asks the routers of a link for advertisements (RFC 4861 section 6.3.7). It sends an advert for each one
// that counts.
type discovery struct {
	*client
	open  func() (routerSocket, error)
	heeds func(router netip.Addr) bool // whether a router may say anything
}

// run listens to routers until ctx ends. The link must have its link-local address.
func (d *discovery) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		if err := d.session(ctx); err != nil && ctx.Err() == nil {
			d.say(remark(err.Error()))
			sleep(ctx, wait(n))
		}
	}
}

// session runs until the link's socket fails.
func (d *discovery) session(ctx context.Context) error {
	socket, err := d.open()
	if err != nil {
		return fmt.Errorf("cannot listen for router advertisements: %w", err)
	}
	defer context.AfterFunc(ctx, func() { socket.Close() })()
	defer socket.Close()

	usable, failed := make(chan struct{}, 1), make(chan error, 1)
	go func() { failed <- d.listen(socket, usable) }()
	for n, asking := 0, true; ; n++ {
		var next <-chan time.Time // nil: routers announce changes without being asked
		if asking {
			if err := socket.solicit(); err != nil && ctx.Err() == nil {
				return fmt.Errorf("cannot ask for routers from %s: %w", socket.address(), err)
			}
			next = time.After(wait(n))
		}
		select {
		case err := <-failed:
			return fmt.Errorf("cannot read a router advertisement: %w", err)
		case <-next:
		case <-usable:
			asking = false
		}
	}
}

// listen sends each advertisement until the socket fails. It signals usable when one comes from a default router: a
// router that is no default router may not be the only one (RFC 4861 section 6.3.7).
func (d *discovery) listen(socket routerSocket, usable chan<- struct{}) error {
	for {
		message, hopLimit, from, err := socket.receive()
		if err != nil {
			return err
		}
		// RFC 4861 section 6.1.2: with a lower hop limit it may come from outside this link.
		if hopLimit != maxHopLimit || !from.IsLinkLocalUnicast() || from == socket.address() ||
			!d.heeds(from.WithZone("")) {
			continue
		}
		a, err := parseAdvert(bytes.Clone(message), from)
		if err != nil {
			continue
		}
		d.say(a)
		if a.lifetime > 0 {
			select {
			case usable <- struct{}{}:
			default:
			}
		}
	}
}
