package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// link is one network device and what is known and wanted of it. The manager's loop owns it.
type link struct {
	m          *Manager
	index      int
	name       string
	kernelName string
	dev        netconf.Device
	attrs      *netlink.LinkAttrs
	kernel     []netlink.Addr // the addresses it has
	vrfTable   uint32
	conf       *netconf.NetworkConfig // nil: not ours

	since    time.Time // when it was first seen
	prepared bool
	ruled    bool      // rules and neighbours are set
	upTried  time.Time // when it was last tried to bring it up again
	lost     time.Time // since when the carrier is gone; zero: it is there

	stop       context.CancelFunc // ends the clients; nil: none runs
	ctx        context.Context
	dhcp4Since time.Time // zero: not running
	raSince    time.Time
	dhcp6Mode  string  // "", inform or solicit
	dhcp6      *client // the DHCPv6 client that ran last; nil: none ever ran

	lease4        *lease4
	lease6        *lease6
	routers       routers
	linkLocal4Try uint32

	addresses map[addressKey]address // set, as last told to the kernel
	again     map[addressKey]int     // how often one had to be set again
	routes    map[route]route
	originMTU int               // before a lease changed it
	ownHops   uint8             // the hop limit before a router changed it; 0: no router was heard
	trouble   map[string]string // what does not work, by what it is about

	notices map[string]bool // told already
	told    LinkState       // what was printed last
}

// lossTolerated is how long a carrier may be gone before what the link has is given up. Some drivers take the carrier away
// while they set the MTU, and switches while they negotiate.
const lossTolerated = 3 * time.Second

// hasCarrier is true when frames can pass, as far as the kernel knows.
func (l *link) hasCarrier() bool {
	const need = unix.IFF_UP | unix.IFF_LOWER_UP
	return l.attrs.RawFlags&need == need && l.attrs.RawFlags&unix.IFF_DORMANT == 0
}

// loopback reports whether the link is the one to the machine itself.
func (l *link) loopback() bool { return l.attrs.Flags&net.FlagLoopback != 0 }

// notice prints a line about the link once.
func (l *link) notice(text string) {
	if !l.notices[text] {
		l.notices[text] = true
		l.m.logf("%s: %s", l.name, text)
	}
}

// fail notes that something does not work; a nil error that it does now. What is not over after a while is printed.
func (l *link) fail(what string, err error) {
	if err == nil {
		delete(l.trouble, what)
		return
	}
	l.trouble[what] = fmt.Sprintf("cannot %s: %v", what, err)
}

// setting says of a setting that it could not be made. It is no reason to do without the link.
func (l *link) setting(what string, err error) {
	if err != nil {
		l.notice(fmt.Sprintf("cannot %s: %v", what, err))
	}
}

// reconcile does the next step from what the link has to what it should have. It is called after every change.
func (l *link) reconcile(now time.Time) {
	if l.conf == nil || l.conf.Link.Unmanaged {
		return
	}
	if !l.prepared {
		l.prepared = l.prepare()
		if l.prepared {
			l.m.again()
		}
		return
	}
	l.upAgain(now)
	switch {
	case l.hasCarrier():
		l.lost = time.Time{}
	case l.lost.IsZero():
		l.lost = now
	}
	if !l.hasCarrier() && !l.conf.ConfigureWithoutCarrier {
		if l.stop != nil && now.Sub(l.lost) > lossTolerated {
			l.drop()
		}
		return
	}
	l.start(now)
	l.apply(l.wanted(now), now)
}

// start begins what runs on the link and is not running yet: each client as soon as it can.
func (l *link) start(now time.Time) {
	if l.stop == nil {
		l.ctx, l.stop = context.WithCancel(l.m.ctx)
	}
	c := l.conf
	if n := len(l.attrs.HardwareAddr); n != 6 && n != infiniBandLen || l.loopback() || !l.hasCarrier() {
		return // neither DHCP nor router solicitation is defined here for anything but Ethernet and InfiniBand
	}
	if c.DHCP4 && l.dhcp4Since.IsZero() {
		l.dhcp4Since = now
		d := &dhcp4{client: l.client(), mac: l.attrs.HardwareAddr, conf: c.DHCPv4, hostname: l.m.host.Hostname}
		name := l.name
		d.open = func(client, server int) (socket4, error) { return openPacketSocket(name, client, server) }
		l.m.spawn(func() { d.run(d.ctx) })
	}
	if !l.linkLocalReady() {
		return
	}
	if c.AcceptRA && l.raSince.IsZero() {
		l.raSince = now
		heeds := func(router netip.Addr) bool { return listed(c.RA.RouterAllow, c.RA.RouterDeny, host(router)) }
		index := l.index
		d := &discovery{client: l.client(), heeds: heeds, open: func() (routerSocket, error) { return openICMPSocket(index) }}
		l.m.spawn(func() { d.run(d.ctx) })
	}
	switch c.DHCPv6.WithoutRA {
	case "solicit":
		l.startDHCPv6("solicit")
	case "information-request":
		l.startDHCPv6("inform")
	}
}

// linkLocalReady reports whether the link has an IPv6 link-local address that duplicate address detection let pass.
func (l *link) linkLocalReady() bool {
	for _, a := range l.kernel {
		if a.IP.To4() == nil && a.IP.IsLinkLocalUnicast() && a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
			return true
		}
	}
	return false
}

