package network

import (
	"net/netip"
	"slices"
	"time"
)

// settle is how long the machine waits for a better link when one has an address but no default route or no name
// server.
const settle = 4 * time.Second

// report updates the state of every link, prints what is new, writes resolv.conf, and decides whether the machine is
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

// resolvers returns the name servers and search domains of all links. Those of links with a default route come first.
func resolvers(states []LinkState) (servers []netip.Addr, search []string) {
	order := make([]int, len(states))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(states[b].Gateways) - len(states[a].Gateways) })
	for _, i := range order {
		servers = appendNew(servers, states[i].DNS)
		search = appendNew(search, states[i].Domains)
	}
	return servers, search
}

// isOnline reports whether the machine can reach out over one of the required links. A link with an address but
// without a router or a name server counts when nothing better is expected, or when nothing better has come in time.
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

// writeResolvConf writes the known name servers, even if none are left. It does not touch an existing file before one
// is known.
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
