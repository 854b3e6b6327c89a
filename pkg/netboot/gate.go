package netboot

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// A gate bounds how much goes on at a time, in all and for one peer, so that nobody takes the place of all others.
type gate struct {
	all, each int // the limits

	mu    sync.Mutex
	total int
	peers map[netip.Addr]int
}

// enter counts one more of peer's. It returns false if that is too much.
func (g *gate) enter(peer netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total >= g.all || g.peers[peer] >= g.each {
		return false
	}
	if g.peers == nil {
		g.peers = make(map[netip.Addr]int)
	}
	g.total++
	g.peers[peer]++
	return true
}

// leave counts one less.
func (g *gate) leave(peer netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.peers[peer]--; g.peers[peer] == 0 {
		delete(g.peers, peer)
	}
}

// A pace bounds how often something happens within a second, in all and for one peer.
type pace struct {
	all, each int // the limits

	since time.Time
	total int
	peers map[string]int
}

// allows counts once more. It returns false if that is too often.
func (p *pace) allows(peer string) bool {
	if now := time.Now(); p.peers == nil || now.Sub(p.since) >= time.Second {
		p.since, p.total, p.peers = now, 0, make(map[string]int)
	}
	if p.total >= p.all || p.peers[peer] >= p.each {
		return false
	}
	p.total++
	p.peers[peer]++
	return true
}

// peerOf returns the address of a peer without its port.
func peerOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// A gated listener closes connections beyond what its gate lets in.
type gated struct {
	net.Listener
	gate *gate
}

func (g *gated) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := peerOf(conn.RemoteAddr())
		if g.gate.enter(peer) {
			return &counted{Conn: conn, leave: sync.OnceFunc(func() { g.gate.leave(peer) })}, nil
		}
		conn.Close()
	}
}

// counted is a connection that the gate counts until it is closed.
type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
