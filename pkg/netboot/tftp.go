package netboot

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
)

// What goes on over TFTP at a time. A request of a few bytes, whose sender may be forged, sets off a transfer: until a
// peer has answered, it is sent next to nothing.
const (
	maxTransfers      = 256
	maxPeerTransfers  = 16 // a lab behind one address
	maxUnanswered     = 64
	maxPeerUnanswered = 4
)

// A trivial gives the files of a site by TFTP (RFC 1350) with the options blksize (RFC 2348) and tsize (RFC 2349), and
// takes none. It is our own, for no library tells a peer that has answered from one that may never have asked.
type trivial struct {
	site *Site
	logf func(format string, args ...any)

	transfers  gate
	unanswered gate
	refusals   pace // of telling about them

	mu      sync.Mutex
	running map[netip.AddrPort]*transfer // by the peer
}

func (s *Site) newTFTP(logf func(string, ...any)) *trivial {
	return &trivial{
		site: s, logf: logf,
		transfers:  gate{all: maxTransfers, each: maxPeerTransfers},
		unanswered: gate{all: maxUnanswered, each: maxPeerUnanswered},
		refusals:   pace{all: 1, each: 1},
		running:    make(map[netip.AddrPort]*transfer),
	}
}

// serve answers what arrives on conn until ctx ends. Transfers end with it.
func (t *trivial) serve(ctx context.Context, conn *net.UDPConn) error {
	context.AfterFunc(ctx, func() {
		conn.Close()
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, r := range t.running {
			r.conn.Close()
		}
	})
	p := ipv4.NewPacketConn(conn)
	if err := p.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true); err != nil {
		return err
	}
	b := make([]byte, 1<<16)
	for {
		n, about, peer, err := p.ReadFrom(b)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		r, err := parseRequest(b[:n])
		if err != nil || about == nil {
			continue // no request: nobody is told, or two servers might talk to each other for ever
		}
		t.begin(ctx, r, peer.(*net.UDPAddr).AddrPort(), about)
	}
}

// begin starts the transfer that a peer asks for.
func (t *trivial) begin(ctx context.Context, r *request, peer netip.AddrPort, about *ipv4.ControlMessage) {
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	t.mu.Lock()
	before := t.running[peer]
	t.mu.Unlock()
	if before != nil {
		if !before.answered.Load() {
			return // it asks again before the answer has reached it, and that is sent again
		}
		before.conn.Close() // it has started anew
		<-before.done
	}
	if !t.transfers.enter(peer.Addr()) {
		t.refuse(peer)
		return
	}
	if !t.unanswered.enter(peer.Addr()) {
		t.transfers.leave(peer.Addr())
		t.refuse(peer)
		return
	}
	conn, mtu, err := answering(peer, about)
	if err != nil {
		t.unanswered.leave(peer.Addr())
		t.transfers.leave(peer.Addr())
		return
	}
	x := &transfer{
		request: r, conn: conn, mtu: mtu, done: make(chan struct{}),
		proved: sync.OnceFunc(func() { t.unanswered.leave(peer.Addr()) }),
	}
	t.mu.Lock()
	t.running[peer] = x
	t.mu.Unlock()
	if ctx.Err() != nil {
		conn.Close()
	}
	go func() {
		t.run(x, peer)
		conn.Close()
		x.proved()
		t.transfers.leave(peer.Addr())
		t.mu.Lock()
		delete(t.running, peer)
		t.mu.Unlock()
		close(x.done)
	}()
}

// refuse says, now and then, that there is too much going on. The peer is sent nothing and asks again.
func (t *trivial) refuse(peer netip.AddrPort) {
	if t.refusals.allows("") {
		t.logf("tftp: too many transfers at a time: %s has to ask again", peer)
	}
}

// answering returns a socket to the peer from the address that it has asked, which is nobody's but this peer's, and the
// MTU of the interface. Requests to a broadcast address are ignored, as RFC 1123, 4.2.3.3, wants.
func answering(peer netip.AddrPort, about *ipv4.ControlMessage) (*net.UDPConn, int, error) {
	ours, err := net.InterfaceAddrs()
	if err != nil {
		return nil, 0, err
	}
	asked := false
	for _, a := range ours {
		n, ok := a.(*net.IPNet)
		asked = asked || ok && (n.IP.Equal(about.Dst) || n.IP.IsLoopback() && about.Dst.IsLoopback())
	}
	if !asked {
		return nil, 0, errors.New("not asked by an address of this machine")
	}
	mtu := 1500
	if i, err := net.InterfaceByIndex(about.IfIndex); err == nil {
		mtu = i.MTU
	}
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: about.Dst}, net.UDPAddrFromAddrPort(peer))
	return conn, mtu, err
}

// run gives a peer what it asks for.
func (t *trivial) run(x *transfer, peer netip.AddrPort) {
	name := clean(x.request.file)
	switch {
	case x.request.write:
		x.fail(accessViolation, "read only")
		return
	case !strings.EqualFold(x.request.mode, "octet"):
		x.fail(illegalOperation, "binary (octet) mode only")
		return
	}
	f, err := t.site.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		// PXELINUX asks for a file by its UUID, its address and so on before the default: no news.
		x.fail(fileNotFound, "no such file")
		return
	}
	if err != nil {
		t.logf("tftp: %v", err)
		x.fail(notDefined, "cannot read it now")
		return
	}
	defer f.Close()
	begin := time.Now()
	n, err := x.send(f, func() { t.logf("tftp: %s fetches %s", peer, name) })
	switch {
	case err == nil:
		t.logf("tftp: %s has %s, %d bytes in %v", peer, name, n, time.Since(begin).Round(10*time.Millisecond))
	case x.answered.Load():
		// Firmware asks for a file to learn its size, and then breaks off. That is no failure either.
		t.logf("tftp: %s broke off %s: %v", peer, name, err)
	}
}

// A request is what a peer asks for.
type request struct {
	write   bool
	file    string
	mode    string
	options map[string]string // by their names in lower case
}

// TFTP's operations (RFC 1350, 5; RFC 2347) and errors (RFC 1350, appendix).
const (
	opRead, opWrite, opData, opAck, opError, opOptions = 1, 2, 3, 4, 5, 6

	notDefined, fileNotFound, accessViolation, illegalOperation = 0, 1, 2, 4
)

// maxRequest is how long a request may be: RFC 2347.
const maxRequest = 512

// parseRequest reads a request: an operation, then words that each end in a zero byte.
func parseRequest(b []byte) (*request, error) {
	if len(b) < 4 || len(b) > maxRequest || b[len(b)-1] != 0 {
		return nil, errors.New("no request")
	}
	op := binary.BigEndian.Uint16(b)
	words := strings.Split(string(b[2:len(b)-1]), "\x00")
	if op != opRead && op != opWrite || len(words) < 2 {
		return nil, errors.New("no request")
	}
	r := &request{write: op == opWrite, file: words[0], mode: words[1], options: make(map[string]string)}
	for words = words[2:]; len(words) >= 2; words = words[2:] {
		r.options[strings.ToLower(words[0])] = words[1]
	}
	return r, nil
}
