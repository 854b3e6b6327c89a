//go:build slow

package network_test

import "testing"

// express is a machine with PCI Express. Its cards are on the root bus, on one slot with several functions, behind
// ports with and without hotplug, and behind a bridge to PCI.
var express = []string{"-M", "q35",
	"-device", "virtio-net-pci,addr=5,mac=02:00:00:00:00:11,romfile=",
	"-device", "pcie-root-port,id=port1,chassis=1,slot=11,addr=6",
	"-device", "e1000e,bus=port1,mac=02:00:00:00:00:12,romfile=",
	"-device", "pcie-root-port,id=port2,chassis=2,slot=12,addr=7,hotplug=off",
	"-device", "virtio-net-pci,bus=port2,mac=02:00:00:00:00:13,romfile=",
	"-device", "pcie-pci-bridge,id=bridge,addr=8",
	"-device", "e1000,bus=bridge,addr=4,mac=02:00:00:00:00:14,romfile=",
	"-device", "vmxnet3,bus=pcie.0,addr=9.0,multifunction=on,mac=02:00:00:00:00:15,romfile=",
	"-device", "e1000e,bus=pcie.0,addr=9.3,mac=02:00:00:00:00:16,romfile="}

// TestSlowLinks is TestLinks on another machine.
func TestSlowLinks(t *testing.T) {
	t.Parallel()
	needRoot(t, "qemu-system-x86_64", "depmod", "udevadm", "ethtool", udevd)
	linksPass(t, express)
}
