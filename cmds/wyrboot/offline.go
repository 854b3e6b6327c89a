package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/coldplug"
	"gitlab.com/wyrcan/wyrcan/pkg/network"
)

// reminder tells when to say once more what is waited for: after half a minute, then in intervals that grow to ten minutes.
// It begins anew when a link comes to another state.
type reminder struct {
	next  time.Time
	step  time.Duration
	state string
}

func (r *reminder) due(now time.Time, links []network.LinkState) bool {
	var state strings.Builder
	for _, l := range links {
		fmt.Fprintln(&state, l.Name, l.Config, l.Carrier, l.Usable, len(l.Addresses))
	}
	const first = 30 * time.Second
	if r.step == 0 {
		r.next = now.Add(first)
	}
	if r.step == 0 || state.String() != r.state {
		r.state, r.step = state.String(), first
		if soon := now.Add(first); soon.Before(r.next) {
			r.next = soon
		}
	}
	if now.Before(r.next) {
		return false
	}
	r.next = now.Add(r.step)
	r.step = min(2*r.step, 10*time.Minute)
	return true
}

// noNetwork is the failure of a machine that no link can bring online: which cards have no driver, or none that works, and
// what to do. driversErr is why no driver at all could be loaded.
func noNetwork(offline *network.Offline, driversErr error, found coldplug.Result) error {
	var cards []string
	var firmware bool
	for _, d := range append(slices.Clone(found.Missing), found.Idle...) {
		cards = append(cards, d.Trouble())
		firmware = firmware || len(d.Firmware) > 0
	}
	why := strings.Join(cards, "; ")
	switch {
	case len(offline.Hardware()) > 0:
		why = offline.Error()
		if len(cards) > 0 {
			why += "; " + strings.Join(cards, "; ")
		}
		why += "; set the wyr.net arguments right, for which wyrnet -n shows what fits each link"
	case driversErr != nil:
		why = fmt.Sprintf("there is no network interface: %v; start this kernel with the initrd that was made for it", driversErr)
	case len(cards) == 0:
		why = "this machine has no network card; plug one in, or give the virtual machine one (QEMU: -nic user)"
	default:
		why = "there is no network interface: " + why
	}
	if len(found.Missing) > 0 {
		why += "; make the initrd with a kernel that has the driver (make KERNEL=FILE MODULES=DIR) or use another card"
	}
	if firmware {
		why += "; put the firmware into the initrd (make FIRMWARE=DIR)"
	}
	return errors.New(why)
}
