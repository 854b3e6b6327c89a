package network_test

import "strings"

// netDevCases make devices. If a case does not give a bond or bridge its hardware address, wyrnet differs on purpose.
var netDevCases = []oracleCase{
	{name: "bridge", needs: []string{"bridge"}, files: `-- br.netdev --
[NetDev]
Name=br0
Kind=bridge
MACAddress=02:00:00:00:0b:00
[Bridge]
STP=no
ForwardDelaySec=4
HelloTimeSec=3
MaxAgeSec=18
AgeingTimeSec=100
Priority=9
-- ports.network --
[Match]
Name=eth*
[Network]
Bridge=br0
-- up.network --
[Match]
Name=br0
[Network]
Address=10.0.0.5/24
Gateway=10.0.0.1
`},
	{name: "bridge-of-its-ports", needs: []string{"bridge"}, files: `-- br.netdev --
[NetDev]
Name=br0
Kind=bridge
MACAddress=none
-- port.network --
[Match]
Name=eth0
[Network]
Bridge=br0
-- up.network --
[Match]
Name=br0
[Network]
Address=10.0.0.5/24
LinkLocalAddressing=no
`},
	{name: "bridge-ports", needs: []string{"bridge", "vlan"}, files: `-- br.netdev --
[NetDev]
Name=br0
Kind=bridge
MACAddress=none
MTUBytes=1400
[Bridge]
VLANFiltering=yes
DefaultPVID=5
MulticastSnooping=no
GroupForwardMask=8
-- a.network --
[Match]
Name=eth0
[Network]
Bridge=br0
[Bridge]
Cost=77
Priority=9
HairPin=yes
Isolated=yes
Learning=no
UnicastFlood=no
-- b.network --
[Match]
Name=eth1
[Network]
Bridge=br0
[Bridge]
UseBPDU=no
FastLeave=yes
AllowPortToBeRoot=no
MulticastFlood=no
-- up.network --
[Match]
Name=br0
[Network]
LinkLocalAddressing=no
Address=10.0.0.5/24
`},
	{name: "bridge-dhcp", needs: []string{"bridge"}, serve: dhcp(full, two), files: `-- br.netdev --
[NetDev]
Name=br0
Kind=bridge
MACAddress=none
-- a.network --
[Match]
Name=eth0
[Network]
Bridge=br0
-- up.network --
[Match]
Name=br0
[Network]
DHCP=ipv4
LinkLocalAddressing=no
`},
	{name: "handed-over-bridge", handedOver: true, needs: []string{"bridge"}, serve: dhcp(full, two),
		files: `-- br.netdev --
[NetDev]
Name=br0
Kind=bridge
-- a.network --
[Match]
Name=eth0
[Network]
Bridge=br0
-- up.network --
[Match]
Name=br0
[Network]
DHCP=ipv4
LinkLocalAddressing=no
`},
	{name: "handed-over-bond", handedOver: true, needs: []string{"bond"}, files: `-- b.netdev --
[NetDev]
Name=b0
Kind=bond
[Bond]
Mode=active-backup
MIIMonitorSec=100ms
-- a.network --
[Match]
Name=eth0
[Network]
Bond=b0
-- up.network --
[Match]
Name=b0
[Network]
Address=10.0.0.5/24
LinkLocalAddressing=no
`},
	{name: "handed-over-dhcp", handedOver: true, serve: func(w *world) {
		w.peer(0, "10.9.0.1/24")
		w.dnsmasq("--interface=peer0", "--dhcp-range=10.9.0.50,10.9.0.90,255.255.255.0,1h",
			"--dhcp-host=id:01:02:00:00:00:00:01,10.9.0.78", two)
	}, files: eth0("[Network]\nDHCP=ipv4\n")},
	{name: "macvlan", needs: []string{"macvlan"}, files: `-- m.netdev --
[NetDev]
Name=mv0
Kind=macvlan
MACAddress=02:00:00:00:0c:00
[MACVLAN]
Mode=bridge
-- a.network --
[Match]
Name=eth0
[Network]
MACVLAN=mv0
-- up.network --
[Match]
Name=mv0
[Network]
Address=10.0.0.5/24
Gateway=10.0.0.1
`},
	{name: "vxlan", needs: []string{"vxlan"}, files: `-- x.netdev --
[NetDev]
Name=vx0
Kind=vxlan
MACAddress=02:00:00:00:0d:00
[VXLAN]
VNI=77
Remote=10.0.0.9
Local=10.0.0.5
DestinationPort=4789
MacLearning=no
UDPChecksum=yes
-- a.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
VXLAN=vx0
-- up.network --
[Match]
Name=vx0
[Network]
Address=10.77.0.5/24
`},
	{name: "veth", files: `-- v.netdev --
[NetDev]
Name=va
Kind=veth
MACAddress=02:00:00:00:0e:00
[Peer]
Name=vb
MACAddress=02:00:00:00:0e:01
-- a.network --
[Match]
Name=va vb
[Network]
Address=10.50.0.5/24
`},
	{name: "dummy", needs: []string{"dummy"}, files: `-- d.netdev --
[NetDev]
Name=d0
Kind=dummy
MACAddress=02:00:00:00:0f:00
MTUBytes=1280
-- d.network --
[Match]
Name=d0
[Network]
Address=192.0.2.1/32
Address=2001:db8:f::1/128
`},
	{name: "vlan", needs: []string{"vlan"}, files: `-- v.netdev --
[NetDev]
Name=v7
Kind=vlan
MTUBytes=1400
[VLAN]
Id=7
-- lan.network --
[Match]
Name=eth0
[Network]
VLAN=v7
LinkLocalAddressing=no
-- v.network --
[Match]
Name=v7
[Network]
Address=10.7.0.5/24
Gateway=10.7.0.1
`},
	{name: "vlans", needs: []string{"vlan"}, files: `-- v7.netdev --
[NetDev]
Name=v7
Kind=vlan
[VLAN]
Id=7
GVRP=yes
LooseBinding=yes
ReorderHeader=no
EgressQOSMaps=0-1 5-7
IngressQOSMaps=3-4
-- v8.netdev --
[NetDev]
Name=v8
Kind=vlan
MACAddress=02:00:00:00:08:08
[VLAN]
Id=8
Protocol=802.1ad
-- lan.network --
[Match]
Name=eth0
[Network]
VLAN=v7
VLAN=v8
Address=10.0.0.5/24
-- v.network --
[Match]
Name=v*
[Network]
Address=10.7.0.5/24
LinkLocalAddressing=no
`},
	{name: "vlan-dhcp", needs: []string{"vlan"}, serve: func(w *world) {
		w.peer(0)
		w.peer(1)
		w.far("link", "add", "link", "peer0", "name", "peer0.7", "type", "vlan", "id", "7")
		w.far("addr", "add", "10.7.0.1/24", "dev", "peer0.7")
		w.far("link", "set", "peer0.7", "up")
		w.dnsmasq("--interface=peer0.7", "--dhcp-range=10.7.0.50,10.7.0.90,255.255.255.0,1h",
			"--dhcp-host=02:00:00:00:00:01,10.7.0.50", "--dhcp-option=option:dns-server,10.7.0.1")
	}, files: `-- v.netdev --
[NetDev]
Name=v7
Kind=vlan
[VLAN]
Id=7
-- lan.network --
[Match]
Name=eth0
[Network]
VLAN=v7
LinkLocalAddressing=no
-- v.network --
[Match]
Name=v7
[Network]
DHCP=ipv4
`},
	{name: "bond-active-backup", needs: []string{"bond"}, files: `-- b.netdev --
[NetDev]
Name=b0
Kind=bond
MACAddress=02:00:00:00:0a:00
[Bond]
Mode=active-backup
MIIMonitorSec=100ms
UpDelaySec=200ms
DownDelaySec=300ms
PrimaryReselectPolicy=better
FailOverMACPolicy=none
-- a.network --
[Match]
Name=eth0
[Network]
Bond=b0
PrimarySlave=yes
-- b.network --
[Match]
Name=eth1
[Network]
Bond=b0
-- up.network --
[Match]
Name=b0
[Network]
Address=10.0.0.5/24
Gateway=10.0.0.1
`},
	{name: "bond-lacp", needs: []string{"bond"}, files: `-- b.netdev --
[NetDev]
Name=b0
Kind=bond
MACAddress=02:00:00:00:0a:00
[Bond]
Mode=802.3ad
MIIMonitorSec=1s
LACPTransmitRate=fast
TransmitHashPolicy=layer3+4
AdSelect=bandwidth
AdActorSystemPriority=1218
AdUserPortKey=811
AdActorSystem=00:11:22:33:44:55
MinLinks=1
-- a.network --
[Match]
Name=eth*
[Network]
Bond=b0
-- up.network --
[Match]
Name=b0
[Network]
Address=10.0.0.5/24
`},
	{name: "bond-rr", needs: []string{"bond"}, files: `-- b.netdev --
[NetDev]
Name=b0
Kind=bond
MACAddress=02:00:00:00:0a:00
MTUBytes=1400
[Bond]
Mode=balance-rr
PacketsPerSlave=3
ResendIGMP=4
AllSlavesActive=yes
-- a.network --
[Match]
Name=eth*
[Network]
Bond=b0
-- up.network --
[Match]
Name=b0
[Network]
Address=10.0.0.5/24
`},
	{name: "bond-xor", needs: []string{"bond"},
		files: bondOf("balance-xor", "TransmitHashPolicy=layer2+3\nMIIMonitorSec=100ms\n")},
	{name: "bond-broadcast", needs: []string{"bond"}, files: bondOf("broadcast", "MIIMonitorSec=100ms\n")},
	{name: "bond-tlb", needs: []string{"bond"},
		files: bondOf("balance-tlb", "DynamicTransmitLoadBalancing=no\nMIIMonitorSec=100ms\n")},
	{name: "bond-alb", needs: []string{"bond"}, files: bondOf("balance-alb", "MIIMonitorSec=100ms\n")},
	// The member counts as up until nobody has answered, if it has a carrier when it joins. Only then does the kernel give
	// the bond a link-local address, which stays. On a slow host that differs from run to run, so there is none.
	{name: "bond-arp", needs: []string{"bond"},
		files: strings.Replace(bondOf("active-backup",
			"ARPIntervalSec=1\nARPIPTargets=10.0.0.1 10.0.0.2\nARPValidate=all\nARPAllTargets=all\n"),
			"\nAddress=", "\nLinkLocalAddressing=no\nAddress=", 1)},
	{name: "bond-vlan-bridge", needs: []string{"bond", "vlan", "bridge"}, files: `-- b.netdev --
[NetDev]
Name=b0
Kind=bond
MACAddress=02:00:00:00:0a:00
[Bond]
Mode=active-backup
MIIMonitorSec=100ms
-- v.netdev --
[NetDev]
Name=v7
Kind=vlan
[VLAN]
Id=7
-- br.netdev --
[NetDev]
Name=br0
Kind=bridge
MACAddress=none
-- a.network --
[Match]
Name=eth0
[Network]
Bond=b0
-- b.network --
[Match]
Name=b0
[Network]
VLAN=v7
LinkLocalAddressing=no
-- c.network --
[Match]
Name=v7
[Network]
Bridge=br0
-- d.network --
[Match]
Name=br0
[Network]
LinkLocalAddressing=no
Address=10.0.0.5/24
Gateway=10.0.0.1
`},
	{name: "vrf", needs: []string{"vrf"}, files: `-- r.netdev --
[NetDev]
Name=red
Kind=vrf
MACAddress=02:00:00:00:11:00
[VRF]
Table=42
-- red.network --
[Match]
Name=red
-- lan.network --
[Match]
Name=eth0
[Network]
VRF=red
Address=10.0.0.5/24
Gateway=10.0.0.1
`},
	{name: "ipvlan", needs: []string{"ipvlan"}, files: `-- i.netdev --
[NetDev]
Name=iv0
Kind=ipvlan
[IPVLAN]
Mode=L2
-- lan.network --
[Match]
Name=eth0
[Network]
IPVLAN=iv0
-- i.network --
[Match]
Name=iv0
[Network]
Address=10.0.0.5/24
`},
}

// bondOf returns a bond of one link. With several, the kernel's timers decide which becomes active first and, if the
// members' addresses differ, whose address the bond has.
func bondOf(mode, settings string) string {
	return "-- b.netdev --\n[NetDev]\nName=b0\nKind=bond\nMACAddress=02:00:00:00:0a:00\n[Bond]\nMode=" + mode + "\n" +
		settings +
		"-- a.network --\n[Match]\nName=eth0\n[Network]\nBond=b0\n-- up.network --\n[Match]\nName=b0\n[Network]\n" +
		"Address=10.0.0.5/24\nGateway=10.0.0.1\n"
}
