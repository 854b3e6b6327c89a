// Package network configures the links of this machine from systemd-networkd's files, as package netconf reads them.
// It creates stacked devices, runs DHCPv4, DHCPv6 and router discovery, sets addresses and routes, and writes
// resolv.conf. It does what a machine needs to reach a registry and no more; docs/networking.md has the list.
//
// Data flows one way, in a loop. Clients tell the loop what servers and routers said (heard). The configuration, the
// device, what was heard and the time decide what a link should have (wanted). The difference from what the link was
// given (applied) is a list of changes, which the kernel makes. Nothing is done once and for all, so a cable or a
// device that comes late is configured like one that was there from the start.
package network
