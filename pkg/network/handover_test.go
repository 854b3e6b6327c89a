package network

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

func read(t *testing.T, name string, kind netconf.Kind, text string) netconf.File {
	t.Helper()
	f, _, err := netconf.Read(strings.NewReader(text), name, kind)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestHandOver(t *testing.T) {
	links := []LinkState{{Name: "eth0", AltNames: []string{"ens3", "enp0s3"}},
		{Name: "eth1", AltNames: []string{"enp0s4"}}, {Name: "b"}}
	for _, tt := range []struct {
		name       string
		kind       netconf.Kind
		text, want string
	}{
		{"static", netconf.Network, "[Match]\nName=lan\n\n[Network]\nAddress=10.0.0.5/24\n",
			"[Match]\nName=lan\n\n[Network]\nAddress=10.0.0.5/24\n"},
		{"dhcp", netconf.Network, "[Network]\nDHCP=yes\n", "[Network]\nDHCP=yes\n\n[DHCPv4]\nClientIdentifier=mac\n"},
		{"dhcp with a choice", netconf.Network, "[Network]\nDHCP=yes\n\n[DHCPv4]\nClientIdentifier=duid\n",
			"[Network]\nDHCP=yes\n\n[DHCPv4]\nClientIdentifier=duid\n"},
		{"bond", netconf.NetDev, "[NetDev]\nName=b\nKind=bond\n", "[NetDev]\nName=b\nKind=bond\nMACAddress=none\n"},
		{"bond with an address", netconf.NetDev, "[NetDev]\nName=b\nKind=bond\nMACAddress=02:00:00:00:00:01\n",
			"[NetDev]\nName=b\nKind=bond\nMACAddress=02:00:00:00:00:01\n"},
		{"other names", netconf.Network, "[Match]\nName=eth0 eth2\n", "[Match]\nName=eth0 eth2\nName=ens3 enp0s3\n"},
		{"a glob", netconf.Network, "[Match]\nName=eth*\nName=enp0s3\n",
			"[Match]\nName=eth*\nName=enp0s3\nName=ens3 enp0s4\n"},
		{"all but one", netconf.Network, "[Match]\nName=!eth1\n", "[Match]\nName=!eth1\nName=!enp0s4\n"},
		{"no name", netconf.Network, "[Match]\nType=ether\n", "[Match]\nType=ether\n"},
		{"vlan", netconf.NetDev, "[NetDev]\nName=v\nKind=vlan\n", "[NetDev]\nName=v\nKind=vlan\n"},
	} {
		f := read(t, "f", tt.kind, tt.text)
		all := HandOver([]netconf.File{f}, links)
		got := all[len(all)-1].String()
		if got != tt.want {
			t.Errorf("%s: HandOver gives\n%s\nwant\n%s", tt.name, got, tt.want)
		}
		if f.String() != tt.text {
			t.Errorf("%s: HandOver changed what it was given to\n%s", tt.name, f)
		}
	}
	if got := HandOver(nil, links); len(got) != 1 || got[0].Name != netconf.Autoconf {
		t.Errorf("HandOver of nothing = %v", got)
	}
}

func TestIPArgument(t *testing.T) {
	prefixes := func(s ...string) (out []netip.Prefix) {
		for _, p := range s {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	addrs := func(s ...string) (out []netip.Addr) {
		for _, a := range s {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		states []LinkState
		want   string // or, in brackets, the error
	}{
		{"static", []LinkState{{Name: "lan0", KernelName: "eth0", Usable: true,
			Addresses: prefixes("192.0.2.5/24", "2001:db8::5/64"), Gateways: addrs("192.0.2.1", "fe80::1"),
			DNS: addrs("2001:db8::53", "192.0.2.2", "192.0.2.3", "192.0.2.4")}},
			"ip=192.0.2.5::192.0.2.1:255.255.255.0::eth0:off:192.0.2.2:192.0.2.3"},
		{"no gateway, no names", []LinkState{{KernelName: "eth0", Usable: true, Addresses: prefixes("192.0.2.5/30")}},
			"ip=192.0.2.5:::255.255.255.252::eth0:off::"},
		{"DHCP", []LinkState{{KernelName: "eth1", Usable: true, Leased: true, Addresses: prefixes("192.0.2.5/24"),
			Gateways: addrs("192.0.2.1")}}, "ip=:::::eth1:dhcp"},
		{"the one that leads out", []LinkState{{KernelName: "eth0", Usable: true, Addresses: prefixes("10.0.0.1/8")},
			{KernelName: "eth1", Usable: true, Leased: true, Addresses: prefixes("192.0.2.5/24"),
				Gateways: addrs("192.0.2.1")}}, "ip=:::::eth1:dhcp"},
		{"VLAN", []LinkState{{Name: "v7", Kind: "vlan", Usable: true, Addresses: prefixes("192.0.2.5/24")}},
			"[v7 is a vlan, which the kernel's ip= cannot make]"},
		{"IPv6", []LinkState{{Name: "eth0", Usable: true, Addresses: prefixes("2001:db8::5/64")}},
			"[eth0 has no IPv4 address, and the kernel's ip= knows no other]"},
		{"several", []LinkState{{Name: "eth0", Usable: true, Addresses: prefixes("192.0.2.5/24", "192.0.2.6/24")}},
			"[eth0 has several IPv4 addresses, and the kernel's ip= knows one]"},
		{"none", []LinkState{{Name: "eth0"}}, "[no link can reach out]"},
	} {
		got, err := IPArgument(tt.states)
		if err != nil {
			got = "[" + err.Error() + "]"
		}
		if got != tt.want {
			t.Errorf("%s: IPArgument = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestInstall(t *testing.T) {
	root := t.TempDir()
	f := read(t, "10-lan", netconf.Network, "[Match]\nName=eth0\n\n[Network]\nDHCP=yes\nDNS=1.1.1.1\nDNS=2.2.2.2\n")
	if err := Install(root, []netconf.File{f}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "etc/systemd/network/10-lan.network"))
	if err != nil || string(b) != f.String() {
		t.Errorf("the file is %q, %v", b, err)
	}
	back, warnings := netconf.ReadDirs(os.DirFS(root), netconf.Dirs)
	if len(back) != 1 || back[0].String() != f.String() || len(warnings) > 0 {
		t.Errorf("read back: %v, %v", back, warnings)
	}
	for _, name := range []string{"", "../x", ".hidden", "a/b"} {
		if err := Install(root, []netconf.File{{Name: name, Kind: netconf.Network}}); err == nil {
			t.Errorf("a file called %q was written", name)
		}
	}
}
