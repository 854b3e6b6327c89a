package network

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// sysfs makes a tree from lines: "PATH = content", "PATH -> target".
func sysfs(t *testing.T, lines string) string {
	t.Helper()
	root := t.TempDir()
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, target, link := strings.Cut(line, " -> ")
		var content string
		if !link {
			name, content, _ = strings.Cut(line, " = ")
		}
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if link {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestPredictableNames checks the names against those that udev gave on such machines.
func TestPredictableNames(t *testing.T) {
	link := func(device string) string {
		return `
			class/net/eth0 -> ../../devices/` + device + `/net/eth0
			devices/` + device + `/net/eth0/type = 1
			devices/` + device + `/net/eth0/address = 52:54:00:12:34:56
			devices/` + device + `/net/eth0/addr_assign_type = 0
			devices/` + device + `/net/eth0/device -> ../..
		`
	}
	for _, tt := range []struct {
		name, tree string
		want       predictable
	}{
		{"virtio behind PCI, with a hotplug slot", link("pci0000:00/0000:00:03.0/virtio0") + `
			devices/pci0000:00/0000:00:03.0/virtio0/subsystem -> ../../../../bus/virtio
			devices/pci0000:00/0000:00:03.0/subsystem -> ../../../bus/pci
			bus/pci/slots/3/address = 0000:00:03
		`, predictable{slot: "ens3", path: "enp0s3", mac: "enx525400123456"}},
		{"card behind a bridge", link("pci0000:00/0000:00:1c.0/0000:02:00.0") + `
			devices/pci0000:00/0000:00:1c.0/subsystem -> ../../../bus/pci
			devices/pci0000:00/0000:00:1c.0/0000:02:00.0/subsystem -> ../../../../bus/pci
		`, predictable{path: "enp2s0", mac: "enx525400123456"}},
		{"behind a bridge in a slot", link("pci0000:00/0000:00:07.0/0000:01:03.0") + `
			devices/pci0000:00/0000:00:07.0/subsystem -> ../../../bus/pci
			devices/pci0000:00/0000:00:07.0/class = 0x060400
			devices/pci0000:00/0000:00:07.0/0000:01:03.0/subsystem -> ../../../../bus/pci
			bus/pci/slots/7/address = 0000:00:07
			bus/pci/slots/3-1/address = 0000:01:03
		`, predictable{path: "enp1s3", mac: "enx525400123456"}},
		{"several functions behind a bridge in a slot", link("pci0000:00/0000:00:07.0/0000:01:00.0") + `
			devices/pci0000:00/0000:00:07.0/subsystem -> ../../../bus/pci
			devices/pci0000:00/0000:00:07.0/class = 0x060400
			devices/pci0000:00/0000:00:07.0/0000:01:00.0/subsystem -> ../../../../bus/pci
			devices/pci0000:00/0000:00:07.0/0000:01:00.0/config = ids and more..` + "\x80" + `
			bus/pci/slots/7/address = 0000:00:07
		`, predictable{slot: "ens7f0", path: "enp1s0f0", mac: "enx525400123456"}},
		{"onboard, second function, second port", link("pci0000:00/0000:00:1f.6") + `
			devices/pci0000:00/0000:00:1f.6/subsystem -> ../../../bus/pci
			devices/pci0000:00/0000:00:1f.6/acpi_index = 2
			devices/pci0000:00/0000:00:1f.6/net/eth0/dev_port = 1
		`, predictable{onboard: "eno2d1", path: "enp0s31f6d1", mac: "enx525400123456"}},
		{"another domain, a named port", link("pci0001:00/0001:01:00.0") + `
			devices/pci0001:00/0001:01:00.0/subsystem -> ../../../bus/pci
			devices/pci0001:00/0001:01:00.0/net/eth0/phys_port_name = p0
		`, predictable{path: "enP1p1s0np0", mac: "enx525400123456"}},
		{"USB adapter", link("pci0000:00/0000:00:14.0/usb2/2-1/2-1.3/2-1.3:1.0") + `
			devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.3/2-1.3:1.0/subsystem -> ../../../../../../../bus/usb
			devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.3/subsystem -> ../../../../../../bus/usb
			devices/pci0000:00/0000:00:14.0/usb2/2-1/subsystem -> ../../../../../bus/usb
			devices/pci0000:00/0000:00:14.0/usb2/subsystem -> ../../../../bus/usb
			devices/pci0000:00/0000:00:14.0/subsystem -> ../../../bus/pci
		`, predictable{path: "enp0s20u1u3", mac: "enx525400123456"}},
		{"nothing but an address", `
			class/net/eth0/type = 1
			class/net/eth0/address = 52:54:00:12:34:56
			class/net/eth0/addr_assign_type = 0
		`, predictable{mac: "enx525400123456"}},
		{"named by somebody", `
			class/net/eth0/type = 1
			class/net/eth0/address = 52:54:00:12:34:56
			class/net/eth0/addr_assign_type = 0
			class/net/eth0/name_assign_type = 4
		`, predictable{mac: "enx525400123456", user: true}},
		{"made up by the kernel", `
			class/net/eth0/type = 1
			class/net/eth0/address = 52:54:00:12:34:56
			class/net/eth0/addr_assign_type = 3
		`, predictable{}},
		{"not Ethernet", `
			class/net/eth0/type = 772
			class/net/eth0/address = 00:00:00:00:00:00
			class/net/eth0/addr_assign_type = 0
		`, predictable{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := predictableNames(sysfs(t, tt.tree), "eth0")
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(predictable{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewName(t *testing.T) {
	names := predictable{slot: "ens3", path: "enp0s3", mac: "enx525400123456"}
	user, kernel := names, names
	user.user, kernel.kernel = true, true
	for _, tt := range []struct {
		conf  netconf.LinkConfig
		names predictable
		want  string
	}{
		{netconf.LinkConfig{}, names, "eth0"},
		{netconf.LinkConfig{NewName: "lan0"}, names, "lan0"},
		{netconf.LinkConfig{Policies: []string{"onboard", "path"}, NewName: "lan0"}, names, "enp0s3"},
		{netconf.LinkConfig{Policies: []string{"keep", "kernel", "database", "onboard", "slot", "path"}}, names,
			"ens3"},
		{netconf.LinkConfig{Policies: []string{"keep", "slot"}}, user, "eth0"},
		{netconf.LinkConfig{Policies: []string{"kernel", "slot"}}, kernel, "eth0"},
		{netconf.LinkConfig{Policies: []string{"database", "onboard"}, NewName: "lan0"}, names, "lan0"},
	} {
		if got := newName(&tt.conf, "eth0", tt.names); got != tt.want {
			t.Errorf("policies %q, name %q: %s, want %s", tt.conf.Policies, tt.conf.NewName, got, tt.want)
		}
	}
}
