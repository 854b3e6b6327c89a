package network

import (
	"cmp"
	"strings"
)

// hostname returns the name that servers give to the machine, the DHCPv4 server's first.
func (v *view) hostname() string {
	var four, six string
	if v.lease4 != nil && v.conf.DHCPv4.UseHostname {
		four = v.lease4.hostname
	}
	if v.lease6 != nil && v.conf.DHCPv6.UseHostname {
		six = v.lease6.hostname
	}
	return cmp.Or(four, six)
}

// plainName returns the name of a host as a server gives it; "" if it cannot be one.
func plainName(name string) string {
	const longest = 253 // RFC 1035 section 2.3.4, as text
	name = strings.TrimRight(name, "\x00")
	if len(name) > longest || !plain(name) {
		return ""
	}
	return name
}
