package network

import (
	"context"
	"errors"
	"fmt"
	"io"
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

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/network/raw"
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

func (k *fakeKernel) open4(link string, client, server int) (socket4, error) {
	if k.noSocket != nil {
		return nil, k.noSocket
	}
	return &fakeSocket4{fakeSocket: newFakeSocket(), server: k.dhcp4, ports: [2]int{server, client}}, nil
}

func (k *fakeKernel) open6(string) (socket6, error) {
	if k.noSocket != nil {
		return nil, k.noSocket
	}
	return &fakeSocket6{fakeSocket: newFakeSocket(), server: k.dhcp6}, nil
}

func (k *fakeKernel) openRouters(int) (routerSocket, error) {
	if k.noSocket != nil {
		return nil, k.noSocket
	}
	s := &fakeRouterSocket{fakeSocket: newFakeSocket(), router: k.router}
	k.router.mu.Lock()
	defer k.router.mu.Unlock()
	k.router.sockets = append(k.router.sockets, s)
	return s, nil
}

// fakeSocket returns the packets that put was given.
type fakeSocket struct {
	in     chan []byte
	closed chan struct{}
	once   *sync.Once
}

func newFakeSocket() fakeSocket {
	return fakeSocket{make(chan []byte, 64), make(chan struct{}), &sync.Once{}}
}

func (s fakeSocket) Read(b []byte) (int, error) {
	select {
	case p := <-s.in:
		return copy(b, p), nil
	case <-s.closed:
		return 0, net.ErrClosed
	}
}

func (s fakeSocket) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// put adds a packet, unless there are too many.
func (s fakeSocket) put(b []byte) {
	select {
	case s.in <- b:
	default:
	}
}

// fakeServer4 is a DHCPv4 server at 10.0.0.1.
type fakeServer4 struct {
	k       *fakeKernel
	mu      sync.Mutex
	on      bool
	lease   uint32          // seconds; 0: the option is left out
	options []dhcpv4.Option // of offers and acknowledgements
	more    []net.IP        // other servers, whose offers come first
	refuses map[string]bool // what it answers with NAK: renew, rebind, request
	ignores map[string]bool // what it does not answer
	gone    bool            // the kernel cannot reach it
	asked   []string        // the questions, with their times
	begin   time.Time
}

// set changes the server while it runs.
func (s *fakeServer4) set(f func(s *fakeServer4)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *fakeServer4) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// answer returns what the server sends back.
func (s *fakeServer4) answer(b []byte, unicast bool) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := parse4(b)
	if err != nil {
		panic(err)
	}
	what := "discover"
	if m.MessageType() == dhcpv4.MessageTypeRequest {
		switch {
		case unicast:
			what = "renew"
		case !m.ClientIPAddr.IsUnspecified():
			what = "rebind"
		default:
			what = "request of " + m.ServerIdentifier().String()
		}
	}
	if s.begin.IsZero() {
		s.begin = time.Now()
	}
	s.asked = append(s.asked, fmt.Sprintf("%s at %.0fs", what, time.Since(s.begin).Seconds()))
	what, _, _ = strings.Cut(what, " ")
	if !s.on || s.ignores[what] {
		return nil
	}
	var out [][]byte
	if what == "discover" {
		for _, other := range s.more {
			out = append(out, s.reply(m, dhcpv4.MessageTypeOffer, other))
		}
	}
	own := net.IPv4(10, 0, 0, 1)
	kind := dhcpv4.MessageTypeAck
	switch {
	case what == "discover":
		kind = dhcpv4.MessageTypeOffer
	case what == "request" && !m.ServerIdentifier().Equal(own):
		return out // another server is asked
	case s.refuses[what]:
		kind = dhcpv4.MessageTypeNak
	}
	return append(out, s.reply(m, kind, own))
}

func (s *fakeServer4) reply(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, server net.IP) []byte {
	mods := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server)),
	}
	if kind != dhcpv4.MessageTypeNak {
		mods = append(mods, dhcpv4.WithYourIP(net.IPv4(10, 0, 0, 5)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)))
		for _, o := range s.options {
			mods = append(mods, dhcpv4.WithOption(o))
		}
		if s.lease != 0 {
			mods = append(mods, dhcpv4.WithLeaseTime(s.lease))
		}
	}
	p, err := dhcpv4.NewReplyFromRequest(m, mods...)
	if err != nil {
		panic(err)
	}
	return p.ToBytes()
}

type fakeSocket4 struct {
	fakeSocket
	server *fakeServer4
	ports  [2]int // of the server and of the client
}

func (s *fakeSocket4) broadcast(packet []byte) error {
	s.answered(payload4(packet), false)
	return nil
}

