package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// HandOver returns the configuration in the form that makes systemd-networkd do what was done here. Bonds and bridges
// keep the hardware address of their first member. DHCP servers get the hardware address as client identifier, so
// that they recognise the machine. Where a file names a link by its present name, the names that systemd's udev may
// give it are added.
func HandOver(files []netconf.File, links []LinkState) []netconf.File {
	files = netconf.OrDefault(files)
	out := make([]netconf.File, len(files))
	for i, f := range files {
		f.Sections = slices.Clone(f.Sections)
		switch kind := value(f, "NetDev", "Kind"); {
		case f.Kind == netconf.NetDev && (kind == "bond" || kind == "bridge") && !has(f, "NetDev", "MACAddress"):
			f = with(f, "NetDev", netconf.Entry{Key: "MACAddress", Value: "none"})
		case f.Kind == netconf.Network && !has(f, "DHCPv4", "ClientIdentifier") && has(f, "Network", "DHCP"):
			f = with(f, "DHCPv4", netconf.Entry{Key: "ClientIdentifier", Value: "mac"})
		}
		if more := otherNames(f, links); more != "" {
			f = with(f, "Match", netconf.Entry{Key: "Name", Value: more})
		}
		out[i] = f
	}
	return out
}

// otherNames returns what to add to Name= of a .network file: the other names of the links that it names.
func otherNames(f netconf.File, links []LinkState) string {
	conf, _ := netconf.Parse([]netconf.File{f})
	if len(conf.Networks) == 0 {
		return ""
	}
	names := conf.Networks[0].Match.Name
	named := func(name string) bool {
		return len(names.List) > 0 && netconf.Match{Name: names}.Fits(netconf.Device{Name: name},
			netconf.Host{}) != names.Negate
	}
	var more []string
	for _, l := range links {
		if named(l.Name) {
			more = appendNew(more, slices.DeleteFunc(slices.Clone(l.AltNames), named))
		}
	}
	if names.Negate && len(more) > 0 {
		more[0] = "!" + more[0]
	}
	return strings.Join(more, " ")
}

// value returns the value of the last line with the key.
func value(f netconf.File, section, key string) string {
	v := ""
	for _, s := range f.Sections {
		for _, e := range s.Entries {
			if s.Name == section && e.Key == key {
				v = e.Value
			}
		}
	}
	return v
}

func has(f netconf.File, section, key string) bool {
	return slices.ContainsFunc(f.Sections, func(s netconf.Section) bool {
		return s.Name == section && slices.ContainsFunc(s.Entries, func(e netconf.Entry) bool { return e.Key == key })
	})
}

// with adds a line to the first section of that name, and creates the section if there is none.
func with(f netconf.File, section string, e netconf.Entry) netconf.File {
	i := slices.IndexFunc(f.Sections, func(s netconf.Section) bool { return s.Name == section })
	if i < 0 {
		f.Sections = append(f.Sections, netconf.Section{Name: section, Entries: []netconf.Entry{e}})
		return f
	}
	f.Sections[i].Entries = append(slices.Clone(f.Sections[i].Entries), e)
	return f
}

// IPArgument returns the state of the link that reaches out as the kernel argument ip=
// (Documentation/admin-guide/nfs/nfsroot.rst), for a system that configures no network itself. The error says why ip=
// cannot express it: ip= allows only IPv4, one address, and devices that exist when the kernel starts.
func IPArgument(states []LinkState) (string, error) {
	var found *LinkState
	for i, s := range states {
		if s.Usable && len(s.Gateways) > 0 {
			found = &states[i]
			break
		}
		if s.Usable && found == nil {
			found = &states[i]
		}
	}
	if found == nil {
		return "", errors.New("no link can reach out")
	}
	s := *found
	if s.Kind != "" {
		return "", fmt.Errorf("%s is a %s, which the kernel's ip= cannot make", s.Name, s.Kind)
	}
	v4 := slices.DeleteFunc(slices.Clone(s.Addresses), func(p netip.Prefix) bool { return !p.Addr().Is4() })
	switch {
	case len(v4) == 0:
		return "", fmt.Errorf("%s has no IPv4 address, and the kernel's ip= knows no other", s.Name)
	case s.Leased:
		return fmt.Sprintf("ip=:::::%s:dhcp", s.KernelName), nil
	case len(v4) > 1:
		return "", fmt.Errorf("%s has several IPv4 addresses, and the kernel's ip= knows one", s.Name)
	}
	p := v4[0]
	gateway, dns := "", [2]string{}
	for _, g := range s.Gateways {
		if g.Is4() && gateway == "" {
			gateway = g.String()
		}
	}
	n := 0
	for _, d := range s.DNS {
		if d.Is4() && n < len(dns) {
			dns[n] = d.String()
			n++
		}
	}
	mask := net.IP(net.CIDRMask(p.Bits(), 32))
	return fmt.Sprintf("ip=%s::%s:%s::%s:off:%s:%s", p.Addr(), gateway, mask, s.KernelName, dns[0], dns[1]), nil
}
