package network

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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

// Manager configures the network of the namespace that it runs in. The zero value runs DHCP and router discovery on
// every Ethernet and InfiniBand link.
type Manager struct {
	// Files is the configuration. If it has no .network file, netconf.Default is added.
	Files []netconf.File
	// ResolvConf is the file for name servers; empty means /etc/resolv.conf.
	ResolvConf string
	// Modules loads the kernel module of an alias such as rtnl-link-bond before a device of that kind is made; nil
	// leaves that to the kernel.
	Modules func(alias string) error
	// Logf prints a line for a person; nil prints nothing.
	Logf func(format string, args ...any)

	kernel kernel // nil: the real one
	conf   netconf.Config
	host   netconf.Host

	// Only the loop uses these.
	devices []device      // as last looked at
	links   map[int]*link // by index
	blind   string        // why the links could not be listed, as last printed
	found   time.Time     // when a link with an address but without a default route was first seen
	resolv  string        // as last written

	ctx    context.Context // of the loop and all clients: from Up to Close
	cancel context.CancelFunc
	wait   sync.WaitGroup
	said   chan said     // what the clients say
	wake   chan struct{} // look once more
	online chan struct{} // closed when a link can reach out

	mu     sync.Mutex
	states []LinkState
}

// tick is how often the loop looks even if the kernel reports nothing, for timeouts and for events that were lost.
const tick = time.Second

// Up starts to configure the network, and returns nil when a link can reach out: it has a carrier, an address and a
// route to the world. The work goes on in the background until Close. If ctx ends first, the error says for each link
// what is missing; the work goes on, and Up may be called again to wait longer.
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

// Close ends the background work. Addresses and routes stay.
func (m *Manager) Close() error {
	if m.cancel != nil {
		m.cancel()
		m.wait.Wait()
	}
	return nil
}

// State returns the state of each link but the loopback, in the order of their indexes.
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
	if m.kernel == nil {
		m.kernel = linux{}
	}
	var warnings []netconf.Warning
	m.conf, warnings = netconf.Parse(netconf.OrDefault(m.Files))
	for _, w := range warnings {
		m.logf("%s", w)
	}
	m.host = thisHost()
	m.links = map[int]*link{}
	m.said = make(chan said, 64)
	m.wake = make(chan struct{}, 1)
	m.online = make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	changed, err := m.kernel.watch(ctx)
	if err != nil {
		cancel()
		return fmt.Errorf("cannot follow the kernel's links: %w", err)
	}
	m.ctx, m.cancel = ctx, cancel
	// The clients' library asks for random numbers without waiting for them. Where a machine has no source of these, the
	// kernel gathers them from its own timing only while a program waits (drivers/char/random.c, wait_for_random_bytes).
	go rand.Read(make([]byte, 1))
	m.makeNetDevs()
	m.spawn(func() { m.loop(ctx, changed) })
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
	// A processor that a hypervisor emulates has this flag.
	if cpu, err := os.ReadFile("/proc/cpuinfo"); err == nil && strings.Contains(string(cpu), " hypervisor") {
		h.Virtualization = "vm"
	}
	return h
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

// loop takes in what clients and the kernel say, works out what each link should have, and applies it. It owns the
// links and ends with ctx.
func (m *Manager) loop(ctx context.Context, changed <-chan struct{}) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		m.look(time.Now())
		select {
		case <-ctx.Done(): // which ends the clients too
			return
		case s := <-m.said:
			m.hear(s, time.Now())
			for range len(m.said) { // one look is enough for all that came at the same time
				m.hear(<-m.said, time.Now())
			}
		case <-changed:
		case <-m.wake:
		case <-ticker.C:
		}
	}
}

// hear takes in what a client says, unless the client has been stopped since.
func (m *Manager) hear(s said, now time.Time) {
	l := m.links[s.from.link]
	if l == nil || s.from.ctx.Err() != nil {
		return
	}
	if _, is := s.what.(advert); is && len(l.heard.routers) == 0 {
		l.ownHops = hopLimit(m.kernel.sysctl("ipv6", l.Name, "hop_limit"))
	}
	m.notice(l, l.heard.hear(s.what, now))
}

