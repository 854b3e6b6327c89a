package netboot

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// limiter limits how many things run at a time, in total and for each peer, so that one peer cannot use up everything.
type limiter struct {
	all, each int // the limits

	mu    sync.Mutex
	total int
	peers map[netip.Addr]int
}

// acquire counts one more for peer. It returns false, and counts nothing, if that exceeds a limit.
func (g *limiter) acquire(peer netip.Addr) bool {
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

// release counts one less for peer.
func (g *limiter) release(peer netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.peers[peer]--; g.peers[peer] == 0 {
		delete(g.peers, peer)
	}
}

// rateLimiter limits how often something happens in a second, in total and for each peer.
type rateLimiter struct {
	all, each int // the limits

	since time.Time
	total int
	peers map[string]int
}

// allows counts one more event for peer. It returns false if that exceeds a limit.
func (p *rateLimiter) allows(peer string) bool {
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

// limitedListener closes connections beyond its limits.
type limitedListener struct {
	net.Listener
	limiter *limiter
}

func (g *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := peerOf(conn.RemoteAddr())
		if g.limiter.acquire(peer) {
			return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { g.limiter.release(peer) })}, nil
		}
		conn.Close()
	}
}

// limitedConn is a connection that counts for the limiter until it is closed.
type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
