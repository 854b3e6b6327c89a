package network

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// fakeKernel is a kernel in memory, with servers and a router at the other end of each cable. It runs in a synctest
// bubble.
type fakeKernel struct {
	mu      sync.Mutex
	devices map[int]*device
	cables  map[int]bool // whether the cable is in
	routes  map[int][]route
	sysctls map[string]string // by LINK/KEY
	byName  map[string]predictable
	taken   map[netip.Addr]bool // in use by another machine
	fails   map[string]error    // errors of changes, by their texts
	lookErr error
	kinds   map[string]error // why devices of a kind cannot be made
	log     []string         // what was done, "NAME: WHAT"
	changed chan struct{}

	dhcp4    *fakeServer4
	dhcp6    *fakeServer6
	router   *fakeRouter
	noSocket error // why sockets cannot be opened
}

// newKernel returns a kernel with links eth0, eth1 and so on, whose cables are in. Their hardware addresses count
// from 02:00:00:00:00:01.
func newKernel(links int) *fakeKernel {
	k := &fakeKernel{
		devices: map[int]*device{}, cables: map[int]bool{}, routes: map[int][]route{}, sysctls: map[string]string{},
		byName: map[string]predictable{}, taken: map[netip.Addr]bool{}, fails: map[string]error{},
		kinds:   map[string]error{},
		changed: make(chan struct{}, 1), router: &fakeRouter{}, dhcp4: &fakeServer4{}, dhcp6: &fakeServer6{},
	}
	k.dhcp4.k, k.dhcp6.k, k.router.k = k, k, k
	for i := range links {
		k.plug(i+1, netconf.Device{
			Name: fmt.Sprintf("eth%d", i), MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(i + 1)}, Type: "ether",
		})
	}
	return k
}

// plug adds a link whose cable is in.
func (k *fakeKernel) plug(index int, d netconf.Device) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d.KernelName = d.Name
	k.devices[index] = &device{Device: d, index: index, mtu: 1500, ipv6: true, broadcasts: len(d.MAC) == 6}
	k.cables[index] = true
	k.sysctls[d.Name+"/hop_limit"] = "64"
	k.signal()
}

func (k *fakeKernel) signal() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

func (k *fakeKernel) watch(context.Context) (<-chan struct{}, error) { return k.changed, nil }

func (k *fakeKernel) look() ([]device, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []device
	for _, i := range slices.Sorted(maps.Keys(k.devices)) {
		d := *k.devices[i]
		d.addrs, d.AltNames = slices.Clone(d.addrs), slices.Clone(d.AltNames)
		out = append(out, d)
	}
	return out, k.lookErr
}

func (k *fakeKernel) describe(*device) {}

func (k *fakeKernel) names(link string) predictable { return k.byName[link] }

func (k *fakeKernel) sysctl(_, link, key string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sysctls[link+"/"+key]
}

// do makes a change, unless it is to fail.
func (k *fakeKernel) do(c *change) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := ""
	if c.index != 0 {
		d := k.devices[c.index]
		if d == nil {
			return unix.ENODEV
		}
		name = d.Name + ": "
	}
	if err := k.fails[c.String()]; err != nil {
		k.log = append(k.log, name+c.String()+" fails")
		return err
	}
	err := k.change(c)
	if err == nil {
		k.log = append(k.log, name+c.String())
		k.signal()
	}
	return err
}

func (k *fakeKernel) change(c *change) error {
	d := k.devices[c.index]
	switch c.verb {
	case verbSetMAC:
		d.MAC = c.mac
	case verbSetMTU:
		d.mtu = c.number
		k.sysctls[c.name+"/mtu"] = fmt.Sprint(c.number) // the kernel resets the MTU for IPv6
	case verbRename:
		if d.up() {
			return unix.EBUSY
		}
		d.Name = c.value
	case verbAddAltName:
		d.AltNames = append(d.AltNames, c.value)
	case verbEnslave:
		d.master = c.into.index
	case verbLinkUp:
		k.bringUp(d)
	case verbLinkDown:
		d.flags = 0
		d.addrs = nil
	case verbSetSysctl:
		k.sysctls[c.name+"/"+filepath.Base(c.key)] = c.value
	case verbMakeDevice:
		if err := k.kinds[c.device.Kind]; err != nil {
			return err
		}
		index := 100 + len(k.devices)
		made := netconf.Device{Name: c.device.Device, KernelName: c.device.Device, Kind: c.device.Kind,
			Type: typeOf(c.device.Kind)}
		made.MAC = net.HardwareAddr{2, 0, 0, 0, 1, byte(index)}
		k.devices[index] = &device{Device: made, index: index, mtu: 1500, ipv6: true, broadcasts: true,
			ownTable: c.device.Table}
		k.cables[index] = true
	case verbNewAddress:
		k.addAddress(d, c.address.prefix, c.address.flags)
	case verbDropAddress:
		d := k.devices[c.index]
		d.addrs = slices.DeleteFunc(d.addrs, func(a ifAddr) bool { return a.prefix == c.address.prefix })
	case verbNewRoute:
		return k.addRoute(c.index, *c.route)
	case verbRefreshRoute:
		k.dropRoute(c.index, *c.old)
		return k.addRoute(c.index, *c.route)
	case verbDropRoute:
		k.dropRoute(c.index, *c.route)
	}
	return nil
}

