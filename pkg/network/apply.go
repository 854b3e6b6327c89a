package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// step makes the next changes that bring the link from what it has to what it should have.
func (m *Manager) step(l *link, now time.Time) {
	if !l.managed() {
		return
	}
	l.wanted = l.want(now)
	if !l.applied.setUp {
		if l.applied.setUp = m.setUp(l); l.applied.setUp {
			m.again()
		}
		return
	}
	m.upAgain(l, now)
	gone := l.watchCarrier(now)
	if !l.carrier() && !l.conf.ConfigureWithoutCarrier {
		if gone && l.running.stop != nil {
			m.drop(l, now)
		}
		return
	}
	m.start(l, now)
	m.apply(l, l.wanted)
}

// try makes a change on a link and records whether it worked.
func (m *Manager) try(l *link, c *change) error {
	err := m.do(l, c)
	m.notice(l, l.note(c, err))
	return err
}

// do makes a change on a link. If the device is busy, do takes it down and tries again. The device stays down until
// the link is set up.
func (m *Manager) do(l *link, c *change) error {
	err := m.kernel.do(c)
	if errors.Is(err, unix.EBUSY) && whileDown(c) {
		if err = m.kernel.do(linkDown(l.target())); err == nil {
			err = m.kernel.do(c)
		}
	}
	return err
}

// whileDown reports whether some drivers make the change only while the device is down.
func whileDown(c *change) bool {
	return c.verb == verbSetMAC || c.verb == verbRename
}

// applyLinkFile applies the first .link file that fits a new device, and reports whether there was anything to
// change.
func (m *Manager) applyLinkFile(l *link) bool {
	f, ok := linkFileFor(m.conf.Links, &l.device, m.host, m.kernel.names(l.Name))
	if !ok {
		return false
	}
	changes := f.changes(&l.device)
	noEthtool := false
	for _, c := range changes {
		if noEthtool && c.verb == verbSetEthtool {
			continue
		}
		err := m.do(l, c)
		what := c.String()
		if errors.Is(err, errNoEthtool) {
			noEthtool, what = true, "set up the hardware"
		}
		if err != nil {
			m.notice(l, fmt.Sprintf("%s.link: cannot %s: %v", f.conf.Name, what, err))
		} else if c.verb == verbRename {
			m.logf("%s: renamed to %s by %s.link", l.Name, c.value, f.conf.Name)
			l.Name = c.value
		}
	}
	return len(changes) > 0
}

// setUp prepares a link before it has a carrier. It returns false while the bond or bridge that the link belongs to
// does not exist.
func (m *Manager) setUp(l *link) bool {
	s := &l.wanted.setup
	master := m.device(s.master.name)
	if s.master.name != "" {
		var err error
		if master == nil {
			err = errors.New("there is no such device, nor a .netdev file that makes it")
		}
		if l.applied.fail(putInto(s.master.name), err); err != nil {
			return false
		}
	}
	for _, c := range s.changes(&l.device, master) {
		err := m.try(l, c)
		// Without a link-local address the link has no IPv6 at all, so fall back to the usual mode.
		if c.verb == verbSetGenMode && err != nil && c.number != genModeEUI64 && c.number != genModeNone {
			m.try(l, setGenMode(l.target(), genModeEUI64))
		}
	}
	for _, name := range s.above {
		m.stack(l, name)
	}
	return true
}

// stack makes a device on top of a link.
func (m *Manager) stack(l *link, name string) {
	c := m.netDev(name)
	if c == nil {
		err := fmt.Errorf("%s.network names it but there is no .netdev file for it", l.conf.Name)
		l.applied.fail("make "+name, err)
		return
	}
	l.note(makeDevice(c, l.index), m.makeNetDev(c, l.index))
}

// upAgain tries every 5 seconds to bring up a link that the kernel could not bring up before: its driver may have
// been in the middle of a reset.
func (m *Manager) upAgain(l *link, now time.Time) {
	if l.up() { // it may have come up with the link below it
		l.applied.fail(bringUp, nil)
	}
	if l.applied.trouble[bringUp] == "" || now.Sub(l.applied.upTried) < 5*time.Second {
		return
	}
	l.applied.upTried = now
	m.try(l, linkUp(l.target()))
}

