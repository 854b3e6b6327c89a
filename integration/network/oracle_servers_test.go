package network_test

// dhcp starts a DHCPv4 server on the first link: 10.9.0.1, which always gives the machine 10.9.0.50.
func dhcp(options ...string) func(*world) {
	return func(w *world) {
		w.peer(0, "10.9.0.1/24")
		w.peer(1)
		w.dnsmasq(append([]string{"--interface=peer0", "--dhcp-range=10.9.0.50,10.9.0.90,255.255.255.0,1h",
			"--dhcp-host=02:00:00:00:00:01,10.9.0.50"}, options...)...)
	}
}

// advertise starts a router on the first link, with this text between the braces of radvd.conf.
func advertise(conf string) func(*world) {
	return func(w *world) {
		w.peer(0, "2001:db8:1::1/64")
		w.peer(1)
		w.radvd("interface peer0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; " + conf + " };")
	}
}

// dhcp6 starts a router that sends the machine to a DHCPv6 server; mode is dnsmasq's word for how.
func dhcp6(mode string, options ...string) func(*world) {
	return func(w *world) {
		w.peer(0, "2001:db8:1::1/64")
		w.peer(1)
		w.dnsmasq(append([]string{"--interface=peer0", "--enable-ra", "--ra-param=peer0,4,1800",
			"--dhcp-range=2001:db8:1::100,2001:db8:1::1ff," + mode + "64,1h",
			"--dhcp-host=02:00:00:00:00:01,[2001:db8:1::150]", "--dhcp-option=option6:dns-server,[2001:db8:1::53]",
			"--dhcp-option=option6:domain-search,six.example"}, options...)...)
	}
}

func eth0(text string) string { return "-- lan.network --\n[Match]\nName=eth0\n" + text }

const (
	prefix = "prefix 2001:db8:1::/64 {};"
	full   = "--dhcp-option=option:router,10.9.0.1"
	two    = "--dhcp-option=option:dns-server,10.9.0.3,10.9.0.4"
	ntp    = "--dhcp-option=option:ntp-server,10.9.0.5"
	routes = "--dhcp-option=option:classless-static-route,0.0.0.0/0,10.9.0.9,10.8.0.0/16,10.9.0.8"
)

