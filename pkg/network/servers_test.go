package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"gitlab.com/wyrcan/wyrcan/integration/network/raw"
	"golang.org/x/sys/unix"
)

func (k *fakeKernel) socketError() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.noSocket
}

func (k *fakeKernel) open4(link string, client, server int) (socket4, error) {
	if err := k.socketError(); err != nil {
		return nil, err
	}
	return &fakeSocket4{fakeSocket: newFakeSocket(), server: k.dhcp4, ports: [2]int{server, client}}, nil
}

func (k *fakeKernel) open6(string) (socket6, error) {
	if err := k.socketError(); err != nil {
		return nil, err
	}
	return &fakeSocket6{fakeSocket: newFakeSocket(), server: k.dhcp6}, nil
}

func (k *fakeKernel) openRouters(int) (routerSocket, error) {
	if err := k.socketError(); err != nil {
		return nil, err
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
	file    string          // the boot file in the header of both
	class   string          // the vendor class of the last question
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

func (s *fakeServer4) isGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
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
	s.class = m.ClassIdentifier()
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
		mods = append(mods, func(p *dhcpv4.DHCPv4) { p.BootFileName = s.file })
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
	if u.to.server.isGone() {
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
	options   []dhcpv6.Option
	classes   [][]byte // the vendor classes of the last question
	noBinding bool     // it does not know the lease
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
	for _, o := range s.options {
		reply.AddOption(o)
	}
	s.classes = m.Options.VendorClass(enterprise)
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
