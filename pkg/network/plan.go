package network

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
	"golang.org/x/sys/unix"
)

// Plan writes what Up would do with the links that exist and those that it would make: which file fits which link,
// what that file does, and what in the files is not understood. It changes nothing.
func (m *Manager) Plan(w io.Writer) error {
	conf, warnings := netconf.Parse(netconf.OrDefault(m.Files))
	for _, warning := range warnings {
		fmt.Fprintln(w, warning)
	}
	if m.kernel == nil {
		m.kernel = linux{}
	}
	devices, err := m.kernel.look()
	if err != nil {
		return fmt.Errorf("cannot list the network links: %w", err)
	}
	var found []foundLink
	for _, d := range devices {
		if m.kernel.describe(&d); d.Type != "loopback" {
			found = append(found, foundLink{d, m.kernel.names(d.Name)})
		}
	}
	p := newPlan(conf, thisHost())
	p.ipv6 = len(devices) > 0 && devices[0].ipv6
	p.add(found)
	p.write(w)
	return nil
}

// foundLink is a link of this machine.
type foundLink struct {
	device
	names predictable
}

// plan is a configuration applied to links without changing anything.
type plan struct {
	conf  netconf.Config
	host  netconf.Host
	ipv6  bool // the kernel has IPv6
	links []plannedLink
	there map[string]bool   // the names of links that there are, and of devices made
	used  map[any]bool      // the files that a link or device uses, as parsed
	over  map[string]string // the link on which a device is stacked
}

func newPlan(conf netconf.Config, host netconf.Host) plan {
	return plan{conf: conf, host: host, there: map[string]bool{}, used: map[any]bool{}, over: map[string]string{}}
}

type plannedLink struct {
	title string
	lines []string
}

// add applies the files to the links that exist and to the devices that the files make.
func (p *plan) add(found []foundLink) {
	for _, f := range found {
		p.there[f.Name] = true
	}
	for _, f := range found {
		p.addLink(&f)
	}
	// Devices may be stacked on one another in any order.
	for again := true; again; {
		again = false
		for _, c := range p.conf.NetDevs {
			if p.makes(c) {
				p.addMade(c)
				again = true
			}
		}
	}
	for _, c := range p.conf.Networks {
		for _, name := range append([]string{masterOf(c).name}, above(c)...) {
			if p.used[c] && name != "" && !p.there[name] {
				p.links = append(p.links, plannedLink{title: fmt.Sprintf(
					"%s: %s.network names it, but there is no such device, nor a .netdev file that makes it", name,
					c.Name)})
			}
		}
	}
}

// makes reports whether the device can be made now.
func (p *plan) makes(c *netconf.NetDevConfig) bool {
	return !p.there[c.Device] && c.Match.FitsHost(p.host) && (!stacked(c) || p.over[c.Device] != "")
}

// addMade applies the files to a device that a .netdev file makes.
func (p *plan) addMade(c *netconf.NetDevConfig) {
	p.there[c.Device], p.used[c] = true, true
	d := device{broadcasts: true}
	d.Name, d.KernelName, d.MAC, d.Kind, d.Type = c.Device, c.Device, c.MAC, c.Kind, typeOf(c.Kind)
	title := fmt.Sprintf("%s (%s), made by %s.netdev", c.Device, c.Kind, c.Name)
	if stacked(c) {
		title += " on " + p.over[c.Device]
	}
	p.addDevice(&d, title, nil)
}

// typeOf returns what [Match] calls the type of a device of that kind: its DEVTYPE, or ether for kinds that have
// none.
func typeOf(kind string) string {
	switch kind {
	case "dummy", "veth", "ipvlan":
		return "ether"
	}
	return kind
}

// addLink applies the .link file to a link that exists, and the .network file to the result.
func (p *plan) addLink(f *foundLink) {
	d := f.device
	var what []string
	for _, w := range []string{cmp.Or(d.Driver, d.Kind), d.MAC.String(), d.Path} {
		if w != "" {
			what = append(what, w)
		}
	}
	title := d.Name
	if len(what) > 0 {
		title += " (" + strings.Join(what, ", ") + ")"
	}
	also := appendNew(d.AltNames, f.names.all())
	var lines []string
	if file, ok := linkFileFor(p.conf.Links, &d, p.host, f.names); ok {
		p.used[file.conf] = true
		lines = append(lines, fmt.Sprintf("%s.link: %s", file.conf.Name, strings.Join(file.words(d.Name), ", ")))
		d.Name = file.name
		also = appendNew(also, file.altNames)
		if file.conf.MAC != nil {
			d.MAC = file.conf.MAC
		}
	}
	d.AltNames = slices.DeleteFunc(also, func(n string) bool { return n == d.Name })
	if len(d.AltNames) > 0 {
		title += ", also " + strings.Join(d.AltNames, " ")
	}
	p.addDevice(&d, title, lines)
}

