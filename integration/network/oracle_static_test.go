package network_test

import "slices"

var oracleCases = slices.Concat(staticCases, serverCases, netDevCases, dhcpCases, sectionCases)

// staticCases need no server at the other end.
var staticCases = []oracleCase{
	{name: "static4", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
Gateway=10.0.0.1
DNS=10.0.0.1 10.0.0.2
Domains=example.net ~example.org
`},
	{name: "static6", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=2001:db8::5/64
Gateway=fe80::1
DNS=2001:db8::53
`},
	{name: "static-dual", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
Address=2001:db8::5/64
Gateway=10.0.0.1
Gateway=2001:db8::1
`},
	{name: "several-addresses", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
Address=10.0.0.6/24
[Address]
Address=10.1.0.7/16
[Address]
Address=2001:db8::7/64
`},
	{name: "addresses-reset", since: 257, files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
Gateway=10.0.0.1
DNS=1.1.1.1
Address=
DNS=
Address=10.0.0.9/24
DNS=9.9.9.9
`},
	{name: "host-addresses", since: 257, files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5
Address=2001:db8::5
`},
	{name: "prefix-31", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.4/31
Gateway=10.0.0.5
`},
	{name: "peer", files: `-- lan.network --
[Match]
Name=eth0
[Address]
Address=10.0.0.5/32
Peer=10.0.0.1/32
`},
	{name: "peer6", files: `-- lan.network --
[Match]
Name=eth0
[Address]
Address=2001:db8::5/128
Peer=2001:db8::1/128
`},
	{name: "broadcast", files: `-- lan.network --
[Match]
Name=eth0
[Address]
Address=10.0.0.5/24
Broadcast=10.0.0.254
[Address]
Address=10.1.0.5/24
Broadcast=no
`},
	{name: "label-scope", files: `-- lan.network --
[Match]
Name=eth0
[Address]
Address=10.0.0.5/24
Label=eth0:1
[Address]
Address=10.1.0.5/24
Scope=link
[Address]
Address=10.2.0.5/24
Scope=host
`},
	{name: "address-metric", files: `-- lan.network --
[Match]
Name=eth0
[Address]
Address=10.0.0.5/24
RouteMetric=128
[Address]
Address=2001:db8::5/64
RouteMetric=129
`},
	{name: "no-prefix-route", files: `-- lan.network --
[Match]
Name=eth0
[Address]
Address=10.0.0.5/24
AddPrefixRoute=no
[Address]
Address=2001:db8::5/64
AddPrefixRoute=no
`},
	{name: "deprecated", files: `-- lan.network --
[Match]
Name=eth0
[Address]
Address=2001:db8::5/64
PreferredLifetime=0
[Address]
Address=10.0.0.5/24
PreferredLifetime=0
`},
	{name: "no-dad", files: `-- lan.network --
[Match]
Name=eth0
[Address]
Address=2001:db8::5/64
DuplicateAddressDetection=none
`},
	{name: "manage-temporary", files: `-- lan.network --
[Match]
Name=eth0
[Address]
Address=2001:db8::5/64
ManageTemporaryAddress=yes
`},
	{name: "gateway-onlink", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/32
[Route]
Gateway=192.168.7.1
GatewayOnLink=yes
[Route]
Gateway=2001:db8:9::1
GatewayOnLink=yes
`},
	{name: "gateway-out-of-reach", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
Gateway=192.168.7.1
`},
	{name: "two-gateways", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
Gateway=10.0.0.1
Gateway=10.0.0.2
`},
	{name: "gateways-by-metric", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
[Route]
Gateway=10.0.0.1
Metric=10
[Route]
Gateway=10.0.0.2
Metric=20
`},
	{name: "routes", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
[Route]
Destination=10.8.0.0/16
Gateway=10.0.0.1
[Route]
Destination=10.9.1.1/16
Metric=7
[Route]
Destination=10.7.0.0/16
Gateway=10.0.0.2
Table=100
[Route]
Destination=0.0.0.0/0
Gateway=10.0.0.3
`},
	{name: "routes-that-end", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
[Route]
Destination=10.1.0.0/16
Type=blackhole
[Route]
Destination=10.2.0.0/16
Type=unreachable
[Route]
Destination=10.3.0.0/16
Type=prohibit
[Route]
Destination=10.4.0.0/16
Type=throw
[Route]
Destination=2001:db8:2::/48
Type=unreachable
`},
	{name: "route-metrics", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
[Route]
Gateway=10.0.0.1
MTUBytes=1400
InitialCongestionWindow=20
InitialAdvertisedReceiveWindow=30
QuickAck=yes
[Route]
Destination=10.8.0.0/16
Gateway=10.0.0.1
TCPAdvertisedMaximumSegmentSize=1200
FastOpenNoCookie=yes
`},
	{name: "routes6", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=2001:db8::5/64
[Route]
Destination=2001:db8:8::/48
Gateway=2001:db8::1
[Route]
Destination=2001:db8:9::/48
Gateway=fe80::9
Metric=55
IPv6Preference=high
[Route]
Destination=2001:db8:a::/48
`},
	{name: "preferred-source", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
Address=10.0.0.6/24
[Route]
Destination=10.8.0.0/16
Gateway=10.0.0.1
PreferredSource=10.0.0.6
`},
	{name: "source-route6", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=2001:db8::5/64
[Route]
Destination=2001:db8:8::/48
Source=2001:db8::/64
Gateway=2001:db8::1
`},
	{name: "route-scopes", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
[Route]
Destination=10.8.0.0/16
Scope=link
[Route]
Destination=10.9.0.0/16
Scope=host
[Route]
Destination=10.10.0.0/16
Protocol=boot
`},
	{name: "ipv4-via-ipv6", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/32
[Route]
Destination=0.0.0.0/0
Gateway=fe80::1
`},
	{name: "default-route-on-device", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
DefaultRouteOnDevice=yes
`},
	{name: "rules", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
[RoutingPolicyRule]
From=10.0.0.5
Table=100
Priority=50
[RoutingPolicyRule]
To=10.8.0.0/16
Table=101
Priority=51
IncomingInterface=eth1
[RoutingPolicyRule]
FirewallMark=7/255
Table=102
Priority=52
Family=both
[RoutingPolicyRule]
To=2001:db8:8::/48
Table=103
Priority=53
InvertRule=yes
[RoutingPolicyRule]
Priority=54
SuppressPrefixLength=0
Table=main
`},
	{name: "rules-by-port", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
[RoutingPolicyRule]
IPProtocol=tcp
SourcePort=1000-2000
DestinationPort=443
Table=100
Priority=60
[RoutingPolicyRule]
From=10.7.0.0/16
Priority=61
Type=blackhole
[RoutingPolicyRule]
TypeOfService=8
Table=7
Priority=62
`},
	{name: "neighbours", files: `-- lan.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
Gateway=10.0.0.9
[Neighbor]
Address=10.0.0.9
LinkLayerAddress=02:00:00:00:00:99
`},
	{name: "link-settings", files: `-- lan.network --
[Match]
Name=eth0
[Link]
MTUBytes=1400
MACAddress=02:00:00:00:00:77
[Network]
Address=10.0.0.5/24
`},
	{name: "mtu-suffix", files: `-- lan.network --
[Match]
Name=eth0
[Link]
MTUBytes=4K
[Network]
Address=10.0.0.5/24
`},
	{name: "link-flags", files: `-- lan.network --
[Match]
Name=eth0
[Link]
ARP=no
AllMulticast=yes
Promiscuous=yes
Group=7
[Network]
Address=10.0.0.5/24
-- lan2.network --
[Match]
Name=eth1
[Link]
Multicast=no
[Network]
Address=10.1.0.5/24
LinkLocalAddressing=no
`},
	{name: "unmanaged", files: `-- lan.network --
[Match]
Name=eth0
[Link]
Unmanaged=yes
[Network]
Address=10.0.0.5/24
-- other.network --
[Match]
Name=eth*
[Network]
Address=10.1.0.5/24
`},
	{name: "activation", files: `-- a.network --
[Match]
Name=eth0
[Link]
ActivationPolicy=manual
[Network]
Address=10.0.0.5/24
-- b.network --
[Match]
Name=eth1
[Link]
ActivationPolicy=always-down
[Network]
Address=10.1.0.5/24
`},
	{name: "no-carrier", serve: func(w *world) { w.peer(1) }, files: `-- a.network --
[Match]
Name=eth0 eth1
[Network]
Address=10.0.0.5/24
Gateway=10.0.0.1
Address=2001:db8::5/64
`},
	{name: "without-carrier", serve: func(w *world) { w.peer(1) }, files: `-- a.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
Gateway=10.0.0.1
ConfigureWithoutCarrier=yes
`},
	{name: "carrier-comes", serve: func(w *world) {}, then: func(w *world) { w.peer(0) }, files: `-- a.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
Gateway=10.0.0.1
`},
	{name: "carrier-goes", then: func(w *world) { w.far("link", "set", "peer0", "down") }, files: `-- a.network --
[Match]
Name=eth0
[Network]
Address=10.0.0.5/24
Gateway=10.0.0.1
`},
	{name: "first-match-wins", files: `-- 20-b.network --
[Match]
Name=eth*
[Network]
Address=10.2.0.5/24
-- 30-a.network --
[Match]
Name=eth0
[Network]
Address=10.3.0.5/24
-- 100-c.network --
[Match]
Name=eth1
[Network]
Address=10.1.0.5/24
`},
	{name: "match-negated", files: `-- a.network --
[Match]
Name=!eth0 lo
[Network]
Address=10.1.0.5/24
-- b.network --
[Match]
Name=*
[Network]
Address=10.2.0.5/24
`},
	{name: "match-address", files: `-- a.network --
[Match]
MACAddress=02-00-00-00-00-09 0200.0000.0002
[Network]
Address=10.1.0.5/24
-- b.network --
[Match]
PermanentMACAddress=02:00:00:00:00:01
[Network]
Address=10.2.0.5/24
`},
	{name: "match-kind", files: `-- a.network --
[Match]
Kind=bridge
[Network]
Address=10.1.0.5/24
-- b.network --
[Match]
Kind=veth
Name=eth[1-3]
[Network]
Address=10.2.0.5/24
-- c.network --
[Match]
Name=eth?
Driver=nothing
[Network]
Address=10.3.0.5/24
`},
	{name: "no-match", files: `-- a.network --
[Network]
Address=10.1.0.5/24
-- b.network --
[Match]
[Network]
Address=10.2.0.5/24
-- c.network --
-- d.network --
[Match]
Name=eth0
Name=
[Network]
Address=10.3.0.5/24
`},
	{name: "match-host", files: `-- a.network --
[Match]
Name=eth0
Architecture=!sparc64
KernelVersion=>=3.0
KernelCommandLine=!no-such-argument
Host=!no-such-host
[Network]
Address=10.1.0.5/24
-- b.network --
[Match]
Name=eth1
KernelVersion=<3.0
[Network]
Address=10.2.0.5/24
`},
	{name: "drop-ins", files: `-- a.network --
[Match]
Name=eth0
[Network]
Address=10.1.0.5/24
-- a.network.d/20.conf --
[Network]
Address=10.1.0.7/24
-- a.network.d/10.conf --
[Network]
Address=10.1.0.6/24
[Route]
Destination=10.8.0.0/16
Gateway=10.1.0.1
`},
	{name: "syntax", files: `-- a.network --
# comment
; comment
  [Match]
Name = eth0 \
  eth9
[Network]
Address=10.1.0.5/24   
# Address=10.1.0.6/24
DNS=10.1.0.1 \
# a comment in between
 10.1.0.2
Domains=a.example b.example
[X-Private]
Anything=goes
`},
	{name: "mistakes", files: `-- a.network --
Stray=1
[Match]
Name=eth0
[Network]
Bogus=1
Address=10.1.0.300/24
Address=10.1.0.5/24
Gateway=nowhere
DHCP=perhaps
no equals sign
[Bogus]
Address=10.1.0.6/24
[Address]
Address=bad
Label=x
[Address]
Address=10.1.0.8/24
[Route]
Metric=5
[Route]
Gateway=10.1.0.1
Metric=many
[Link]
MTUBytes=-1
`},
	{name: "sections-repeat", files: `-- a.network --
[Match]
Name=eth0
[Network]
Address=10.1.0.5/24
[Link]
MTUBytes=1400
[Network]
Address=10.1.0.6/24
[Link]
MTUBytes=1300
`},
	{name: "no-link-local", files: `-- a.network --
[Match]
Name=eth0
[Network]
Address=10.1.0.5/24
LinkLocalAddressing=no
-- b.network --
[Match]
Name=eth1
[Network]
Address=2001:db8::5/64
IPv6LinkLocalAddressGenerationMode=none
`},
	{name: "link-local4", slow: true, files: `-- a.network --
[Match]
Name=eth0
[Network]
LinkLocalAddressing=ipv4
-- b.network --
[Match]
Name=eth1
[Network]
LinkLocalAddressing=yes
`},
	{name: "names-of-two-links", files: `-- a.network --
[Match]
Name=eth0
[Network]
Address=10.1.0.5/24
DNS=10.1.0.1 [2001:db8::1]:53
Domains=one.example
-- b.network --
[Match]
Name=eth1
[Network]
Address=10.2.0.5/24
DNS=10.2.0.1
Domains=two.example
`},
}
