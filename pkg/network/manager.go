package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// Manager configures the network of the namespace that it runs in. The zero value asks DHCP servers and routers on every
// Ethernet link.
type Manager struct {
	// Files is the configuration; without a .network file netconf.Default is part of it.
	Files []netconf.File
	// ResolvConf is the file for name servers; empty means /etc/resolv.conf.
	ResolvConf string
	// Modules loads the kernel module of an alias such as rtnl-link-bond before a device of the kind is made; nil leaves that to the kernel.
	Modules func(alias string) error
	// Logf prints a line for a person; nil prints nothing.
	Logf func(format string, args ...any)

	conf  netconf.Config
	host  netconf.Host
	links map[int]*link // by index; the loop's alone

	ctx    context.Context // of the loop and all clients: from Up to Close
	cancel context.CancelFunc
	wait   sync.WaitGroup
	said   chan said // by the clients
	wake   chan struct{}
	online chan struct{} // closed when a link can reach out
	found  time.Time     // when a link with an address but with no way out was first seen

	mu     sync.Mutex
	states []LinkState
	resolv string // as last written
}

// tick is how often the loop looks even if the kernel says nothing: what depends on time, and events that were lost.
const tick = time.Second

// settle is how long a link that has an address, but no default route or no name server, is held back in favour of a better one.
const settle = 4 * time.Second

// Up starts to configure and returns nil once a link can reach out: carrier, an address, and a route to the world. What is
// not ready by then goes on in the background and is applied when it comes, until Close. If ctx ends first the error says
// for each link what is missing; the background goes on nevertheless, and Up may be called again to wait longer.
func (m *Manager) Up(ctx context.Context) error {
	if m.ctx == nil {
		if err := m.begin(); err != nil {
			return err
		}
	}
	select {
	case <-m.online:
		return nil
	case <-ctx.Done():
		return m.why(ctx.Err())
	}
}

// Close ends the background work. What was set stays.
func (m *Manager) Close() error {
	if m.cancel != nil {
		m.cancel()
		m.wait.Wait()
	}
	return nil
}

// State returns what is known of each link, loopback aside, in the order in which the kernel numbers them.
func (m *Manager) State() []LinkState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.states)
}

func (m *Manager) logf(format string, args ...any) {
	if m.Logf != nil {
		m.Logf(format, args...)
	}
}

func (m *Manager) begin() error {
	var warnings []netconf.Warning
	m.conf, warnings = netconf.Parse(netconf.OrDefault(m.Files))
	for _, w := range warnings {
		m.logf("%s", w)
	}
	if kernelHasIPv6() {
		leaveRoom(m.conf.Networks)
	}
	m.host = thisHost()
	m.links = map[int]*link{}
	m.said = make(chan said, 64)
	m.wake = make(chan struct{}, 1)
	m.online = make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	if err := m.subscribe(ctx); err != nil {
		cancel()
		return fmt.Errorf("cannot follow the kernel's links: %w", err)
	}
	m.ctx, m.cancel = ctx, cancel
	m.makeNetDevs()
	m.spawn(func() { m.loop(ctx) })
	return nil
}

// thisHost collects what conditions about the machine are compared with.
func thisHost() netconf.Host {
	h := netconf.Host{Architecture: architecture(runtime.GOARCH)}
	h.Hostname, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.KernelVersion = unix.ByteSliceToString(u.Release[:])
	}
	if line, err := os.ReadFile("/proc/cmdline"); err == nil {
		h.KernelCmdline = strings.Fields(string(line))
	}
	// The flag is the processor's own word for being an emulated one.
	if cpu, err := os.ReadFile("/proc/cpuinfo"); err == nil && strings.Contains(string(cpu), " hypervisor") {
		h.Virtualization = "vm"
	}
	return h
}

// subscribe turns each message of the kernel about links and addresses into a look at all of them: what the message says
// may be out of date by then, and one that was lost does no harm.
func (m *Manager) subscribe(ctx context.Context) error {
	links := make(chan netlink.LinkUpdate, 16)
	addrs := make(chan netlink.AddrUpdate, 16)
	lost := func(error) { m.again() }
	if err := netlink.LinkSubscribeWithOptions(links, ctx.Done(), netlink.LinkSubscribeOptions{ErrorCallback: lost}); err != nil {
		return err
	}
	if err := netlink.AddrSubscribeWithOptions(addrs, ctx.Done(), netlink.AddrSubscribeOptions{ErrorCallback: lost}); err != nil {
		return err
	}
	m.spawn(func() {
		for range links {
			m.again()
		}
	})
	m.spawn(func() {
		for range addrs {
			m.again()
		}
	})
	return nil
}

// again makes the loop look once more.
func (m *Manager) again() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *Manager) spawn(f func()) {
	m.wait.Add(1)
	go func() {
		defer m.wait.Done()
		f()
	}()
}

// hear takes in what a client says. What it said before it was stopped does not count any more.
func (m *Manager) hear(s said) {
	if l := m.links[s.from.link]; l != nil && s.from.ctx.Err() == nil {
		l.hear(s.what, time.Now())
	}
}

// loop owns the links. It ends with ctx.
func (m *Manager) loop(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		m.look(time.Now())
		select {
		case <-ctx.Done():
			for _, l := range m.links {
				if l.stop != nil {
					l.stop()
				}
			}
			return
		case s := <-m.said:
			m.hear(s)
			for range len(m.said) { // what came at the same time needs no look of its own
				m.hear(<-m.said)
			}
		case <-m.wake:
		case <-ticker.C:
		}
	}
}