// notice prints a line about a link, once.
func (m *Manager) notice(l *link, text string) {
	if text != "" && !l.notices[text] {
		l.notices[text] = true
		m.logf("%s: %s", l.Name, text)
	}
}

// look takes in what the kernel says, and makes the next changes on each link.
func (m *Manager) look(now time.Time) {
	devices, err := m.kernel.look()
	if m.meet(devices) { // .link files may have changed them
		devices, err = m.kernel.look()
	}
	partial := errors.Is(err, netlink.ErrDumpInterrupted)
	if err != nil && !partial {
		if m.blind != err.Error() { // said once; the loop looks again within a tick
			m.blind = err.Error()
			m.logf("cannot list the network links: %v", err)
		}
		return
	}
	m.blind = ""
	m.devices = devices
	m.follow(devices, partial, now)
	for _, l := range m.sorted() {
		m.step(l, now)
	}
	m.report(now)
}

// meet takes in new links, and reports whether a .link file changed any of them.
func (m *Manager) meet(devices []device) (changed bool) {
	for i := range devices {
		d := &devices[i]
		if m.links[d.index] != nil {
			continue
		}
		m.kernel.describe(d)
		l := newLink(d)
		m.links[d.index] = l
		if !l.loopback() && m.applyLinkFile(l) {
			changed = true
		}
	}
	return changed
}

// follow takes in what has changed about the links. If the list is partial, a missing link is not taken to be gone.
func (m *Manager) follow(devices []device, partial bool, now time.Time) {
	there := map[int]bool{}
	for i := range devices {
		d := &devices[i]
		l := m.links[d.index]
		if l == nil {
			continue // it is new: the next look meets it
		}
		there[d.index] = true
		if l.adopted && l.Name != d.Name { // by somebody else: another file may fit now
			m.logf("%s: renamed to %s", l.Name, d.Name)
			l.refresh(d)
			l.Name = d.Name
			m.drop(l, now)
			l.adopted = false
		}
		l.refresh(d)
		if !l.adopted {
			m.adopt(l, d)
		}
		if l.conf != nil {
			if master := m.device(masterOf(l.conf).name); master != nil && master.ownTable != 0 {
				l.vrfTable = master.ownTable
			}
		}
	}
	for index, l := range m.links {
		if !there[index] && !partial {
			l.running.end()
			m.logf("%s: gone", l.Name)
			delete(m.links, index)
		}
	}
}

// adopt finds the .network file for a link.
func (m *Manager) adopt(l *link, d *device) {
	kernelName := l.KernelName
	m.kernel.describe(d)
	l.device = *d
	l.KernelName = kernelName
	// Without a .link file the link keeps its name, but [Match] also fits the names that systemd would give it.
	l.AltNames = appendNew(l.AltNames, m.kernel.names(l.Name).all())
	l.applied.setUp, l.applied.ruled = false, false
	l.conf, l.adopted = nil, true
	for _, c := range m.conf.Networks {
		if fits(&c.Match, &l.device, &m.host) {
			l.conf = c
			break
		}
	}
}

// fits reports whether a file is for the device.
func fits(m *netconf.Match, d *device, h *netconf.Host) bool { return m.Fits(d.Device, *h) }

// device finds a device by one of its names; nil if there is none.
func (m *Manager) device(name string) *device {
	for i := range m.devices {
		d := &m.devices[i]
		if name != "" && (d.Name == name || slices.Contains(d.AltNames, name)) {
			return d
		}
	}
	return nil
}

// sorted returns the links in the order of their indexes, in which the kernel found them.
func (m *Manager) sorted() []*link {
	out := make([]*link, 0, len(m.links))
	for _, l := range m.links {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *link) int { return a.index - b.index })
	return out
}