// apply makes the changes that are still needed. Addresses and routes that others have set stay.
func (m *Manager) apply(l *link, w *wanted) {
	if w.mtu != 0 && l.applied.ownMTU == 0 {
		l.applied.ownMTU = l.mtu
	}
	for _, c := range l.applied.changes(w, &l.device) {
		err := m.try(l, c)
		switch c.verb {
		case verbNewAddress:
			if err == nil {
				m.again()
			}
		case verbNewRule, verbNewNeighbor:
			l.applied.ruled = true
		}
	}
	// The kernel resets the MTU for IPv6 whenever the MTU of the link changes.
	m.keepSysctl(l, "mtu", w.mtu6)
	m.keepSysctl(l, "hop_limit", int(w.hops))
	if len(l.heard.routers) == 0 {
		l.ownHops = 0
	}
}

// keepSysctl sets an IPv6 number of the link, unless it is 0 or already set.
func (m *Manager) keepSysctl(l *link, key string, value int) {
	if want := strconv.Itoa(value); value != 0 && m.kernel.sysctl("ipv6", l.Name, key) != want {
		m.try(l, setSysctl(l.target(), "ipv6/"+key, want))
	}
}

// hopLimit parses a hop limit. It returns 0 if the text is none.
func hopLimit(s string) uint8 {
	n, _ := strconv.ParseUint(s, 10, 8)
	return uint8(n)
}

// drop stops the clients and removes everything that was set.
func (m *Manager) drop(l *link, now time.Time) {
	l.running.end()
	l.heard.forget()
	if l.managed() {
		var none wanted
		l.wantLimits(&none)
		m.apply(l, &none)
		l.wanted = l.want(now)
	}
	clear(l.applied.again)
}

// end stops the clients. The next DHCPv6 client waits until the one that ran last has ended.
func (r *running) end() {
	if r.stop != nil {
		r.stop()
	}
	r.stop, r.dhcp6Mode = nil, dhcp6Off
}

// start starts the clients that should run on the link and do not run yet.
func (m *Manager) start(l *link, now time.Time) {
	run, want := &l.running, l.wanted.clients
	if run.stop == nil {
		run.ctx, run.stop = context.WithCancel(m.ctx)
	}
	if want.dhcp4 && l.since4.IsZero() {
		l.since4 = now
		m.startDHCPv4(l)
	}
	if want.routers && l.sinceRA.IsZero() {
		l.sinceRA = now
		m.startDiscovery(l)
	}
	// A client that asks for no address is replaced by one that asks for one, never the other way round.
	if want.dhcp6 > run.dhcp6Mode {
		m.startDHCPv6(l, want.dhcp6)
	}
}

// client returns a new client of the link. It ends with the others of the link.
func (m *Manager) client(l *link) *client {
	c := &client{link: l.index, out: m.said, ended: make(chan struct{})}
	c.ctx, c.stop = context.WithCancel(l.running.ctx)
	return c
}

func (m *Manager) startDHCPv4(l *link) {
	name := l.Name
	d := &dhcp4{
		client: m.client(l), mac: l.MAC, conf: l.conf.DHCPv4, hostname: m.host.Hostname,
		open: func(client, server int) (socket4, error) { return m.kernel.open4(name, client, server) },
	}
	m.spawn(func() { d.run(d.ctx) })
}

func (m *Manager) startDiscovery(l *link) {
	index, ra := l.index, l.conf.RA
	d := &discovery{
		client: m.client(l), open: func() (routerSocket, error) { return m.kernel.openRouters(index) },
		heeds: func(router netip.Addr) bool { return listed(ra.RouterAllow, ra.RouterDeny, host(router)) },
	}
	m.spawn(func() { d.run(d.ctx) })
}

func (m *Manager) startDHCPv6(l *link, mode dhcp6Mode) {
	before, name := l.running.dhcp6, l.Name
	if before != nil {
		before.stop()
	}
	d := &dhcp6{
		client: m.client(l), mac: l.MAC, conf: l.conf.DHCPv6, inform: mode == dhcp6Inform, hostname: m.host.Hostname,
		open: func() (socket6, error) { return m.kernel.open6(name) },
	}
	l.running.dhcp6, l.running.dhcp6Mode = d.client, mode
	m.spawn(func() {
		defer close(d.ended)
		if before != nil { // only one socket can use the port
			<-before.ended
		}
		d.run(d.ctx)
	})
}