// serverCases have DHCP servers and routers at the other end.
var serverCases = []oracleCase{
	{name: "dhcp4", serve: dhcp(full, two, ntp, "--dhcp-option=option:mtu,1400",
		"--dhcp-option=option:domain-name,lease.example"), files: eth0("[Network]\nDHCP=yes\n")},
	{name: "dhcp4-only", serve: dhcp(full, two), files: eth0("[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n")},
	{name: "dhcp4-no-router", serve: dhcp("--dhcp-option=option:router", two), files: eth0("[Network]\nDHCP=ipv4\n")},
	{name: "dhcp4-classless", serve: dhcp(full, two, ntp, routes), files: eth0("[Network]\nDHCP=ipv4\n")},
	{name: "dhcp4-classless-on-link",
		serve: dhcp("--dhcp-option=option:classless-static-route,10.7.0.0/16,0.0.0.0,0.0.0.0/0,10.7.0.1"),
		files: eth0("[Network]\nDHCP=ipv4\n")},
	{name: "dhcp4-host-mask", serve: dhcp("--dhcp-option=option:netmask,255.255.255.255",
		"--dhcp-option=option:classless-static-route,10.9.0.1/32,0.0.0.0,0.0.0.0/0,10.9.0.1",
		two), files: eth0("[Network]\nDHCP=ipv4\n")},
	{name: "dhcp4-far-router", serve: dhcp("--dhcp-option=option:router,10.77.0.1", two),
		files: eth0("[Network]\nDHCP=ipv4\n")},
	{name: "dhcp4-far-names", serve: dhcp(full, "--dhcp-option=option:dns-server,8.8.8.8,10.9.0.3"),
		files: eth0("[Network]\nDHCP=ipv4\n")},
	{name: "dhcp4-far-names-classless", since: 257,
		serve: dhcp(routes, "--dhcp-option=option:dns-server,10.8.3.3,9.9.9.9"), files: eth0("[Network]\nDHCP=ipv4\n")},
	{name: "dhcp4-no-routes", serve: dhcp(full, two, ntp),
		files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nUseRoutes=no\n")},
	{name: "dhcp4-no-classless", serve: dhcp(full, two, routes),
		files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nUseRoutes=no\nUseGateway=yes\n")},
	{name: "dhcp4-no-gateway", serve: dhcp(full, two), files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nUseGateway=no\n")},
	{name: "dhcp4-classless-no-gateway", serve: dhcp(full, two, routes),
		files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nUseGateway=no\n")},
	{name: "dhcp4-metric", serve: dhcp(full, two, ntp),
		files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nRouteMetric=55\n")},
	{name: "dhcp4-table", serve: dhcp(full, two), files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nRouteTable=77\n")},
	{name: "dhcp4-no-routes-to-names", serve: dhcp(full, two, ntp),
		files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nRoutesToDNS=no\nRoutesToNTP=no\n")},
	{name: "dhcp4-no-names", serve: dhcp(full, two, ntp),
		files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nUseDNS=no\nUseNTP=no\n")},
	{name: "dhcp4-domains", serve: dhcp(full, two, "--dhcp-option=option:domain-name,lease.example",
		"--dhcp-option=option:domain-search,a.example,b.example"), files: eth0("[Network]\nDHCP=ipv4\n" +
		"Domains=own.example\n[DHCPv4]\nUseDomains=yes\n")},
	{name: "dhcp4-mtu", serve: dhcp(full, two, "--dhcp-option=option:mtu,1400"),
		files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nUseMTU=yes\n")},
	{name: "dhcp4-route-mtu", serve: dhcp(full, two),
		files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nRouteMTUBytes=1300\n")},
	{name: "dhcp4-route-settings", since: 257, serve: dhcp(full, two),
		files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nQuickAck=yes\nInitialCongestionWindow=20\n" +
			"InitialAdvertisedReceiveWindow=30\n")},
	{name: "dhcp4-label", serve: dhcp(full, two), files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nLabel=eth0:dhcp\n")},
	{name: "dhcp4-and-static", serve: dhcp(full, two),
		files: eth0("[Network]\nDHCP=ipv4\nAddress=10.20.0.5/24\nGateway=10.20.0.1\nDNS=10.20.0.1\n")},
	{name: "dhcp4-gateway-for-route", serve: dhcp(full, two),
		files: eth0("[Network]\nDHCP=ipv4\n[Route]\nDestination=10.30.0.0/16\nGateway=_dhcp4\n[Route]\n" +
			"Destination=10.31.0.0/16\nGateway=_dhcp4\nMetric=9\n")},
	{name: "dhcp4-by-vendor-class",
		serve: dhcp(two, "--dhcp-vendorclass=set:ven,ours", "--dhcp-option=tag:ven,option:router,10.9.0.7"),
		files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nVendorClassIdentifier=ours\n")},
	// Debian's 257.13 sends the bytes of a pointer instead: dhcp_option_append takes the number of classes for a
	// length.
	{name: "dhcp4-by-user-class", until: 256,
		serve: dhcp(two, "--dhcp-userclass=set:usr,users", "--dhcp-option=tag:usr,option:router,10.9.0.7"),
		files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nUserClass=users more\n")},
	{name: "dhcp4-by-host-name", serve: func(w *world) {
		w.peer(0, "10.9.0.1/24")
		w.dnsmasq("--interface=peer0", "--dhcp-range=10.9.0.50,10.9.0.90,255.255.255.0,1h",
			"--dhcp-host=rack7,10.9.0.77", two)
	}, files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nHostname=rack7\n")},
	{name: "dhcp4-by-client-id", serve: func(w *world) {
		w.peer(0, "10.9.0.1/24")
		w.dnsmasq("--interface=peer0", "--dhcp-range=10.9.0.50,10.9.0.90,255.255.255.0,1h",
			"--dhcp-host=id:01:02:00:00:00:00:01,10.9.0.78", two)
	}, files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nClientIdentifier=mac\n")},
	{name: "dhcp4-by-duid", serve: func(w *world) {
		w.peer(0, "10.9.0.1/24")
		w.dnsmasq("--interface=peer0", "--dhcp-range=10.9.0.50,10.9.0.90,255.255.255.0,1h",
			"--dhcp-host=id:ff:00:00:00:07:00:02:00:00:ab:11:f9:2a:c2:77:29:f9:5c:00,10.9.0.79", two)
	}, files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\nClientIdentifier=duid\nDUIDType=vendor\n" +
		"DUIDRawData=00:00:ab:11:f9:2a:c2:77:29:f9:5c:00\nIAID=7\n")},
	{name: "dhcp4-sent-option", serve: dhcp(two, "--dhcp-match=set:sent,option:client-arch,7",
		"--dhcp-option=tag:sent,option:router,10.9.0.7"), files: eth0("[Network]\nDHCP=ipv4\n[DHCPv4]\n" +
		"SendOption=93:uint16:7\n")},
	{name: "dhcp4-denied", serve: dhcp(full, two),
		files: eth0("[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n[DHCPv4]\nDenyList=10.9.0.0/24\n")},
	{name: "dhcp4-on-two-links", serve: func(w *world) {
		w.peer(0, "10.9.0.1/24")
		w.peer(1, "10.10.0.1/24")
		w.dnsmasq("--interface=peer0", "--dhcp-range=10.9.0.50,10.9.0.90,255.255.255.0,1h",
			"--dhcp-host=02:00:00:00:00:01,10.9.0.50", "--dhcp-option=option:dns-server,10.9.0.1")
		w.dnsmasq("--interface=peer1", "--dhcp-range=10.10.0.50,10.10.0.90,255.255.255.0,1h",
			"--dhcp-host=02:00:00:00:00:02,10.10.0.50", "--dhcp-option=option:dns-server,10.10.0.1")
	}, files: "-- a.network --\n[Match]\nName=eth*\n[Network]\nDHCP=ipv4\n"},

	{name: "ra", serve: advertise(prefix + " RDNSS 2001:db8:1::53 2001:db8:1::54 {}; DNSSL ra.example {};"),
		files: eth0("[Network]\nIPv6AcceptRA=yes\n")},
	{name: "ra-by-default", serve: advertise(prefix), files: eth0("[Network]\nDHCP=ipv4\nLinkLocalAddressing=ipv6\n")},
	{name: "ra-refused", serve: advertise(prefix), files: eth0("[Network]\nIPv6AcceptRA=no\nAddress=10.0.0.5/24\n")},
	{name: "ra-domains", serve: advertise(prefix + " RDNSS 2001:db8:1::53 {}; DNSSL ra.example rb.example {};"),
		files: eth0("[IPv6AcceptRA]\nUseDomains=yes\n")},
	{name: "ra-no-names", serve: advertise(prefix + " RDNSS 2001:db8:1::53 {};"),
		files: eth0("[IPv6AcceptRA]\nUseDNS=no\n")},
	{name: "ra-two-prefixes", serve: advertise(prefix +
		" prefix 2001:db8:2::/64 { AdvOnLink off; }; prefix 2001:db8:3::/64 { AdvAutonomous off; " +
		"};"), files: eth0("[Network]\nIPv6AcceptRA=yes\n")},
	{name: "ra-long-prefix", serve: advertise("prefix 2001:db8:1::/80 {};"),
		files: eth0("[Network]\nIPv6AcceptRA=yes\n")},
	{name: "ra-prefix-without-end",
		serve: advertise("prefix 2001:db8:1::/64 { AdvValidLifetime infinity; AdvPreferredLifetime infinity; };"),
		files: eth0("[Network]\nIPv6AcceptRA=yes\n")},
	{name: "ra-deprecated-prefix", serve: advertise("prefix 2001:db8:1::/64 { AdvPreferredLifetime 0; };"),
		files: eth0("[Network]\nIPv6AcceptRA=yes\n")},
	{name: "ra-token", serve: advertise(prefix), files: eth0("[IPv6AcceptRA]\nToken=::1234\n")},
	{name: "ra-two-tokens", serve: advertise(prefix), files: eth0("[IPv6AcceptRA]\nToken=::1234\nToken=eui64\n")},
	{name: "ra-old-token", serve: advertise(prefix), files: eth0("[Network]\nIPv6Token=static:::77\n")},
	{name: "ra-no-default", serve: advertise("AdvDefaultLifetime 0; " + prefix),
		files: eth0("[Network]\nIPv6AcceptRA=yes\n")},
	{name: "ra-no-gateway", serve: advertise(prefix), files: eth0("[IPv6AcceptRA]\nUseGateway=no\n")},
	{name: "ra-no-autonomous", serve: advertise(prefix), files: eth0("[IPv6AcceptRA]\nUseAutonomousPrefix=no\n")},
	{name: "ra-no-on-link", serve: advertise(prefix), files: eth0("[IPv6AcceptRA]\nUseOnLinkPrefix=no\n")},
	{name: "ra-metric", serve: advertise(prefix), files: eth0("[IPv6AcceptRA]\nRouteMetric=99\n")},
	{name: "ra-table", serve: advertise(prefix), files: eth0("[IPv6AcceptRA]\nRouteTable=88\n")},
	{name: "ra-denied-prefix", serve: advertise(prefix + " prefix 2001:db8:2::/64 {};"),
		files: eth0("[IPv6AcceptRA]\nPrefixDenyList=2001:db8:2::/64\n")},
	{name: "ra-allowed-router", serve: advertise(prefix), files: eth0("[IPv6AcceptRA]\nRouterAllowList=fe80::dead\n")},
	{name: "ra-gateway-for-route", serve: advertise(prefix),
		files: eth0("[Route]\nDestination=2001:db8:99::/48\nGateway=_ipv6ra\n")},
	{name: "ra-and-static", serve: advertise(prefix + " RDNSS 2001:db8:1::53 {};"),
		files: eth0("[Network]\nAddress=2001:db8:7::5/64\nAddress=10.0.0.5/24\nDNS=10.0.0.1\n")},

	{name: "dhcp6-managed", serve: dhcp6(""), files: eth0("[Network]\nIPv6AcceptRA=yes\n")},
	{name: "dhcp6-managed-and-autonomous", serve: dhcp6("slaac,"), files: eth0("[Network]\nDHCP=yes\n")},
	{name: "dhcp6-other", serve: dhcp6("ra-stateless,"), files: eth0("[Network]\nDHCP=ipv6\n")},
	{name: "dhcp6-not-wanted", serve: dhcp6("slaac,"), files: eth0("[IPv6AcceptRA]\nDHCPv6Client=no\n")},
	{name: "dhcp6-no-address", serve: dhcp6("slaac,"), files: eth0("[DHCPv6]\nUseAddress=no\n")},
	{name: "dhcp6-domains", serve: dhcp6(""), files: eth0("[DHCPv6]\nUseDomains=yes\n")},
	{name: "dhcp6-no-names", serve: dhcp6(""), files: eth0("[DHCPv6]\nUseDNS=no\n")},
	{name: "dhcp6-four-messages", serve: dhcp6(""), files: eth0("[DHCPv6]\nRapidCommit=no\n")},
	{name: "dhcp6-without-router", serve: func(w *world) {
		w.peer(0, "2001:db8:1::1/64")
		w.dnsmasq("--interface=peer0", "--dhcp-range=2001:db8:1::100,2001:db8:1::1ff,64,1h",
			"--dhcp-host=02:00:00:00:00:01,[2001:db8:1::150]", "--dhcp-option=option6:dns-server,[2001:db8:1::53]")
	}, files: eth0("[Network]\nDHCP=ipv6\n[DHCPv6]\nWithoutRA=solicit\n")},
}