// addDevice applies the .network file to a link, and records what is stacked on it.
func (p *plan) addDevice(d *device, title string, lines []string) {
	said := "no .network file fits it, it is left alone"
	ours := func(c *netconf.NetworkConfig) bool { return fits(&c.Match, d, &p.host) }
	if i := slices.IndexFunc(p.conf.Networks, ours); i >= 0 {
		c := p.conf.Networks[i]
		p.used[c] = true
		words := []string{"left alone"}
		if !c.Link.Unmanaged {
			w := p.want(c, *d)
			words = append(w.words(d.MAC), unlessRequired(c)...)
			if len(words) == 0 {
				words = []string{"brought up, no more"}
			}
			for _, name := range w.setup.above {
				p.over[name] = cmp.Or(p.over[name], d.Name) // the first makes it, the others find it there
			}
		}
		said = fmt.Sprintf("%s.network: %s", c.Name, strings.Join(words, ", "))
	}
	p.links = append(p.links, plannedLink{title, append(lines, said)})
}

// want returns what Up will want for the link when it has a carrier and the IPv6 link-local address that the file
// allows, and before any server or router has answered.
func (p *plan) want(c *netconf.NetworkConfig, d device) *wanted {
	d.ipv6 = p.ipv6
	d.flags |= unix.IFF_UP | unix.IFF_LOWER_UP
	if own := netip.MustParsePrefix("fe80::1/64"); d.ipv6 && (c.LinkLocal6 || hasLinkLocal6(c)) {
		d.addrs = []ifAddr{{prefix: own}}
	}
	return (&view{conf: c, device: d}).want(time.Time{})
}

// hasLinkLocal6 reports whether the file gives the link an IPv6 link-local address.
func hasLinkLocal6(c *netconf.NetworkConfig) bool {
	return slices.ContainsFunc(c.Addresses, func(a netconf.Address) bool {
		return a.Prefix.Addr().Is6() && a.Prefix.Addr().IsLinkLocalUnicast()
	})
}

// write prints the links, and the files that nothing uses.
func (p *plan) write(w io.Writer) {
	for _, l := range p.links {
		fmt.Fprintln(w, l.title)
		for _, line := range l.lines {
			fmt.Fprintln(w, "  "+line)
		}
	}
	for _, c := range p.conf.Links {
		if !p.used[c] {
			fmt.Fprintf(w, "%s.link: no link follows it\n", c.Name)
		}
	}
	for _, c := range p.conf.NetDevs {
		if !p.used[c] {
			fmt.Fprintf(w, "%s.netdev: nothing is made of it: %s\n", c.Name, p.unmade(c))
		}
	}
	for _, c := range p.conf.Networks {
		if !p.used[c] {
			fmt.Fprintf(w, "%s.network: no link follows it\n", c.Name)
		}
	}
}

// unmade returns why a device is not made.
func (p *plan) unmade(c *netconf.NetDevConfig) string {
	switch {
	case !c.Match.FitsHost(p.host):
		return "it is not for this machine"
	case p.there[c.Device]:
		return fmt.Sprintf("%s is there already", c.Device)
	}
	return fmt.Sprintf("no .network file of a link names %s", c.Device)
}

// words returns what a .link file does to a device.
func (f linkFile) words(present string) []string {
	c := f.conf
	var out []string
	if f.name != present {
		out = append(out, "name "+f.name)
	}
	for _, n := range f.altNames {
		out = append(out, "further name "+n)
	}
	switch {
	case c.MAC != nil:
		out = append(out, "hardware address "+c.MAC.String())
	case c.MACPolicy == "random":
		out = append(out, "a random hardware address")
	}
	if c.MTU != 0 {
		out = append(out, fmt.Sprintf("MTU %d", c.MTU))
	}
	if c.Alias != "" {
		out = append(out, fmt.Sprintf("alias %q", c.Alias))
	}
	if c.TxQueue != nil {
		out = append(out, fmt.Sprintf("a queue of %d packets", *c.TxQueue))
	}
	if out = append(out, hardwareChanges(c.Ethtool)...); len(out) == 0 {
		out = append(out, "no change")
	}
	return out
}