// bringUp gives the link a carrier, if its cable is in, and an IPv6 link-local address.
func (k *fakeKernel) bringUp(d *device) {
	d.flags = unix.IFF_UP
	if !k.cables[d.index] {
		return
	}
	d.flags |= unix.IFF_LOWER_UP
	own, ok := eui64(d.MAC)
	if ok && k.sysctls[d.Name+"/accept_ra"] == "0" {
		b := [16]byte{0xfe, 0x80}
		copy(b[8:], own[:])
		if ip := netip.AddrFrom16(b); !slices.ContainsFunc(d.addrs,
			func(a ifAddr) bool { return a.prefix.Addr() == ip }) {
			k.addAddress(d, netip.PrefixFrom(ip, 64), 0)
		}
	}
}

// addAddress adds an address. An IPv6 address is tentative for a second.
func (k *fakeKernel) addAddress(d *device, p netip.Prefix, flags uint32) {
	d.addrs = slices.DeleteFunc(d.addrs, func(a ifAddr) bool { return a.prefix == p })
	a := ifAddr{p, flags}
	if p.Addr().Is6() {
		a.flags |= unix.IFA_F_TENTATIVE
		time.AfterFunc(time.Second, func() {
			k.mu.Lock()
			defer k.mu.Unlock()
			for i := range d.addrs {
				if d.addrs[i].prefix == p {
					d.addrs[i].flags = flags
					if k.taken[p.Addr()] {
						d.addrs[i].flags |= unix.IFA_F_DADFAILED
					}
				}
			}
			k.signal()
		})
	}
	d.addrs = append(d.addrs, a)
}

// addRoute fails if no address or route of the link leads to the gateway.
func (k *fakeKernel) addRoute(index int, r route) error {
	reached := !r.gateway.IsValid() || r.onlink || r.gateway.IsLinkLocalUnicast()
	for _, a := range k.devices[index].addrs {
		reached = reached || a.prefix.Contains(r.gateway)
	}
	for _, other := range k.routes[index] {
		reached = reached || !other.gateway.IsValid() && other.dst.IsValid() && other.dst.Contains(r.gateway)
	}
	if !reached {
		return unix.ENETUNREACH
	}
	k.routes[index] = append(k.routes[index], r)
	return nil
}

func (k *fakeKernel) dropRoute(index int, r route) {
	k.routes[index] = slices.DeleteFunc(k.routes[index], func(o route) bool { return o.key() == r.key() })
}

// cable puts the cable of a link in or pulls it out.
func (k *fakeKernel) cable(index int, in bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cables[index] = in
	if d := k.devices[index]; d.up() {
		if in {
			k.bringUp(d)
		} else {
			d.flags &^= unix.IFF_LOWER_UP
		}
	}
	k.signal()
}

// edit changes a link as another program would.
func (k *fakeKernel) edit(index int, f func(d *device)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k.devices[index])
	k.signal()
}

// has returns the addresses of a link, without the IPv6 link-local one, and its routes.
func (k *fakeKernel) has(index int) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, a := range k.devices[index].addrs {
		if !a.prefix.Addr().Is6() || !a.prefix.Addr().IsLinkLocalUnicast() {
			out = append(out, a.prefix.String())
		}
	}
	for _, r := range k.routes[index] {
		out = append(out, r.String())
	}
	return out
}

// did returns how often something was done.
func (k *fakeKernel) did(what string) (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.log {
		if l == what {
			n++
		}
	}
	return n
}

// order returns what was done, in order, of the entries that begin with prefix.
func (k *fakeKernel) order(prefix string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, l := range k.log {
		if what, is := strings.CutPrefix(l, prefix); is {
			out = append(out, what)
		}
	}
	return out
}

// testManager is a Manager on a fakeKernel, with the lines that it printed.
type testManager struct {
	*Manager
	t    *testing.T
	path string
	mu   sync.Mutex
	said []string
}

// inBubble runs f with a Manager for the files, "NAME.KIND": TEXT, in a synctest bubble, where time passes without
// waiting.
func inBubble(t *testing.T, k func() *fakeKernel, files map[string]string,
	f func(t *testing.T, m *testManager, k *fakeKernel)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		kernel := k()
		m := &testManager{t: t, path: filepath.Join(t.TempDir(), "resolv.conf")}
		m.Manager = &Manager{kernel: kernel, ResolvConf: m.path, Logf: func(format string, args ...any) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.said = append(m.said, fmt.Sprintf(format, args...))
		}}
		for name, text := range files {
			base, kind, _ := strings.Cut(name, ".")
			m.Files = append(m.Files, read(t, base, netconf.Kind(kind), text))
		}
		defer m.Close()
		f(t, m, kernel)
	})
}

// up waits until the machine is online, at most so long, and returns how long it took.
func (m *testManager) up(patience time.Duration) (time.Duration, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := m.Up(ctx)
	return time.Since(start), err
}

// mustUp fails the test if the machine is not online in time.
func (m *testManager) mustUp(patience time.Duration) time.Duration {
	m.t.Helper()
	took, err := m.up(patience)
	if err != nil {
		m.t.Fatalf("after %v: %v", took, err)
	}
	return took
}

// pass lets the time pass, and waits until everything that is due by then has happened.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (m *testManager) resolvConf() string {
	b, _ := os.ReadFile(m.path)
	return string(b)
}

// says returns how many of the printed lines contain the text.
func (m *testManager) says(text string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.said {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

// countingKernel counts the calls of look.
type countingKernel struct {
	*fakeKernel
	looks int
}

func (k *countingKernel) look() ([]device, error) {
	k.mu.Lock()
	k.looks++
	k.mu.Unlock()
	return k.fakeKernel.look()
}

func (k *countingKernel) n() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.looks
}

// noWatch is a kernel whose links cannot be followed.
type noWatch struct{ kernel }

func (noWatch) watch(context.Context) (<-chan struct{}, error) { return nil, errNoBuffers }

// interrupted is the error with a list that may lack links.
var interrupted = netlink.ErrDumpInterrupted
