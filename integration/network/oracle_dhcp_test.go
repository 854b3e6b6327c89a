package network_test

const (
	mask    = "0104ffffff00"
	rawOnly = "[Network]\nDHCP=ipv4\n"
)

// dhcpCases have DHCP servers whose packets no server in the distribution sends.
var dhcpCases = []oracleCase{
	// RFC 2132 section 9.3: the fields for a boot file and a server's name hold options.
	{name: "dhcp4-overload-file", serve: lease4(mask+"340101", "0304 0a090001 0604 0a090003 ff", ""),
		files: eth0(rawOnly)},
	{name: "dhcp4-overload-server-name", serve: lease4(mask+"340102", "", "0304 0a090001 0604 0a090003 ff"),
		files: eth0(rawOnly)},
	{name: "dhcp4-overload-both", serve: lease4(mask+"340103", "0304 0a090001 ff", "0604 0a090003 2a04 0a090005 ff"),
		files: eth0(rawOnly)},
	{name: "dhcp4-overload-mask", serve: lease4("340101", "0104ffff0000 0304 0a090001 ff", ""), files: eth0(rawOnly)},
	{name: "dhcp4-not-overloaded", serve: lease4(mask, "0304 0a090001 ff", "0604 0a090003 ff"), files: eth0(rawOnly)},

	// RFC 2132 section 5.8, and RFC 3442 where there is its option as well.
	{name: "dhcp4-static-routes", since: 257,
		serve: lease4(mask+"03040a090001 2110 c0000200 0a090009 ac100000 0a090008 0604c0000235", "", ""),
		files: eth0(rawOnly)},
	{name: "dhcp4-static-routes-alone", serve: lease4(mask+"2108 0b000000 0a090009", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-static-and-classless-routes",
		serve: lease4(mask+"03040a090001 2108 c0000200 0a090009 7906 08 0b 0a090008", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-static-routes-not-wanted", serve: lease4(mask+"03040a090001 2108 c0000200 0a090009", "", ""),
		files: eth0(rawOnly + "[DHCPv4]\nUseRoutes=no\nUseGateway=yes\n")},
	{name: "dhcp4-static-route-for-route", since: 257,
		serve: lease4(mask+"03040a090001 2108 c0000200 0a090009", "", ""),
		files: eth0(rawOnly + "[Route]\nDestination=192.0.2.128/25\nGateway=_dhcp4\n")},
	{name: "dhcp4-static-routes-cut-off", serve: lease4(mask+"03040a090001 2109 c0000200 0a090009 01", "", ""),
		files: eth0(rawOnly)},

	{name: "dhcp4-broadcast", since: 257, serve: lease4(mask+"1c04 0a0900fe", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-broadcast-of-host", serve: lease4("0104ffffffff 1c04 0a0900fe", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-no-netmask", serve: lease4("03040a090001", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-netmask-with-hole", serve: lease4("0104ff00ff00 03040a090001", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-netmask-cut-off", serve: lease4("0103ffffff 03040a090001", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-own-name-server", serve: lease4(mask+"03040a090001 0608 7f000001 0a090003 2a08 7f000001 0a090005",
		"", ""), files: eth0(rawOnly)},
	{name: "dhcp4-own-name-server-alone", serve: lease4(mask+"03040a090001 0604 7f000001", "", ""),
		files: eth0(rawOnly)},
	{name: "dhcp4-classless-bad-tail", serve: lease4(mask+"790b 08 0b 0a090008 21 01020304", "", ""),
		files: eth0(rawOnly)},
	{name: "dhcp4-classless-cut-off", serve: lease4(mask+"7909 08 0b 0a090008 18 0c00", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-classless-odd-lengths",
		serve: lease4(mask+"791f 14 0a20f0 0a090008 01 80 0a090008 1f c0000202 0a090008 11 0a3080 0a090008", "", ""),
		files: eth0(rawOnly)},
	{name: "dhcp4-second-router", since: 257, serve: lease4(mask+"0308 00000000 0a090001", "", ""),
		files: eth0(rawOnly)},
}

// everything sets up a router and servers of both DHCP versions, with names from each of them.
func everything(w *world) {
	w.peer(0, "10.9.0.1/24", "2001:db8:1::1/64")
	w.peer(1)
	w.dnsmasq("--interface=peer0", "--enable-ra", "--ra-param=peer0,4,1800",
		"--dhcp-range=2001:db8:1::100,2001:db8:1::1ff,slaac,64,1h", "--dhcp-range=10.9.0.50,10.9.0.90,255.255.255.0,1h",
		"--dhcp-host=02:00:00:00:00:01,10.9.0.50,[2001:db8:1::150]", full, two,
		"--dhcp-option=option:domain-name,four.example",
		"--dhcp-option=option6:dns-server,[2001:db8:1::53]", "--dhcp-option=option6:domain-search,six.example")
}

// sectionCases check which section of a file applies to what.
var sectionCases = []oracleCase{
	{name: "old-dhcp-no-names", serve: everything, files: eth0("[Network]\nDHCP=yes\n[DHCP]\nUseDNS=no\n")},
	{name: "old-dhcp-no-names-but-six", serve: everything,
		files: eth0("[Network]\nDHCP=yes\n[DHCPv6]\nUseDNS=yes\n[DHCP]\nUseDNS=no\n")},
	{name: "old-dhcp-domains", serve: everything, files: eth0("[Network]\nDHCP=yes\n[DHCP]\nUseDomains=yes\n")},
	{name: "old-dhcp-domains-but-four", serve: everything,
		files: eth0("[Network]\nDHCP=yes\n[DHCP]\nUseDomains=yes\n[DHCPv4]\nUseDomains=no\n")},
	{name: "old-dhcp-metric", serve: everything, files: eth0("[Network]\nDHCP=yes\n[DHCP]\nRouteMetric=77\n")},
	{name: "old-dhcp-metric-but-router", serve: everything,
		files: eth0("[Network]\nDHCP=yes\n[IPv6AcceptRA]\nRouteMetric=66\n[DHCP]\nRouteMetric=77\n")},
	{name: "old-dhcp-table", serve: everything, files: eth0("[Network]\nDHCP=yes\n[DHCP]\nRouteTable=77\n")},
	{name: "dhcp6-metric", serve: everything, files: eth0("[Network]\nDHCP=yes\n[DHCPv6]\nRouteMetric=77\n")},

	{name: "link-local-stable", files: eth0("[Network]\nAddress=10.0.0.5/24\n" +
		"IPv6LinkLocalAddressGenerationMode=stable-privacy\n")},
	{name: "link-local-random", files: eth0("[Network]\nAddress=10.0.0.5/24\n" +
		"IPv6LinkLocalAddressGenerationMode=random\n")},
	{name: "link-local-secret", since: 257,
		files: eth0("[Network]\nAddress=10.0.0.5/24\nIPv6LinkLocalAddressGenerationMode=stable-privacy\n" +
			"IPv6StableSecretAddress=2001:db8::7\n")},
	{name: "link-local-secret-alone", since: 257,
		files: eth0("[Network]\nAddress=10.0.0.5/24\nIPv6StableSecretAddress=2001:db8::7\n")},
	{name: "link-local-stable-with-router", serve: advertise(prefix),
		files: eth0("[Network]\nIPv6LinkLocalAddressGenerationMode=stable-privacy\n")},

	{name: "route-blackhole-with-gateway",
		files: eth0("[Network]\nAddress=10.0.0.5/24\n[Route]\nDestination=10.1.0.0/16\nType=blackhole\n" +
			"Gateway=10.0.0.1\n")},
	{name: "route6-over-dhcp4", serve: dhcp(full),
		files: eth0("[Network]\nDHCP=ipv4\n[Route]\nDestination=2001:db8:7::/48\nGateway=_dhcp4\n")},
	{name: "rule-goto-nowhere", files: eth0("[Network]\nAddress=10.0.0.5/24\n[RoutingPolicyRule]\nType=goto\n" +
		"Priority=7\n")},
	{name: "rule-goto-back", files: eth0("[Network]\nAddress=10.0.0.5/24\n[RoutingPolicyRule]\nType=goto\nGoTo=5\n" +
		"Priority=7\n")},
	{name: "rule-other-family", files: eth0("[Network]\nAddress=10.0.0.5/24\n[RoutingPolicyRule]\n" +
		"From=10.0.0.0/24\nFamily=ipv6\nTable=7\n")},
	{name: "rule-users", files: eth0("[Network]\nAddress=10.0.0.5/24\n[RoutingPolicyRule]\nUser=1000-1999\n" +
		"Table=7\nPriority=70\n[RoutingPolicyRule]\nUser=root\nTable=8\nPriority=80\n")},
	{name: "home-address-of-ipv4", since: 257,
		files: eth0("[Address]\nAddress=10.0.0.5/24\nHomeAddress=yes\n[Address]\nAddress=10.0.0.6/24\n")},
}
