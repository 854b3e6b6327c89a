package network_test

import (
	"strings"
	"testing"
	"time"
)

// linkLocal returns the usable link-local address of eth0; "" if there is none.
func (w *world) linkLocal() string {
	for line := range strings.Lines(w.ip("-6", "-o", "addr", "show", "dev", "eth0", "scope", "link")) {
		if f := strings.Fields(line); len(f) > 3 && !strings.Contains(line, "tentative") {
			return f[3]
		}
	}
	return ""
}

// TestStableAddresses checks that addresses which hide the hardware address exist and are the same after a boot: the
// link-local one, and with a token those in announced prefixes.
func TestStableAddresses(t *testing.T) {
	t.Parallel()
	needRoot(t, "radvd")
	for _, tt := range []struct{ name, file, token string }{
		{"mode", "[Network]\nIPv6LinkLocalAddressGenerationMode=stable-privacy\n", "2001:db8:1::ff:fe00:1/64"},
		{"secret", "[Network]\nIPv6StableSecretAddress=2001:db8::7\n", "2001:db8:1::ff:fe00:1/64"},
		{"token", "[IPv6AcceptRA]\nToken=prefixstable\n", ""},
		{"token of another prefix", "[IPv6AcceptRA]\nToken=prefixstable:2001:db8:2::\n", "2001:db8:1::ff:fe00:1/64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var seen [2][2]string
			for i := range seen {
				w := newWorld(t, 1)
				w.peer(0, "2001:db8:1::1/64")
				w.radvd("interface peer0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; prefix " +
					"2001:db8:1::/64 {}; RDNSS 2001:db8:1::53 {}; };")
				w.online(w.wyrnet(map[string]string{"lan.network": "[Match]\nName=eth0\n" + tt.file}), 20*time.Second)
				global := strings.Fields(w.ip("-6", "-o", "addr", "show", "dev", "eth0", "scope", "global"))
				seen[i] = [2]string{w.linkLocal(), global[3]}
			}
			if seen[0] != seen[1] || seen[0][0] == "" || strings.Contains(seen[0][0], "ff:fe") {
				t.Errorf("addresses %v, then %v", seen[0], seen[1])
			}
			if global := seen[0][1]; tt.token != "" && global != tt.token || tt.token == "" &&
				strings.Contains(global, "ff:fe") {
				t.Errorf("address %s, want %s", global, tt.token)
			}
		})
	}
}

// TestSettingFails checks that a setting that fails is reported, and that the link is used nevertheless.
func TestSettingFails(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for _, tt := range []struct{ name, file, want string }{
		{"MTU", "[Link]\nMTUBytes=70000\n", "cannot set the MTU"},
		{"hardware address", "[Link]\nMACAddress=01:00:00:00:00:01\n", "cannot set the hardware address"},
		{"IPv6 MTU", "[Network]\nIPv6MTUBytes=9000\n", "cannot set mtu to 9000"},
		{"rule", "[RoutingPolicyRule]\nType=goto\nGoTo=9\nPriority=7\nTable=5\nSuppressPrefixLength=0\n" +
			"IncomingInterface=abcdefghijklmnopqrst\n", "cannot add a routing policy rule"},
		{"neighbour", "[Neighbor]\nAddress=224.0.0.9\nLinkLayerAddress=02:00:00:00:00:09\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.peer(0)
			start := time.Now()
			out := w.online(w.wyrnet(map[string]string{"lan.network": "[Match]\nName=eth0\n[Network]\n" +
				"Address=10.0.0.5/24\nDNS=10.0.0.1\nLinkLocalAddressing=no\n" + tt.file}, "-t", "30s"), 40*time.Second)
			if took := time.Since(start); took > 12*time.Second || !w.hasAddress("eth0", "10.0.0.5/24") ||
				!strings.Contains(out, tt.want) {
				t.Errorf("after %v wyrnet says\n%s", took, out)
			}
		})
	}
}
