package network

import (
	"fmt"
	"slices"
	"time"
)

// applied is what a link was given, and what did not work.
type applied struct {
	setUp     bool
	ruled     bool // rules and neighbours are set
	addresses map[addressKey]*address
	again     map[addressKey]int // how often an address that was set was set again
	routes    map[route]*route   // by their keys
	ownMTU    int                // before a lease changed it; 0: no lease did
	trouble   map[string]string  // what does not work, by what was tried
	upTried   time.Time          // when it was last tried to bring the link up again
}

func newApplied() applied {
	return applied{
		addresses: map[addressKey]*address{}, again: map[addressKey]int{}, routes: map[route]*route{},
		trouble: map[string]string{},
	}
}

// fail records that something does not work, or with a nil error that it works now.
func (a *applied) fail(what string, err error) {
	if err == nil {
		delete(a.trouble, what)
		return
	}
	a.trouble[what] = fmt.Sprintf("cannot %s: %v", what, err)
}

// troubles returns what does not work, sorted.
func (a *applied) troubles() []string {
	var out []string
	for _, text := range a.trouble {
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

// mostAgain is how often an address is set again after somebody removed it.
const mostAgain = 3

// changes returns the changes from what the link was given to what is wanted: first the removals, then addresses,
// then routes. What others have set stays.
func (a *applied) changes(w *wanted, d *device) []*change {
	t := d.target()
	out := a.removals(w, t)
	add := func(c *change) { out = append(out, c) }
	for i := range w.addresses {
		addr := &w.addresses[i]
		old := a.addresses[addr.key()]
		_, there := d.find(addr.prefix.Addr())
		if old == nil || *old != *addr || !there && a.again[addr.key()] < mostAgain {
			add(newAddress(t, addr))
		}
	}
	for i := range w.routes {
		r := &w.routes[i]
		switch old := a.routes[r.key()]; {
		case old == nil:
			add(newRoute(t, r))
		case !old.expires.Equal(r.expires):
			add(refreshRoute(t, old, r))
		}
	}
	if !a.ruled && (len(w.addresses)+len(w.routes) > 0 || d.carrier()) {
		out = append(out, w.rules...)
		for i := range w.neighbors {
			add(newNeighbor(t, &w.neighbors[i]))
		}
	}
	if mtu := a.mtu(w); mtu != 0 && mtu != d.mtu {
		add(setMTU(t, mtu))
	}
	return out
}

// removals returns the changes that remove addresses and routes that are no longer wanted.
func (a *applied) removals(w *wanted, t target) []*change {
	var out []*change
	for key, addr := range a.addresses {
		if !w.hasAddress(key) {
			out = append(out, dropAddress(t, addr))
		}
	}
	for key, r := range a.routes {
		if _, keep := w.index[key]; !keep {
			out = append(out, dropRoute(t, r))
		}
	}
	return out
}

// mtu returns the MTU to set: the one of the lease, or the link's own if an earlier lease changed it. It returns 0 if
// no lease ever did.
func (a *applied) mtu(w *wanted) int {
	if w.mtu != 0 {
		return w.mtu
	}
	return a.ownMTU
}

// tried counts how often an address is set again. Somebody may have removed it, by a flush for example.
func (a *applied) tried(c *change) {
	if c.verb != verbNewAddress {
		return
	}
	if old := a.addresses[c.address.key()]; old != nil && *old == *c.address {
		a.again[c.address.key()]++
	}
}

// done records a change that worked.
func (a *applied) done(c *change) {
	switch c.verb {
	case verbNewAddress:
		a.addresses[c.address.key()] = c.address
	case verbDropAddress:
		delete(a.addresses, c.address.key())
	case verbNewRoute, verbRefreshRoute:
		a.routes[c.route.key()] = c.route
	case verbDropRoute:
		delete(a.routes, c.route.key())
	}
}
