package network

import (
	"context"
	"fmt"
	"time"
)

// link is one network device: what is known about it, what it should have, and what it was given. The loop owns it.
type link struct {
	view
	wanted  *wanted
	applied applied
	running running

	adopted bool            // its configuration was looked for
	lost    time.Time       // since when the carrier is gone; zero: it is there
	told    LinkState       // what was printed last
	notices map[string]bool // printed already
}

// running is the state of a link's clients.
type running struct {
	ctx       context.Context
	stop      context.CancelFunc // ends the clients; nil: none may run
	dhcp6     *client            // the last DHCPv6 client; nil: none was ever started
	dhcp6Mode dhcp6Mode
}

// lossTolerated is how long the carrier may be gone before the link loses its configuration. Some drivers drop the
// carrier while they set the MTU, and switches while they negotiate.
const lossTolerated = 3 * time.Second

func newLink(d *device) *link {
	return &link{view: view{device: *d}, wanted: &wanted{}, applied: newApplied(), notices: map[string]bool{}}
}

// managed reports whether a file fits the link and does not leave it alone.
func (l *link) managed() bool { return l.conf != nil && !l.conf.Link.Unmanaged }

// refresh updates what can change at any time.
func (l *link) refresh(d *device) {
	l.MAC, l.master, l.mtu, l.flags, l.addrs, l.ipv6, l.ownTable = d.MAC, d.master, d.mtu, d.flags, d.addrs, d.ipv6,
		d.ownTable
	l.broadcasts = d.broadcasts
}

// watchCarrier records when the carrier was lost, and reports whether it is gone for too long.
func (l *link) watchCarrier(now time.Time) (gone bool) {
	switch {
	case l.carrier():
		l.lost = time.Time{}
	case l.lost.IsZero():
		l.lost = now
	}
	return !l.carrier() && now.Sub(l.lost) > lossTolerated
}

// note records whether a change worked. A setting that fails is reported once, as the returned notice, and the link
// is used without it. A change that the link needs stays in its trouble until it works.
func (l *link) note(c *change, err error) (notice string) {
	l.applied.tried(c)
	if essential(c) {
		l.applied.fail(c.String(), err)
	} else if err != nil {
		notice = fmt.Sprintf("cannot %s: %v", c, err)
	}
	if err == nil {
		l.applied.done(c)
	}
	return notice
}

// essential reports whether the link is useless without the change.
func essential(c *change) bool {
	switch c.verb {
	case verbLinkUp, verbLinkDown, verbEnslave, verbMakeDevice, verbNewAddress, verbNewRoute, verbRefreshRoute:
		return true
	}
	return false
}