// hardwareChanges returns the settings that ethtool(8) could also make.
func hardwareChanges(e netconf.Ethtool) []string {
	var out []string
	either := func(on *bool, yes, no string) {
		switch {
		case on != nil && *on:
			out = append(out, yes)
		case on != nil:
			out = append(out, no)
		}
	}
	either(e.AutoNeg, "speed negotiated", "speed not negotiated")
	if e.Speed != 0 {
		out = append(out, fmt.Sprintf("%d Mbit/s", e.Speed))
	}
	if e.Duplex != "" {
		out = append(out, e.Duplex+" duplex")
	}
	if e.WakeOn != nil {
		out = append(out, "wakes up on "+cmp.Or(strings.Join(e.WakeWords(), " "), "nothing"))
	}
	for _, o := range e.Offload {
		either(&o.On, o.Name+" on", o.Name+" off")
	}
	for _, r := range []struct {
		name string
		size uint32
	}{{"receive", e.RxRing}, {"small frames", e.RxMiniRing}, {"jumbo frames", e.RxJumboRing}, {"transmit", e.TxRing}} {
		switch r.size {
		case 0:
		case netconf.RingMax:
			out = append(out, "the largest ring for "+r.name)
		default:
			out = append(out, fmt.Sprintf("a ring of %d for %s", r.size, r.name))
		}
	}
	either(e.RxPause, "pause frames heeded", "pause frames not heeded")
	either(e.TxPause, "pause frames sent", "pause frames not sent")
	either(e.AutoPause, "pause frames negotiated", "pause frames not negotiated")
	return out
}

// words returns what a link should have, as far as it helps a person who looks for the way to the network.
func (w *wanted) words(mac net.HardwareAddr) []string {
	var out []string
	add := func(label string, values ...string) {
		if values = slices.DeleteFunc(values, func(v string) bool { return v == "" }); len(values) > 0 {
			out = append(out, strings.TrimSpace(label+" "+strings.Join(values, " ")))
		}
	}
	when := func(on bool, words string) {
		if on {
			out = append(out, words)
		}
	}
	out = w.setup.words()
	fallback, own := linkLocal4(mac), false
	for _, a := range w.addresses {
		if a.prefix == fallback.prefix {
			own = true
			continue
		}
		add("address", a.prefix.String())
	}
	for _, r := range w.routes {
		add("route", r.String())
	}
	for _, r := range w.awaited.routes {
		to := "default"
		if r.Destination.IsValid() {
			to = r.Destination.String()
		}
		add("route", to, "via "+r.GatewayFrom)
	}
	when(w.clients.dhcp4, "DHCPv4")
	when(w.clients.dhcp6 != dhcp6Off || w.awaited.dhcp6, "DHCPv6")
	when(w.clients.routers, "router advertisements")
	when(own, "IPv4 link-local")
	when(w.awaited.linkLocal4, "IPv4 link-local without a lease")
	add("DNS", texts(w.names.dns)...)
	add("domains", w.names.domains...)
	add("NTP", w.names.ntp...)
	return out
}

// words returns what is done to a link before it has a carrier.
func (s *setup) words() []string {
	var out []string
	if s.up != bringItUp {
		out = append(out, "not brought up")
	}
	if s.mac != nil {
		out = append(out, "hardware address "+s.mac.String())
	}
	if s.mtu != 0 {
		out = append(out, fmt.Sprintf("MTU %d", s.mtu))
	}
	if s.master.name != "" {
		out = append(out, fmt.Sprintf("in %s %s", s.master.kind, s.master.name))
	}
	if len(s.above) > 0 {
		out = append(out, "under "+strings.Join(s.above, " "))
	}
	return out
}

// unlessRequired returns a remark if the boot does not wait for the link.
func unlessRequired(c *netconf.NetworkConfig) []string {
	if c.Link.Required {
		return nil
	}
	return []string{"not waited for"}
}