func (s *fakeSocket4) answered(m []byte, unicast bool) {
	for _, reply := range s.server.answer(m, unicast) {
		s.put(datagram4(reply, s.ports[0], s.ports[1]))
	}
}

func (s *fakeSocket4) unicast(context.Context, netip.Addr, netip.Addr) (io.WriteCloser, error) {
	return unicastSocket{s}, nil
}

type unicastSocket struct{ to *fakeSocket4 }

func (u unicastSocket) Write(b []byte) (int, error) {
	if u.to.server.gone {
		return 0, unix.EHOSTUNREACH
	}
	u.to.answered(b, true)
	return len(b), nil
}

func (unicastSocket) Close() error { return nil }

// fakeServer6 is a DHCPv6 server.
type fakeServer6 struct {
	k         *fakeKernel
	mu        sync.Mutex
	on        bool
	noAddress bool // it has no address for this machine
	rapid     bool // it commits at once
	noBinding bool // it does not know the lease
	valid     time.Duration
	ignores   map[dhcpv6.MessageType]bool
	asked     []string
	begin     time.Time
}

func (s *fakeServer6) set(f func(s *fakeServer6)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *fakeServer6) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *fakeServer6) answer(b []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := dhcpv6.MessageFromBytes(b)
	if err != nil {
		panic(err)
	}
	if s.begin.IsZero() {
		s.begin = time.Now()
	}
	s.asked = append(s.asked, fmt.Sprintf("%s at %.0fs", m.MessageType, time.Since(s.begin).Seconds()))
	if !s.on || s.ignores[m.MessageType] {
		return nil
	}
	reply, err := dhcpv6.NewMessage()
	if err != nil {
		panic(err)
	}
	reply.TransactionID, reply.MessageType = m.TransactionID, dhcpv6.MessageTypeReply
	if m.MessageType == dhcpv6.MessageTypeSolicit {
		if reply.MessageType = dhcpv6.MessageTypeAdvertise; s.rapid && m.GetOneOption(dhcpv6.OptionRapidCommit) != nil {
			reply.MessageType = dhcpv6.MessageTypeReply
			dhcpv6.WithRapidCommit(reply)
		}
	}
	reply.AddOption(m.GetOneOption(dhcpv6.OptionClientID))
	reply.AddOption(dhcpv6.OptServerID(&dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 1, 1}}))
	reply.AddOption(dhcpv6.OptDNS(net.ParseIP("2001:db8::53")))
	if ia := m.Options.OneIANA(); ia != nil {
		reply.AddOption(s.association(ia, m.MessageType == dhcpv6.MessageTypeRenew && s.noBinding))
	}
	return reply.ToBytes()
}

func (s *fakeServer6) association(asked *dhcpv6.OptIANA, unknown bool) *dhcpv6.OptIANA {
	ia := &dhcpv6.OptIANA{IaId: asked.IaId}
	switch {
	case unknown:
		ia.Options.Add(&dhcpv6.OptStatusCode{StatusCode: 3})
	case s.noAddress:
		ia.Options.Add(&dhcpv6.OptStatusCode{StatusCode: 2, StatusMessage: "none left"})
	default:
		ia.Options.Add(&dhcpv6.OptIAAddress{
			IPv6Addr: net.ParseIP("2001:db8::150"), ValidLifetime: s.valid, PreferredLifetime: s.valid / 2,
		})
	}
	return ia
}

type fakeSocket6 struct {
	fakeSocket
	server *fakeServer6
}

func (s *fakeSocket6) send(payload []byte) error {
	if reply := s.server.answer(payload); reply != nil {
		s.put(reply)
	}
	return nil
}

// fakeRouter is at fe80::a.
type fakeRouter struct {
	k       *fakeKernel
	mu      sync.Mutex
	ra      *raw.RA // what it answers; nil: it is silent
	asked   int
	sockets []*fakeRouterSocket
}

// says sends an advertisement without being asked.
func (r *fakeRouter) says(ra raw.RA) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sockets {
		s.put(ra.Bytes())
	}
}

func (r *fakeRouter) questions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

type fakeRouterSocket struct {
	fakeSocket
	router *fakeRouter
	broken chan struct{}
}

func (s *fakeRouterSocket) solicit() error {
	s.router.mu.Lock()
	defer s.router.mu.Unlock()
	s.router.asked++
	if s.router.ra != nil {
		s.put(s.router.ra.Bytes())
	}
	return nil
}

func (s *fakeRouterSocket) receive() ([]byte, int, netip.Addr, error) {
	b := make([]byte, 4096)
	n, err := s.Read(b)
	if errors.Is(err, net.ErrClosed) {
		return nil, 0, netip.Addr{}, err
	}
	return b[:n], 255, routerA, nil
}

func (*fakeRouterSocket) address() netip.Addr { return netip.MustParseAddr("fe80::ff:fe00:1%eth0") }

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
