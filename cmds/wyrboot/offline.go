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

// reminder tells when to say again what the boot waits for: after half a minute, then in intervals that grow to ten
// minutes. It begins again when the state of a link changes.
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

// cards says why each unusable network card is unusable, unless its link says so.
func cards(offline *network.Offline, found coldplug.Result) []string {
	var list []string
	for _, d := range slices.Concat(found.Missing, found.Idle, starving(offline, found)) {
		list = append(list, d.Trouble())
	}
	return list
}

// starving returns the cards whose links the kernel cannot bring up: many drivers ask for their firmware only then.
func starving(offline *network.Offline, found coldplug.Result) []coldplug.Device {
	return slices.DeleteFunc(slices.Clone(found.Wanting), func(d coldplug.Device) bool {
		return !slices.ContainsFunc(offline.Links, func(s network.LinkState) bool {
			return s.Broken && (slices.Contains(d.Links, s.Name) || slices.Contains(d.Links, s.KernelName))
		})
	})
}

// noNetwork returns the error of a machine that no link can bring online: which cards have no driver, or no working
// one, and what to do. driversErr says why no driver at all could be loaded.
func noNetwork(offline *network.Offline, driversErr error, found coldplug.Result) error {
	why := cards(offline, found)
	hardware := offline.Hardware()
	switch {
	case len(hardware) > 0:
		why = append([]string{offline.Error()}, why...)
		if !slices.ContainsFunc(hardware, func(s network.LinkState) bool { return s.Broken }) {
			why = append(why, "set the wyr.net arguments right, for which wyrnet -n shows what fits each link")
		}
	case driversErr != nil:
		why = []string{
			fmt.Sprintf("there is no network interface: %v", driversErr),
			"start this kernel with the initrd that was made for it",
		}
	case len(why) == 0:
		why = []string{
			"this machine has no network card",
			"plug one in, or give the virtual machine one (QEMU: -nic user)",
		}
	default:
		why[0] = "there is no network interface: " + why[0]
	}
	switch {
	case len(found.Missing) == 0:
	case found.BuiltIn:
		why = append(why, "build the kernel with the driver or use another card")
	default:
		why = append(why, "make the initrd with a kernel that has the driver (make KERNEL=FILE MODULES=DIR) "+
			"or use another card")
	}
	needsFirmware := func(d coldplug.Device) bool { return len(d.Firmware) > 0 }
	if slices.ContainsFunc(found.Idle, needsFirmware) || len(starving(offline, found)) > 0 {
		why = append(why, "put the firmware into the initrd (make FIRMWARE=DIR)")
	}
	return errors.New(strings.Join(why, "; "))
}
