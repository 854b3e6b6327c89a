package network

import (
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// ethernet is a device on which DHCP and router discovery are defined.
func ethernet(d netconf.Device) device { return device{Device: d, broadcasts: true} }

func TestPlan(t *testing.T) {
	found := func() []foundLink {
		return []foundLink{
			{ethernet(netconf.Device{
				Name: "eth0", KernelName: "eth0", Driver: "e1000e", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1},
				Path: "pci-0000:00:05.0", Type: "ether",
			}), predictable{slot: "ens5", path: "enp0s5", mac: "enx020000000001"}},
			{ethernet(netconf.Device{Name: "eth1", KernelName: "eth1", Driver: "igb", Type: "ether"}),
				predictable{path: "enp0s6"}},
			{ethernet(netconf.Device{Name: "old", KernelName: "old", Kind: "dummy", Type: "ether"}), predictable{}},
		}
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string // a backslash joins two lines
	}{
		{"nothing", nil, `
eth0 (e1000e, 02:00:00:00:00:01, pci-0000:00:05.0), also ens5 enp0s5 enx020000000001
  autoconf.network: DHCPv4, DHCPv6, router advertisements
eth1 (igb), also enp0s6
  autoconf.network: DHCPv4, DHCPv6, router advertisements
old (dummy)
  autoconf.network: DHCPv4, DHCPv6, router advertisements
`},
		{"names and settings", map[string]string{
			"a.link": "[Match]\nDriver=e1000e\n[Link]\nNamePolicy=onboard\nName=lan0\nAlternativeName=uplink\n" +
				"AlternativeNamesPolicy=slot\nMTUBytes=9000\nMACAddress=02:00:00:00:00:09\nAlias=the one\n" +
				"TransmitQueueLength=9\n",
			"b.link": "[Match]\nDriver=igb\n",
			"d.link": "[Match]\nKind=dummy\n[Link]\nBitsPerSecond=10G\nDuplex=full\nAutoNegotiation=no\n" +
				"WakeOnLan=magic phy\nTCPSegmentationOffload=no\nRxBufferSize=max\nTxBufferSize=64\n" +
				"RxFlowControl=yes\n",
			"c.link": "[Match]\nDriver=tg3\n[Link]\nName=x\n",
			"1.network": "[Match]\nName=uplink\nMACAddress=02:00:00:00:00:09\n[Network]\nAddress=192.0.2.2/24\n" +
				"Gateway=192.0.2.1\nDNS=192.0.2.3\nDomains=a.example\nNTP=192.0.2.4\nLinkLocalAddressing=no\n" +
				"[Route]\nDestination=198.51.100.0/24\nGateway=192.0.2.9\n[Link]\nRequiredForOnline=no\n" +
				"MTUBytes=1400\n",
			"2.network": "[Match]\nName=enp0s6\n[Link]\nUnmanaged=yes\n",
			"3.network": "[Match]\nName=eth0\n[Network]\nDHCP=yes\n",
		}, `
eth0 (e1000e, 02:00:00:00:00:01, pci-0000:00:05.0), also ens5 enp0s5 enx020000000001 uplink
  a.link: name lan0, further name uplink, further name ens5, \
hardware address 02:00:00:00:00:09, MTU 9000, alias "the one", a queue of 9 packets
  1.network: MTU 1400, address 192.0.2.2/24, route default via 192.0.2.1, \
route 198.51.100.0/24 via 192.0.2.9, DNS 192.0.2.3, domains a.example, NTP 192.0.2.4, not waited for
eth1 (igb), also enp0s6
  b.link: no change
  2.network: left alone
old (dummy)
  d.link: speed not negotiated, 10000 Mbit/s, full duplex, wakes up on phy magic, \
tx-tcp-segmentation off, the largest ring for receive, a ring of 64 for transmit, pause frames heeded
  no .network file fits it, it is left alone
c.link: no link follows it
3.network: no link follows it
`},
		{"an MTU too small for IPv6", map[string]string{
			"1.network": "[Match]\nName=eth0\n[Link]\nMTUBytes=1000\n",
			"2.network": "[Match]\nName=eth1\n[Network]\nLinkLocalAddressing=no\n[Link]\nMTUBytes=1000\n",
			"3.network": "[Match]\nKind=dummy\n[Link]\nUnmanaged=yes\n",
		}, `
eth0 (e1000e, 02:00:00:00:00:01, pci-0000:00:05.0), also ens5 enp0s5 enx020000000001
  1.network: MTU 1280, router advertisements
eth1 (igb), also enp0s6
  2.network: MTU 1000
old (dummy)
  3.network: left alone
`},
		{"what Up does not do", map[string]string{
			"1.network": "[Match]\nName=eth0\n[Network]\nDHCP=yes\nLinkLocalAddressing=no\nIPv6AcceptRA=yes\n",
			"2.network": "[Match]\nName=eth1\n[Network]\nDHCP=ipv6\nIPv6AcceptRA=no\nVLAN=v7\n",
			"3.network": "[Match]\nName=old\n[Network]\nDHCP=yes\nVLAN=v7\n[IPv6AcceptRA]\nDHCPv6Client=no\n",
			"4.network": "[Match]\nName=v7\n[Network]\nIPv6AcceptRA=no\nAddress=192.0.2.2/24\nAddress=192.0.2.2/24\n" +
				"Gateway=_dhcp4\n[Route]\nDestination=0.0.0.0/0\nGateway=192.0.2.1\n[DHCPv6]\nWithoutRA=solicit\n",
			"7.netdev": "[NetDev]\nName=v7\nKind=vlan\n[VLAN]\nId=7\n",
		}, `
eth0 (e1000e, 02:00:00:00:00:01, pci-0000:00:05.0), also ens5 enp0s5 enx020000000001
  1.network: DHCPv4
eth1 (igb), also enp0s6
  2.network: under v7
old (dummy)
  3.network: under v7, DHCPv4, router advertisements
v7 (vlan), made by 7.netdev on eth1
  4.network: address 192.0.2.2/24, route default via 192.0.2.1, route default via dhcp4, DHCPv6
`},
		{"devices", map[string]string{
			"m.network":  "[Match]\nType=ether\nName=eth*\n[Network]\nBond=up\n",
			"up.network": "[Match]\nName=up\n[Network]\nVLAN=v7\nVLAN=v8\nLinkLocalAddressing=no\n",
			"v7.network": "[Match]\nKind=vlan\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n",
			"1.netdev":   "[NetDev]\nName=v7\nKind=vlan\n[VLAN]\nId=7\n",
			"2.netdev":   "[NetDev]\nName=up\nKind=bond\n",
			"3.netdev":   "[NetDev]\nName=old\nKind=dummy\n",
			"4.netdev":   "[NetDev]\nName=v9\nKind=vlan\n[VLAN]\nId=9\n",
			"5.netdev":   "[Match]\nArchitecture=vax\n[NetDev]\nName=d\nKind=dummy\n",
		}, `
eth0 (e1000e, 02:00:00:00:00:01, pci-0000:00:05.0), also ens5 enp0s5 enx020000000001
  m.network: in bond up
eth1 (igb), also enp0s6
  m.network: in bond up
old (dummy)
  no .network file fits it, it is left alone
up (bond), made by 2.netdev
  up.network: under v7 v8
v7 (vlan), made by 1.netdev on up
  v7.network: DHCPv4
v8: up.network names it, but there is no such device, nor a .netdev file that makes it
3.netdev: nothing is made of it: old is there already
4.netdev: nothing is made of it: no .network file of a link names v9
5.netdev: nothing is made of it: it is not for this machine
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var files []netconf.File
			for name, text := range tt.files {
				base, kind, _ := strings.Cut(name, ".")
				files = append(files, read(t, base, netconf.Kind(kind), text))
			}
			conf, warnings := netconf.Parse(netconf.OrDefault(files))
			if len(warnings) > 0 {
				t.Fatal(warnings)
			}
			p := newPlan(conf, netconf.Host{Architecture: "x86-64"})
			p.ipv6 = true
			p.add(found())
			var got strings.Builder
			p.write(&got)
			if diff := cmp.Diff(strings.ReplaceAll(strings.TrimPrefix(tt.want, "\n"), "\\\n", ""),
				got.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestPlanWithoutEthernet checks that no DHCP is promised on a link that is neither Ethernet nor InfiniBand, and no
// IPv6 if the kernel has none.
func TestPlanWithoutEthernet(t *testing.T) {
	conf, _ := netconf.Parse([]netconf.File{read(t, "a", netconf.Network, "[Match]\nName=*\n[Network]\nDHCP=yes\n")})
	for _, tt := range []struct {
		ipv6, broadcasts bool
		want             string
	}{
		{true, true, "a.network: DHCPv4, DHCPv6, router advertisements"},
		{false, true, "a.network: DHCPv4"},
		{true, false, "a.network: brought up, no more"},
	} {
		p := newPlan(conf, netconf.Host{})
		p.ipv6 = tt.ipv6
		p.add([]foundLink{{device: device{Device: netconf.Device{Name: "sit0"}, broadcasts: tt.broadcasts}}})
		if got := p.links[0].lines; len(got) != 1 || got[0] != tt.want {
			t.Errorf("with IPv6 %v on Ethernet %v: %q, want %q", tt.ipv6, tt.broadcasts, got, tt.want)
		}
	}
}

// TestPlanOfKernel checks that the links of the kernel are planned for, and that nothing is changed.
func TestPlanOfKernel(t *testing.T) {
	k := newKernel(2)
	m := &Manager{kernel: k, Files: []netconf.File{
		read(t, "a", netconf.Network,
			"[Match]\nName=eth1\n[Network]\nAddress=192.0.2.2/24\nColour=red\nIPv6AcceptRA=no\n"),
	}}
	var got strings.Builder
	if err := m.Plan(&got); err != nil {
		t.Fatal(err)
	}
	const want = `a.network: [Network] Colour=red: unknown key, ignored
eth0 (02:00:00:00:00:01)
  no .network file fits it, it is left alone
eth1 (02:00:00:00:00:02)
  a.network: address 192.0.2.2/24
`
	if diff := cmp.Diff(want, got.String()); diff != "" || len(k.log) > 0 {
		t.Errorf("(-want +got):\n%s\nit does %q", diff, k.log)
	}
	k.lookErr = errNoBuffers
	if err := m.Plan(&got); err == nil || err.Error() != "cannot list the network links: no buffers" {
		t.Errorf("%v", err)
	}
}