// look compares the kernel's links with what is wanted and takes the next steps.
func (m *Manager) look(now time.Time) {
	list, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		m.logf("cannot list the network links: %v", err)
		return
	}
	if err != nil {
		m.again()
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		m.again()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return
		}
	}
	there := map[int]bool{}
	for _, nl := range list {
		a := nl.Attrs()
		there[a.Index] = true
		l := m.links[a.Index]
		if l == nil {
			l = m.newLink(nl, now)
			m.links[a.Index] = l
			a = l.attrs // a .link file may have changed it since
		}
		l.attrs = a
		l.dev.MAC = a.HardwareAddr
		if l.name != a.Name { // by somebody else: another file may fit it now
			m.logf("%s: renamed to %s", l.name, a.Name)
			l.name = a.Name
			l.drop()
			m.adopt(l, nl)
		}
		l.kernel = l.kernel[:0]
		for _, addr := range addrs {
			if addr.LinkIndex == a.Index {
				l.kernel = append(l.kernel, addr)
			}
		}
	}
	for index, l := range m.links {
		if !there[index] {
			if l.stop != nil {
				l.stop()
			}
			m.logf("%s: gone", l.name)
			delete(m.links, index)
		}
	}
	for _, l := range m.sorted() {
		l.reconcile(now)
	}
	m.report(now)
}

func (m *Manager) newLink(nl netlink.Link, now time.Time) *link {
	a := nl.Attrs()
	l := &link{
		m: m, index: a.Index, name: a.Name, kernelName: a.Name, attrs: a, since: now,
		dev:       device(nl, a.Name),
		addresses: map[addressKey]address{},
		again:     map[addressKey]int{},
		routes:    map[route]route{},
		trouble:   map[string]string{},
		notices:   map[string]bool{},
	}
	if !l.loopback() {
		l.applyLinkFile(nl, predictableNames("/sys", l.name))
	}
	if fresh, err := netlink.LinkByIndex(l.index); err == nil { // with its new name, address and alternative names
		nl = fresh
		l.attrs = fresh.Attrs()
		l.name = l.attrs.Name
	}
	m.adopt(l, nl)
	return l
}

// adopt finds the configuration of a link by what it is now.
func (m *Manager) adopt(l *link, nl netlink.Link) {
	l.dev = device(nl, l.kernelName)
	// The link is not renamed without a .link file, but it answers to the names that systemd would give it.
	l.dev.AltNames = appendNew(l.dev.AltNames, predictableNames("/sys", l.name).all())
	l.conf, l.prepared, l.ruled = nil, false, false
	for _, c := range m.conf.Networks {
		if c.Match.Fits(l.dev, m.host) {
			l.conf = c
			break
		}
	}
}

// sorted returns the links in the order of their index, which is the order in which the kernel found them.
func (m *Manager) sorted() []*link {
	out := make([]*link, 0, len(m.links))
	for _, l := range m.links {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *link) int { return a.index - b.index })
	return out
}

// report works out the state of every link, prints what is new, writes resolv.conf and decides whether the machine is online.
func (m *Manager) report(now time.Time) {
	links := m.sorted()
	states := make([]LinkState, len(links))
	reach, part, pending := false, false, false
	var servers []netip.Addr
	var search []string
	links = slices.DeleteFunc(links, (*link).loopback) // it may have addresses, but leads nowhere
	states = states[:len(links)]
	for i, l := range links {
		states[i] = l.state(now)
	}
	// The name servers of a link that leads to the world are asked first.
	order := make([]int, len(states))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(states[b].Gateways) - len(states[a].Gateways) })
	for _, i := range order {
		servers = appendNew(servers, states[i].DNS)
		search = appendNew(search, states[i].Domains)
	}
	for i, l := range links {
		s := states[i]
		if line := s.news(l.told); s.Usable && line != "" {
			l.told = s
			m.logf("%s", line)
		}
		if !s.Managed || !l.conf.Link.Required {
			continue
		}
		if s.Usable && len(s.Gateways) > 0 && len(servers) > 0 {
			reach = true
		}
		part = part || s.Usable
		pending = pending || s.Pending
	}
	m.mu.Lock()
	m.states = states
	m.mu.Unlock()
	m.writeResolvConf(servers, search)
	if part && m.found.IsZero() {
		m.found = now
	}
	// A link with an address but no router, or with nobody who knows names, may be all there is: it counts when nothing
	// better is on its way, or has not come in time.
	if reach || part && (!pending || now.Sub(m.found) >= settle) {
		select {
		case <-m.online:
		default:
			close(m.online)
		}
	}
}

func appendNew[T comparable](to, from []T) []T {
	for _, v := range from {
		if !slices.Contains(to, v) {
			to = append(to, v)
		}
	}
	return to
}

// writeResolvConf writes what is known, which may be nothing any more. A file that is there stays until something is
// known.
func (m *Manager) writeResolvConf(servers []netip.Addr, search []string) {
	text := resolvConf(servers, search)
	if string(text) == m.resolv {
		return
	}
	path := m.ResolvConf
	if path == "" {
		path = "/etc/resolv.conf"
	}
	m.resolv = string(text)
	if err := writeFile(path, text); err != nil {
		m.logf("cannot write the name servers: %v", err)
	}
}
