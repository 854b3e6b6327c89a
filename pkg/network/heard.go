package network

import (
	"fmt"
	"strings"
	"time"
)

// heard is what servers and routers said on a link, as far as it still counts.
type heard struct {
	lease4  *lease4
	lease6  *lease6
	routers routers
	managed bool // a router said that addresses come from DHCPv6
	other   bool // a router said that other configuration comes from DHCPv6

	ownHops uint8 // the hop limit of the link before its first router was heard; 0: no router was heard

	since4, sinceRA time.Time // since when DHCPv4 servers and routers are asked; zero: they are not
}

// hear takes in what a client says, and returns a sentence for the person at the console, or "".
func (h *heard) hear(what any, now time.Time) string {
	switch what := what.(type) {
	case *lease4:
		h.lease4 = what
		if what != nil {
			return strings.Join(what.wrong, "; ")
		}
	case *lease6:
		h.lease6 = what
		if what != nil {
			return strings.Join(what.wrong, "; ")
		}
	case advert:
		if !h.routers.hear(what, now) {
			return fmt.Sprintf("more than %d routers, %s is one too many", maxRouters, what.router)
		}
		h.managed, h.other = h.managed || what.managed, h.other || what.other
	case remark:
		return string(what)
	}
	return ""
}

// forget drops what was heard, because the cable may lead elsewhere now. The hop limit must still be restored.
func (h *heard) forget() { *h = heard{ownHops: h.ownHops} }
