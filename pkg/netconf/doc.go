// Package netconf reads and writes the configuration files of systemd-networkd (systemd.network(5), systemd.netdev(5))
// and of its link files (systemd.link(5)). It makes no system call: package network applies a configuration to the
// machine.
package netconf
