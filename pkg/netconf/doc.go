// Package netconf reads and writes the configuration files of systemd-networkd (systemd.network(5), systemd.netdev(5))
// and of its link files (systemd.link(5)). It makes no system call: what a file means on a machine is package network's.
package netconf
