package network

import (
	"net/netip"
	"slices"
	"time"
)

// settle is how long a link that has an address, but no default route or no name server, is held back in favour of a
// better one.
const settle = 4 * time.Second

// report works out the state of every link, prints what is new, writes resolv.conf and decides whether the machine is
// online.
func (m *Manager) report(now time.Time) {
	links := slices.DeleteFunc(m.sorted(), func(l *link) bool { return l.loopback() }) // it leads nowhere
	states := make([]LinkState, len(links))
	for i, l := range links {
		states[i] = l.state(now)
		if line := states[i].news(l.told); states[i].Usable && line != "" {
			l.told = states[i]
			m.logf("%s", line)
		}
	}
	m.mu.Lock()
	m.states = states
	m.mu.Unlock()
	servers, search := resolvers(states)
	m.writeResolvConf(servers, search)

	var required []LinkState
	for i, l := range links {
		if l.managed() && l.conf.Link.Required {
			required = append(required, states[i])
		}
	}
	if m.isOnline(required, len(servers) > 0, now) {
		select {
		case <-m.online:
		default:
			close(m.online)
		}
	}
}

// resolvers returns the name servers and search domains of all links. Those of a link that leads to the world come first.
func resolvers(states []LinkState) (servers []netip.Addr, search []string) {
	states = slices.Clone(states)
	slices.SortStableFunc(states, func(a, b LinkState) int { return len(b.Gateways) - len(a.Gateways) })
	for _, s := range states {
		servers = appendNew(servers, s.DNS)
		search = appendNew(search, s.Domains)
	}
	return servers, search
}

// isOnline reports whether the machine can reach out over one of the links that are required for that. A link with an
// address but no router, or without a name server, may be all there is: it counts when nothing better is on its way, or
// has not come in time.
func (m *Manager) isOnline(required []LinkState, named bool, now time.Time) bool {
	part, pending := false, false
	for _, s := range required {
		if s.Usable && len(s.Gateways) > 0 && named {
			return true
		}
		part = part || s.Usable
		pending = pending || s.Pending
	}
	if part && m.found.IsZero() {
		m.found = now
	}
	return part && (!pending || now.Sub(m.found) >= settle)
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