// client makes a client of the link. It ends with those that run already.
func (l *link) client() *client {
	c := &client{link: l.index, out: l.m.said, ended: make(chan struct{})}
	c.ctx, c.stop = context.WithCancel(l.ctx)
	return c
}

// hear takes in what a client says.
func (l *link) hear(what any, now time.Time) {
	switch what := what.(type) {
	case remark:
		l.notice(string(what))
	case *lease4:
		l.lease4 = what
	case *lease6:
		l.lease6 = what
	case advert:
		l.advertised(what, now)
	}
}

// advertised takes in what a router says.
func (l *link) advertised(a advert, now time.Time) {
	if len(l.routers) == 0 {
		hops, _ := strconv.ParseUint(readSysctl("ipv6", l.name, "hop_limit"), 10, 8)
		l.ownHops = uint8(hops)
	}
	if !l.routers.hear(a, now) {
		l.notice(fmt.Sprintf("more than %d routers, %s is one too many", maxRouters, a.router))
		return
	}
	if l.conf.DHCPv6.WithoutRA != "no" {
		return // it runs already, as the file has it
	}
	switch c := l.conf.RA.DHCPv6Client; {
	case c == "always" || c == "yes" && a.managed:
		l.startDHCPv6("solicit")
	case c == "yes" && a.other:
		l.startDHCPv6("inform")
	}
}

// startDHCPv6 starts the client, unless it runs. One that does not ask for an address gives way to one that does.
func (l *link) startDHCPv6(mode string) {
	if l.dhcp6Mode == mode || l.dhcp6Mode == "solicit" {
		return
	}
	before, name := l.dhcp6, l.name
	if before != nil {
		before.stop()
	}
	l.dhcp6Mode, l.dhcp6 = mode, l.client()
	d := &dhcp6{client: l.dhcp6, mac: l.attrs.HardwareAddr, conf: l.conf.DHCPv6, inform: mode == "inform", hostname: l.m.host.Hostname}
	d.open = func() (socket6, error) { return openUDPSocket6(name) }
	l.m.spawn(func() {
		defer close(d.ended)
		if before != nil { // one socket can have the port
			<-before.ended
		}
		d.run(d.ctx)
	})
}

// drop ends the clients and takes back all that was set.
func (l *link) drop() {
	if l.stop != nil {
		l.stop()
	}
	l.stop, l.dhcp4Since, l.raSince, l.dhcp6Mode = nil, time.Time{}, time.Time{}, ""
	l.lease4, l.lease6, l.routers = nil, nil, nil
	if l.conf != nil {
		l.apply(wanted{}, time.Now())
	}
	clear(l.again)
}

// apply makes the kernel's addresses and routes of this link those wanted, in so far as they are ours.
func (l *link) apply(w wanted, now time.Time) {
	for key, a := range l.addresses {
		if !containsKey(w.addresses, key) {
			if err := deleteAddress(l.index, a); err == nil {
				delete(l.addresses, key)
			}
		}
	}
	keep := map[route]bool{}
	for _, r := range w.routes {
		keep[r.key()] = true
	}
	for key, r := range l.routes {
		if !keep[key] {
			if err := deleteRoute(l.index, r); err == nil {
				delete(l.routes, key)
			}
		}
	}
	for _, a := range w.addresses {
		old, set := l.addresses[a.key()]
		if set && sameTimes(old, a) && (l.present(a) || l.again[a.key()] >= 3) {
			continue
		}
		if set && sameTimes(old, a) {
			l.again[a.key()]++ // it was taken away: a flush, or another machine that has it
		}
		err := setAddress(l.index, a, now)
		l.fail("set the address "+a.prefix.String(), err)
		if err == nil {
			l.addresses[a.key()] = a
			l.m.again()
		}
	}
	for _, r := range w.routes {
		old, set := l.routes[r.key()]
		if set && old.expires.Equal(r.expires) {
			continue
		}
		var err error
		if set {
			err = refreshRoute(l.index, old, r, now)
		} else {
			err = setRoute(l.index, r, now)
		}
		l.fail("set the route "+describe(r), err)
		if err == nil {
			l.routes[r.key()] = r
		}
	}
	if len(w.addresses)+len(w.routes) > 0 || l.hasCarrier() {
		l.applyRules()
	}
	l.applyMTU()
	l.applyIPv6()
}

func containsKey(list []address, key addressKey) bool {
	for _, a := range list {
		if a.key() == key {
			return true
		}
	}
	return false
}

func sameTimes(a, b address) bool { return a == b }

// present reports whether the kernel still has the address.
func (l *link) present(a address) bool {
	for _, k := range l.kernel {
		if addrOf(k) == a.prefix {
			return true
		}
		if ip, ok := netip.AddrFromSlice(k.IP); ok && ip.Unmap() == a.prefix.Addr() {
			return true
		}
	}
	return false
}

func describe(r route) string {
	s := "default"
	if r.dst.IsValid() {
		s = r.dst.String()
	}
	if r.gateway.IsValid() {
		s += " via " + r.gateway.String()
	}
	return s
}
