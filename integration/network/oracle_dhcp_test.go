package network_test

const (
	mask    = "0104ffffff00"
	rawOnly = "[Network]\nDHCP=ipv4\n"
)

// dhcpCases have DHCP servers whose packets no server of the distribution sends.
var dhcpCases = []oracleCase{
	// RFC 2132 section 9.3: the fields for a boot file and a server's name hold options.
	{name: "dhcp4-overload-file", serve: lease4(mask+"340101", "0304 0a090001 0604 0a090003 ff", ""), files: eth0(rawOnly)},
	{name: "dhcp4-overload-server-name", serve: lease4(mask+"340102", "", "0304 0a090001 0604 0a090003 ff"), files: eth0(rawOnly)},
	{name: "dhcp4-overload-both", serve: lease4(mask+"340103", "0304 0a090001 ff", "0604 0a090003 2a04 0a090005 ff"), files: eth0(rawOnly)},
	{name: "dhcp4-overload-mask", serve: lease4("340101", "0104ffff0000 0304 0a090001 ff", ""), files: eth0(rawOnly)},
	{name: "dhcp4-not-overloaded", serve: lease4(mask, "0304 0a090001 ff", "0604 0a090003 ff"), files: eth0(rawOnly)},

	// RFC 2132 section 5.8, and RFC 3442 where there is its option as well.
	{name: "dhcp4-static-routes", serve: lease4(mask+"03040a090001 2110 c0000200 0a090009 ac100000 0a090008 0604c0000235", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-static-routes-alone", serve: lease4(mask+"2108 0b000000 0a090009", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-static-and-classless-routes", serve: lease4(mask+"03040a090001 2108 c0000200 0a090009 7906 08 0b 0a090008", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-static-routes-not-wanted", serve: lease4(mask+"03040a090001 2108 c0000200 0a090009", "", ""), files: eth0(rawOnly + "[DHCPv4]\nUseRoutes=no\nUseGateway=yes\n")},
	{name: "dhcp4-static-route-for-route", serve: lease4(mask+"03040a090001 2108 c0000200 0a090009", "", ""), files: eth0(rawOnly + "[Route]\nDestination=192.0.2.128/25\nGateway=_dhcp4\n")},
	{name: "dhcp4-static-routes-cut-off", serve: lease4(mask+"03040a090001 2109 c0000200 0a090009 01", "", ""), files: eth0(rawOnly)},

	{name: "dhcp4-broadcast", serve: lease4(mask+"1c04 0a0900fe", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-broadcast-of-host", serve: lease4("0104ffffffff 1c04 0a0900fe", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-no-netmask", serve: lease4("03040a090001", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-netmask-with-hole", serve: lease4("0104ff00ff00 03040a090001", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-netmask-cut-off", serve: lease4("0103ffffff 03040a090001", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-own-name-server", serve: lease4(mask+"03040a090001 0608 7f000001 0a090003 2a08 7f000001 0a090005", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-own-name-server-alone", serve: lease4(mask+"03040a090001 0604 7f000001", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-classless-bad-tail", serve: lease4(mask+"790b 08 0b 0a090008 21 01020304", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-classless-cut-off", serve: lease4(mask+"7909 08 0b 0a090008 18 0c00", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-classless-odd-lengths", serve: lease4(mask+"791f 14 0a20f0 0a090008 01 80 0a090008 1f c0000202 0a090008 11 0a3080 0a090008", "", ""), files: eth0(rawOnly)},
	{name: "dhcp4-second-router", serve: lease4(mask+"0308 00000000 0a090001", "", ""), files: eth0(rawOnly)},
}
