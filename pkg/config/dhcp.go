package config

import "strings"

// A DHCP is what the lease of a DHCP server says for Wyrcan. Nobody has proven who sent it, so it may name the image
// and its arguments, with what belongs to these (wyr.kernel, wyr.init, wyr.overlay), and nothing else.
type DHCP struct {
	From     string   // for messages: "DHCP server 192.0.2.1 on eth0"
	BootFile string   // option 67 or the field file, option 59 of DHCPv6: counts if it is oci://IMAGE
	Image    string   // wyr.img, of the options for the vendor class Wyrcan, as are the next two
	Args     []string // wyr.arg
	Config   string   // wyr.config: a text of arguments, or the URL of one
	More     []string // wyr.kernel=, wyr.init= and wyr.overlay=, with their values
}

// Leases are what DHCP servers say.
func Leases(answers []DHCP) []Source {
	var sources []Source
	for _, a := range answers {
		sources = append(sources, Source{Name: a.From, Load: a.load, late: true})
	}
	return sources
}

func (d DHCP) load() (Config, []string, error) {
	p := place{image: []byte(d.Image), config: []byte(d.Config)}
	for _, a := range d.Args {
		p.args = append(p.args, []byte(a))
	}
	// The boot file of a server that knows nothing of Wyrcan is for its PXE clients.
	if ref, ok := strings.CutPrefix(d.BootFile, "oci://"); ok && strings.TrimSpace(d.Image) == "" {
		p.image = []byte(ref)
	}
	for _, text := range d.More {
		name, value, _ := strings.Cut(strings.TrimPrefix(text, "wyr."), "=")
		p.more = append(p.more, belongs(name, value))
	}
	args, ignored := p.arguments()
	args, more := only(args, "DHCP", "img", "arg", "config", "kernel", "init", "overlay")
	l := parse(args)
	return l.Config, append(append(ignored, more...), l.warnings...), nil
}
