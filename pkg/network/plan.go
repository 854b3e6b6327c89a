package network

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// Plan writes what Up would do with the links that are there and with those that it would make: which file fits which link,
// what that says, and what of the files is not understood. It changes nothing.
func (m *Manager) Plan(w io.Writer) error {
	conf, warnings := netconf.Parse(netconf.OrDefault(m.Files))
	for _, warning := range warnings {
		fmt.Fprintln(w, warning)
	}
	list, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("cannot list the network links: %w", err)
	}
	var found []foundLink
	for _, nl := range list {
		if d := device(nl, nl.Attrs().Name); d.Type != "loopback" {
			found = append(found, foundLink{d, predictableNames("/sys", d.Name)})
		}
	}
	if kernelHasIPv6() {
		leaveRoom(conf.Networks)
	}
	p := plan{conf: conf, host: thisHost(), there: map[string]bool{}, used: map[any]bool{}}
	p.add(found)
	p.write(w)
	return nil
}

// foundLink is a link of this machine.
type foundLink struct {
	dev   netconf.Device
	names predictable
}

// plan is a configuration, applied to links in thought alone.
type plan struct {
	conf  netconf.Config
	host  netconf.Host
	links []plannedLink
	there map[string]bool // the names of links that there are, and of devices made
	used  map[any]bool    // the files that something follows, by what they mean
}

type plannedLink struct {
	title string
	lines []string
}

// add follows the files for the links that are there, and for the devices that the files make.
func (p *plan) add(found []foundLink) {
	over := map[string][]string{} // the links on which a device is stacked
	for _, f := range found {
		p.there[f.dev.Name] = true
	}
	for _, f := range found {
		p.addLink(&f, over)
	}
	// A device may be what another stands on, in any order.
	for again := true; again; {
		again = false
		for _, c := range p.conf.NetDevs {
			if p.there[c.Device] || !c.Match.FitsHost(p.host) || stacked(c) && over[c.Device] == nil {
				continue
			}
			p.there[c.Device], again = true, true
			p.used[c] = true
			f := foundLink{dev: netconf.Device{Name: c.Device, KernelName: c.Device, MAC: c.MAC, Kind: c.Kind, Type: typeOf(c.Kind)}}
			title := fmt.Sprintf("%s (%s), made by %s.netdev", c.Device, c.Kind, c.Name)
			if stacked(c) {
				title += " on " + strings.Join(over[c.Device], " ")
			}
			p.addDevice(&f, title, nil, over)
		}
	}
	for _, l := range p.conf.Networks {
		for _, name := range slices.Concat([]string{l.Bond, l.Bridge, l.VRF}, uppers(l)) {
			if p.used[l] && name != "" && !p.there[name] {
				p.links = append(p.links, plannedLink{title: fmt.Sprintf("%s: %s.network names it, but there is no such device, nor a .netdev file that makes it", name, l.Name)})
			}
		}
	}
}

// typeOf is what [Match] calls the type of a device of the kind: its DEVTYPE, which not all of them have.
func typeOf(kind string) string {
	switch kind {
	case "dummy", "veth", "ipvlan":
		return "ether"
	}
	return kind
}

// uppers are the devices that a file stacks on its link.
func uppers(c *netconf.NetworkConfig) []string {
	return slices.Concat(c.VLAN, c.MACVLAN, c.MACVTAP, c.IPVLAN, c.VXLAN)
}

// addLink follows the .link file of a link that is there, and goes on with what that makes of it.
func (p *plan) addLink(f *foundLink, over map[string][]string) {
	d := &f.dev
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
	if i := slices.IndexFunc(p.conf.Links, func(c *netconf.LinkConfig) bool { return c.Match.Fits(*d, p.host) }); i >= 0 {
		c := p.conf.Links[i]
		p.used[c] = true
		lines = append(lines, fmt.Sprintf("%s.link: %s", c.Name, strings.Join(linkChanges(c, f), ", ")))
		d.Name = newName(c, d.Name, f.names)
		also = appendNew(also, alternatives(c, f.names))
		if c.MAC != nil {
			d.MAC = c.MAC
		}
	}
	d.AltNames = slices.DeleteFunc(also, func(n string) bool { return n == d.Name })
	if len(d.AltNames) > 0 {
		title += ", also " + strings.Join(d.AltNames, " ")
	}
	p.addDevice(f, title, lines, over)
}

// addDevice follows the .network file of a link, and notes what is stacked on it.
func (p *plan) addDevice(f *foundLink, title string, lines []string, over map[string][]string) {
	said := "no .network file fits it, it is left alone"
	if i := slices.IndexFunc(p.conf.Networks, func(c *netconf.NetworkConfig) bool { return c.Match.Fits(f.dev, p.host) }); i >= 0 {
		c := p.conf.Networks[i]
		p.used[c] = true
		said = fmt.Sprintf("%s.network: %s", c.Name, strings.Join(settings(c), ", "))
		if !c.Link.Unmanaged {
			for _, name := range uppers(c) {
				over[name] = append(over[name], f.dev.Name)
			}
		}
	}
	p.links = append(p.links, plannedLink{title, append(lines, said)})
}

// write prints the links, and the files that nothing follows.
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

// unmade is why a device is not made.
func (p *plan) unmade(c *netconf.NetDevConfig) string {
	switch {
	case !c.Match.FitsHost(p.host):
		return "it is not for this machine"
	case p.there[c.Device]:
		return fmt.Sprintf("%s is there already", c.Device)
	}
	return fmt.Sprintf("no .network file of a link names %s", c.Device)
}

// linkChanges are what a .link file does to a link.
func linkChanges(c *netconf.LinkConfig, f *foundLink) []string {
	var out []string
	if name := newName(c, f.dev.Name, f.names); name != f.dev.Name {
		out = append(out, "name "+name)
	}
	for _, n := range alternatives(c, f.names) {
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

// hardwareChanges are those among them that ethtool(8) could make.
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

// settings are what a .network file does for a link, as far as a person who looks for the way out wants to know.
func settings(c *netconf.NetworkConfig) []string {
	if c.Link.Unmanaged {
		return []string{"left alone"}
	}
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
	when(!c.Link.Up(), "not brought up")
	add("hardware address", c.Link.MAC.String())
	if c.Link.MTU != 0 {
		add("MTU", fmt.Sprint(c.Link.MTU))
	}
	add("in bond", c.Bond)
	add("in bridge", c.Bridge)
	add("in VRF", c.VRF)
	add("under", uppers(c)...)
	for _, a := range c.Addresses {
		add("address", a.Prefix.String())
	}
	for _, r := range c.Routes {
		to, by := "default", r.GatewayFrom
		if r.Destination.IsValid() {
			to = r.Destination.String()
		}
		if r.Gateway.IsValid() {
			by = r.Gateway.String()
		}
		if by != "" {
			by = "via " + by
		}
		add("route", to, by)
	}
	when(c.DHCP4, "DHCPv4")
	when(c.DHCP6, "DHCPv6")
	when(c.AcceptRA, "router advertisements")
	when(c.LinkLocal4 == netconf.LinkLocal4On, "IPv4 link-local")
	when(c.LinkLocal4 == netconf.LinkLocal4Fallback, "IPv4 link-local without a lease")
	add("DNS", texts(c.DNS)...)
	add("domains", c.Domains...)
	add("NTP", c.NTP...)
	when(!c.Link.Required, "not waited for")
	if len(out) == 0 {
		out = append(out, "brought up, no more")
	}
	return out
}
