package netconf

import (
	"net"
	"strings"
	"testing"
)

func TestFnmatch(t *testing.T) {
	for _, tt := range []struct {
		glob, s string
		want    bool
	}{
		{"eth0", "eth0", true}, {"eth0", "eth00", false}, {"eth*", "eth", true}, {"*", "", true}, {"", "", true},
		{"?", "", false}, {"e?h0", "eth0", true}, {"*h0", "eth0", true}, {"*t*0", "eth0", true},
		{"*t*1", "eth0", false}, {"pci-*:0?.0", "pci-0000:00:03.0", true}, {"eth[0-3]", "eth2", true},
		{"eth[0-3]", "eth4", false}, {"eth[!0-3]", "eth4", true}, {"eth[^0]", "eth0", false}, {"eth[]]", "eth]", true},
		{"eth[0", "eth[0", true}, {"eth[0", "eth0", false}, {`eth\*`, "eth*", true}, {`eth\*`, "eth0", false},
		{"[a-]", "-", true}, {"a*b*c", "aXbYbZc", true},
		{strings.Repeat("*a", 50), strings.Repeat("a", 5000) + "b", false},
	} {
		if got := fnmatch(tt.glob, tt.s); got != tt.want {
			t.Errorf("fnmatch(%q, %q) = %v, want %v", tt.glob, tt.s, got, tt.want)
		}
	}
}

func TestFits(t *testing.T) {
	eth0 := Device{Name: "eth0", AltNames: []string{"enp0s3"}, KernelName: "eth0", Type: "ether", Driver: "virtio_net",
		Path: "pci-0000:00:03.0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
	lo := Device{Name: "lo", KernelName: "lo", Type: "loopback"}
	bond := Device{Name: "b0", KernelName: "b0", Type: "bond", Kind: "bond"}
	ib0 := Device{Name: "ib0", KernelName: "ib0", Type: "infiniband",
		MAC: net.HardwareAddr{0x80, 0, 2, 8, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0xf4, 0x52, 0x14, 3, 0, 0x7b, 0xcb, 0xa1}}
	const ib = "80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1"
	host := Host{Hostname: "box", Architecture: "x86-64", KernelVersion: "6.12.9-amd64",
		KernelCmdline: []string{"quiet", "a=b"}}
	for _, tt := range []struct {
		match string
		d     Device
		want  bool
	}{
		{"MACAddress=" + ib, ib0, true},
		{"MACAddress=02:00:00:00:00:01 " + strings.ReplaceAll(ib, ":", "-"), ib0, true},
		{"MACAddress=" + ib, eth0, false}, {"MACAddress=80:0:2:8:fe:80:0:0:0:0:0:0:f4:52:14:3:0:7b:cb:a1", ib0, true},
		{"Type=ether", ib0, false}, {"Name=eth0", eth0, true}, {"Name=eth1", eth0, false},
		{"Name=eth1 eth0", eth0, true}, {"Name=eth1\nName=eth0", eth0, true}, {"Name=eth1\nName=\nName=e*", eth0, true},
		{"Name=enp*", eth0, true}, {"Name=!eth0", eth0, false}, {"Name=!eth0", lo, true}, {"Name=!eth0 *", eth0, false},
		{"Name=!eth1", eth0, true}, {"Name=eth0\nType=wlan", eth0, false}, {"Name=eth0\nType=ether", eth0, true},
		{"Type=ether", bond, false}, {"Type=!loopback", bond, true}, {"Kind=bond", bond, true},
		{"Kind=bond", eth0, false}, {"Kind=!bond", eth0, true}, {"Driver=virtio*", eth0, true},
		{"Driver=e1000", eth0, false}, {"Path=pci-*:03.0", eth0, true}, {"Path=pci-*", lo, false},
		{"MACAddress=02:00:00:00:00:01", eth0, true}, {"MACAddress=02-00-00-00-00-02 0200.0000.0001", eth0, true},
		{"MACAddress=02:00:00:00:00:09", eth0, false}, {"PermanentMACAddress=02:00:00:00:00:01", eth0, false},
		{"Name=*\nHost=box", eth0, true}, {"Name=*\nHost=!b*", eth0, false},
		{"Name=*\nArchitecture=arm64", eth0, false}, {"Name=*\nArchitecture=!arm64", eth0, true},
		{"Name=*\nKernelCommandLine=quiet", eth0, true}, {"Name=*\nKernelCommandLine=a", eth0, true},
		{"Name=*\nKernelCommandLine=a=c", eth0, false}, {"Name=*\nKernelCommandLine=!debug", eth0, true},
		{"Name=*\nKernelVersion=>=6.1", eth0, true}, {"Name=*\nKernelVersion=>= 6.1 < 6.2", eth0, false},
		{"Name=*\nKernelVersion=6.12.*", eth0, true}, {"Name=*\nVirtualization=no", eth0, true},
		{"Name=*\nVirtualization=vm", eth0, false}, {"Name=*\nSSID=x", eth0, false},
		{"Name=*\nFirmware=uefi", eth0, false},
	} {
		c, _ := parse(t, "m", Network, "[Match]\n"+tt.match+"\n")
		if len(c.Networks) != 1 {
			t.Errorf("%q was not taken", tt.match)
			continue
		}
		if got := c.Networks[0].Match.Fits(tt.d, host); got != tt.want {
			t.Errorf("%q fits %s = %v, want %v", tt.match, tt.d.Name, got, tt.want)
		}
	}
}
