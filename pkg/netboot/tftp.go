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

// Limits on concurrent TFTP transfers. A small request, whose sender address may be forged, starts a transfer. So a
// peer that has not yet answered is sent very little.
const (
	maxTransfers      = 256
	maxPeerTransfers  = 16 // several machines may share one address
	maxUnanswered     = 64
	maxPeerUnanswered = 4
)

// tftpServer serves the files of a site by TFTP (RFC 1350) with the options blksize (RFC 2348) and tsize (RFC 2349). It
// accepts no files. This is our own code because no library distinguishes a peer that has answered from one whose
// address may be forged.
type tftpServer struct {
	site *Site
	wait time.Duration
	logf func(format string, args ...any)

	transfers  limiter
	unanswered limiter
	refusals   rateLimiter // limits the log lines about refused transfers

	mu      sync.Mutex
	running map[netip.AddrPort]*transfer // by peer
}

func (s *Site) newTFTP(wait time.Duration, logf func(string, ...any)) *tftpServer {
	return &tftpServer{
		site: s, wait: wait, logf: logf,
		transfers:  limiter{all: maxTransfers, each: maxPeerTransfers},
		unanswered: limiter{all: maxUnanswered, each: maxPeerUnanswered},
		refusals:   rateLimiter{all: 1, each: 1},
		running:    make(map[netip.AddrPort]*transfer),
	}
}

// serve answers the requests that arrive on conn until ctx ends. Then it also ends the running transfers.
func (t *tftpServer) serve(ctx context.Context, conn *net.UDPConn) error {
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
			continue // not a request: an error in reply could make two servers answer each other for ever
		}
		t.begin(ctx, r, peer.(*net.UDPAddr).AddrPort(), about)
	}
}

// begin starts the transfer that a peer requests.
func (t *tftpServer) begin(ctx context.Context, r *request, peer netip.AddrPort, about *ipv4.ControlMessage) {
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	t.mu.Lock()
	before := t.running[peer]
	t.mu.Unlock()
	if before != nil {
		if !before.answered.Load() {
			return // the peer repeats its request before our answer has arrived; the transfer repeats that answer
		}
		before.conn.Close() // the peer has restarted
		<-before.done
	}
	if !t.transfers.acquire(peer.Addr()) {
		t.refuse(peer)
		return
	}
	if !t.unanswered.acquire(peer.Addr()) {
		t.transfers.release(peer.Addr())
		t.refuse(peer)
		return
	}
	conn, mtu, err := dialPeer(peer, about)
	if err != nil {
		t.unanswered.release(peer.Addr())
		t.transfers.release(peer.Addr())
		return
	}
	x := &transfer{
		request: r, conn: conn, mtu: mtu, wait: t.wait, done: make(chan struct{}),
		confirmed: sync.OnceFunc(func() { t.unanswered.release(peer.Addr()) }),
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
		x.confirmed()
		t.transfers.release(peer.Addr())
		t.mu.Lock()
		delete(t.running, peer)
		t.mu.Unlock()
		close(x.done)
	}()
}

// refuse logs, at a limited rate, that there are too many transfers. The peer gets no answer and asks again.
func (t *tftpServer) refuse(peer netip.AddrPort) {
	if t.refusals.allows("") {
		t.logf("tftp: too many transfers at a time: %s has to ask again", peer)
	}
}

// dialPeer returns a socket that is connected to the peer and bound to the address that the peer sent its request to,
// and the MTU of the interface. Requests to a broadcast address are ignored (RFC 1123, 4.2.3.3).
func dialPeer(peer netip.AddrPort, about *ipv4.ControlMessage) (*net.UDPConn, int, error) {
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
		return nil, 0, errors.New("the request was not sent to an address of this machine")
	}
	mtu := 1500
	if i, err := net.InterfaceByIndex(about.IfIndex); err == nil {
		mtu = i.MTU
	}
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: about.Dst}, net.UDPAddrFromAddrPort(peer))
	return conn, mtu, err
}

// run sends a peer the file that it requests.
func (t *tftpServer) run(x *transfer, peer netip.AddrPort) {
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
		// Not logged: PXELINUX asks for files named by its UUID, its address and so on before the default file.
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
	n, err := x.send(f, func() { t.logf("tftp: %s fetches %s%s", peer, name, f.note) })
	switch {
	case err == nil:
		t.logf("tftp: %s has %s, %d bytes in %v", peer, name, n, time.Since(begin).Round(10*time.Millisecond))
	case x.answered.Load():
		// This may be no failure: firmware requests a file to learn its size and then breaks off.
		t.logf("tftp: %s broke off %s: %v", peer, name, err)
	}
}

// A request is a read or write request.
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

// maxRequest is the maximum length of a request: RFC 2347.
const maxRequest = 512

// parseRequest parses a request: the operation, then words that each end in a zero byte.
func parseRequest(b []byte) (*request, error) {
	if len(b) < 4 || len(b) > maxRequest || b[len(b)-1] != 0 {
		return nil, errors.New("not a request")
	}
	op := binary.BigEndian.Uint16(b)
	words := strings.Split(string(b[2:len(b)-1]), "\x00")
	if op != opRead && op != opWrite || len(words) < 2 {
		return nil, errors.New("not a request")
	}
	r := &request{write: op == opWrite, file: words[0], mode: words[1], options: make(map[string]string)}
	for words = words[2:]; len(words) >= 2; words = words[2:] {
		r.options[strings.ToLower(words[0])] = words[1]
	}
	return r, nil
}
