// Package network makes the links of this machine match configuration files of systemd-networkd, as package netconf reads
// them: it creates stacked devices, asks DHCPv4 and DHCPv6 servers and routers, sets addresses and routes, and is the one
// writer of resolv.conf. It does what a machine needs to reach a registry and no more: docs/networking.md has the list.
//
// Everything is event driven: the kernel says what changes, each client says what it was given, and one goroutine compares
// what each link should have with what it was given so far. Nothing is done once and for all, so a cable, a switch port or
// a whole device that comes late is as good as one that was there.
package network
