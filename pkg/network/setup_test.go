package network

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// TestSetUp checks what is done to a link before it has a carrier, and in which order.
func TestSetUp(t *testing.T) {
	bridge := map[string]string{"br.netdev": "[NetDev]\nName=br\nKind=bridge\n[Bridge]\nSTP=yes\n"}
	bond := map[string]string{"b0.netdev": "[NetDev]\nName=b0\nKind=bond\n[Bond]\nMode=active-backup\n"}
	with := func(more map[string]string, file string) map[string]string {
		files := map[string]string{"a.network": "[Match]\nName=eth0\n" + file}
		for name, text := range more {
			files[name] = text
		}
		return files
	}
	const genMode, noRA = "set the way of IPv6 link-local addresses", "set accept_ra to 0"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"nothing", with(nil, "[Network]\nLinkLocalAddressing=no\n"), []string{genMode, noRA, "bring it up"}},
		{"all of it", with(nil, "[Link]\nMACAddress=02:00:00:00:00:77\nMTUBytes=1400\nARP=no\nMulticast=yes\n"+
			"AllMulticast=yes\n"+
			"Promiscuous=yes\nGroup=7\n[Network]\nIPv6PrivacyExtensions=no\nIPv4Forwarding=yes\n"), []string{
			"set the hardware address", "set the MTU to 1400", "set ARP", "set multicast", "set all-multicast",
			"set promiscuous mode", "set the group", genMode, noRA, "bring it up",
		}},
		{"a secret comes before the mode", with(nil, "[Network]\nIPv6LinkLocalAddressGenerationMode=stable-privacy\n"),
			[]string{"set stable_secret", genMode, noRA, "bring it up"}},
		{"taken down", with(nil, "[Link]\nActivationPolicy=always-down\n"), []string{genMode, noRA, "take it down"}},
		{"left as it is", with(nil, "[Link]\nActivationPolicy=manual\n"), []string{genMode, noRA}},
		{"a port of a bridge", with(bridge,
			"[Network]\nBridge=br\n[Bridge]\nCost=9\nPriority=7\nHairPin=yes\nLearning=no\n"), []string{
			genMode, noRA, "put it into br", "set path_cost", "set priority", "set hairpin_mode", "set learning",
			"bring it up",
		}},
		{"a member of a bond", with(bond, "[Network]\nBond=b0\nPrimarySlave=yes\nActiveSlave=yes\n"), []string{
			genMode, noRA, "put it into b0", "set primary", "set active_slave", "bring it up",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, silent(1), tt.files, func(t *testing.T, m *testManager, k *fakeKernel) {
				m.up(time.Millisecond)
				got := slices.DeleteFunc(k.order("eth0: "), func(s string) bool {
					return strings.HasPrefix(s, "set use_tempaddr") || strings.HasPrefix(s, "set forwarding") ||
						strings.HasPrefix(s, "set the address") || strings.HasPrefix(s, "set the route")
				})
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestBondMember checks that a link that is up is taken down before it is put into a bond, as bond_enslave requires.
func TestBondMember(t *testing.T) {
	kernel := func() *fakeKernel {
		k := newKernel(1)
		k.bringUp(k.devices[1])
		return k
	}
	inBubble(t, kernel, map[string]string{
		"a.network": "[Match]\nName=eth0\n[Network]\nBond=b0\n", "b0.netdev": "[NetDev]\nName=b0\nKind=bond\n",
	}, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.up(time.Second)
		order := k.order("eth0: ")
		down, into, up := slices.Index(order, "take it down"), slices.Index(order, "put it into b0"),
			slices.Index(order, bringUp)
		if down < 0 || into < down || up < into {
			t.Errorf("the order is %q", order)
		}
	})
}

// TestMasterComesLate checks that a link waits for its bridge, and says so.
func TestMasterComesLate(t *testing.T) {
	inBubble(t, silent(1), map[string]string{"a.network": "[Match]\nName=eth0\n[Network]\nBridge=br\n"},
		func(t *testing.T, m *testManager, k *fakeKernel) {
			const want = "cannot put it into br: there is no such device, nor a .netdev file that makes it"
			if _, err := m.up(10 * time.Second); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
			if k.did("eth0: "+bringUp) != 0 {
				t.Error("the link is brought up without its bridge")
			}
			k.plug(9, netconf.Device{Name: "br", MAC: net.HardwareAddr{2, 0, 0, 0, 9, 9}, Kind: "bridge",
				Type: "bridge"})
			pass(2 * time.Second)
			if d, _ := k.look(); d[0].master != 9 || k.did("eth0: "+bringUp) != 1 {
				t.Errorf("its master is %d; done was %q", d[0].master, k.log)
			}
		})
}

// TestSettingsFail checks that a link is used without settings that fail, and that each failure is reported once.
func TestSettingsFail(t *testing.T) {
	kernel := func() *fakeKernel {
		k := leases(1)()
		for _, what := range []string{
			"set the hardware address", "set the MTU to 9000", "set the way of IPv6 link-local addresses",
			"set accept_ra to 0",
			"add a routing policy rule", "set the neighbour 10.0.0.9",
		} {
			k.fails[what] = unix.EINVAL
		}
		return k
	}
	inBubble(t, kernel, map[string]string{"a.network": "[Match]\nName=eth0\n[Link]\nMTUBytes=9000\n" +
		"MACAddress=02:00:00:00:00:07\n" +
		"[Network]\nDHCP=ipv4\nIPv6LinkLocalAddressGenerationMode=random\n[RoutingPolicyRule]\nTable=9\nFamily=both\n" +
		"[Neighbor]\nAddress=10.0.0.9\nLinkLayerAddress=02:00:00:00:00:09\n",
	}, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.mustUp(time.Minute)
		pass(time.Minute)
		for what := range k.fails {
			if n := m.says("eth0: cannot " + what + ": invalid argument"); n != 1 {
				t.Errorf("that it cannot %s is said %d times: %q", what, n, m.said)
			}
		}
		if n := k.did("eth0: set the way of IPv6 link-local addresses fails"); n != 2 {
			t.Errorf("the way of link-local addresses was tried %d times, want the usual one too", n)
		}
		if n := k.did("add a routing policy rule fails"); n != 2 {
			t.Errorf("the rule was tried %d times, want once for each family", n)
		}
	})
}

// TestRulesOnce checks that rules and neighbours are set once, when the link has a carrier.
func TestRulesOnce(t *testing.T) {
	kernel := func() *fakeKernel {
		k := leases(1)()
		k.cable(1, false)
		return k
	}
	inBubble(t, kernel, map[string]string{"a.network": "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n" +
		"[RoutingPolicyRule]\nFrom=10.0.0.0/8\nTable=9\n[Neighbor]\nAddress=10.0.0.9\n" +
		"LinkLayerAddress=02:00:00:00:00:09\n",
	}, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.up(5 * time.Second)
		if k.did("add a routing policy rule") != 0 {
			t.Error("a rule is set without a carrier")
		}
		k.cable(1, true)
		m.mustUp(time.Minute)
		pass(time.Hour / 6)
		if k.did("add a routing policy rule") != 1 || k.did("eth0: set the neighbour 10.0.0.9") != 1 {
			t.Errorf("done was %q", k.log)
		}
	})
}

// TestBroughtUpAgain checks that a link that the kernel cannot bring up is tried again every five seconds.
func TestBroughtUpAgain(t *testing.T) {
	kernel := func() *fakeKernel {
		k := leases(1)()
		k.fails[bringUp] = unix.ENOENT
		return k
	}
	inBubble(t, kernel, nil, func(t *testing.T, m *testManager, k *fakeKernel) {
		_, err := m.up(21 * time.Second)
		if err == nil || !strings.Contains(err.Error(), "cannot bring it up: no such file or directory") {
			t.Errorf("%v", err)
		}
		if n := k.did("eth0: bring it up fails"); n < 5 || n > 7 {
			t.Errorf("it was tried %d times in 21 s", n)
		}
		if s := m.State()[0]; !s.Broken || !s.Final {
			t.Errorf("the state is %+v", s)
		}
		k.mu.Lock()
		delete(k.fails, bringUp)
		k.mu.Unlock()
		m.mustUp(20 * time.Second)
		if s := m.State()[0]; s.Broken || s.Problem != "" {
			t.Errorf("the state is %+v", s)
		}
	})
}

// TestTakenAway checks that an address that somebody removes is set again, a limited number of times.
func TestTakenAway(t *testing.T) {
	inBubble(t, silent(1), map[string]string{"a.network": "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.2/24\n"},
		func(t *testing.T, m *testManager, k *fakeKernel) {
			m.mustUp(time.Minute)
			for range 9 {
				pass(3 * time.Second)
				k.edit(1, func(d *device) { d.addrs = nil })
			}
			pass(3 * time.Second)
			if n := k.did("eth0: set the address 192.0.2.2/24"); n != 1+mostAgain {
				t.Errorf("it was set %d times, want %d", n, 1+mostAgain)
			}
		})
}

// TestStacked checks which devices are made, with modules that must be loaded first.
func TestStacked(t *testing.T) {
	files := map[string]string{
		"a.network":  "[Match]\nName=eth0\n[Network]\nVLAN=v7\nVLAN=nowhere\nMACVLAN=mv\nLinkLocalAddressing=no\n",
		"v7.network": "[Match]\nName=v7\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n",
		"v7.netdev":  "[NetDev]\nName=v7\nKind=vlan\n[VLAN]\nId=7\n",
		"mv.netdev":  "[NetDev]\nName=mv\nKind=macvlan\n[MACVLAN]\nMode=bridge\n",
		"d.netdev":   "[NetDev]\nName=d0\nKind=dummy\n",
		"e.netdev":   "[NetDev]\nName=eth0\nKind=dummy\n",
		"x.netdev":   "[Match]\nArchitecture=vax\n[NetDev]\nName=x0\nKind=dummy\n",
	}
	kernel := func() *fakeKernel {
		k := leases(1)()
		k.kinds["vlan"], k.kinds["macvlan"] = unix.EOPNOTSUPP, unix.EOPNOTSUPP
		return k
	}
	inBubble(t, kernel, files, func(t *testing.T, m *testManager, k *fakeKernel) {
		var loaded []string
		m.Modules = func(alias string) error {
			loaded = append(loaded, alias)
			if alias == "rtnl-link-vlan" {
				k.mu.Lock()
				delete(k.kinds, "vlan")
				k.mu.Unlock()
			}
			return nil
		}
		m.mustUp(time.Minute)
		if diff := cmp.Diff([]string{"rtnl-link-vlan", "rtnl-link-macvlan"}, loaded); diff != "" {
			t.Errorf("modules (-want +got):\n%s", diff)
		}
		var names []string
		for _, s := range m.State() {
			names = append(names, s.Name+" "+s.Problem)
		}
		want := []string{
			"eth0 a.network gives it no address, cannot make mv: this kernel has no such devices, " +
				"cannot make nowhere: a.network names it but there is no .netdev file for it",
			"d0 no .network file fits it", "v7 ",
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("links (-want +got):\n%s", diff)
		}
		if m.says("e.netdev: cannot make the dummy eth0: there is a device of that name already") != 1 {
			t.Errorf("it says %q", m.said)
		}
		if !slices.Contains(k.order("make "), "v7") || slices.Contains(k.order("make "), "x0") {
			t.Errorf("made was %q", k.order("make "))
		}
	})
}

// TestVRF checks that the routes of a link in a VRF go into the VRF's table.
func TestVRF(t *testing.T) {
	inBubble(t, leases(1), map[string]string{
		"a.network": "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nVRF=blue\n",
		"b.netdev":  "[NetDev]\nName=blue\nKind=vrf\n[VRF]\nTable=42\n",
	}, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.mustUp(time.Minute)
		pass(time.Second)
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, r := range k.routes[1] {
			if r.table != 42 {
				t.Errorf("%s is in table %d", &r, r.table)
			}
		}
		if len(k.routes[1]) == 0 {
			t.Error("there are no routes")
		}
	})
}

// TestLinkFile checks what a .link file does to a device, that a busy device is taken down first, and that the
// .network file for the new name counts.
func TestLinkFile(t *testing.T) {
	kernel := func() *fakeKernel {
		k := leases(1)()
		k.bringUp(k.devices[1])
		k.devices[1].AltNames = []string{"old"}
		k.fails["set the speed"], k.fails["set the offloads"] = errNoEthtool, errNoEthtool
		k.fails["set the alias"] = unix.EINVAL
		k.byName["eth0"] = predictable{slot: "ens5", path: "enp0s5"}
		return k
	}
	inBubble(t, kernel, map[string]string{
		"a.link": "[Match]\nOriginalName=eth0\n[Link]\nNamePolicy=onboard\nName=lan0\nAlternativeName=uplink old\n" +
			"AlternativeNamesPolicy=slot\nMACAddress=02:00:00:00:00:77\nMTUBytes=1400\nAlias=x\n" +
			"TransmitQueueLength=9\n" +
			"BitsPerSecond=1G\nTCPSegmentationOffload=no\n",
		"b.link":    "[Match]\nOriginalName=*\n[Link]\nName=other\n",
		"a.network": "[Match]\nName=uplink\nMACAddress=02:00:00:00:00:77\n[Network]\nDHCP=ipv4\n",
	}, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.mustUp(time.Minute)
		want := []string{
			"set the speed fails", "set the hardware address", "set the MTU to 1400", "set the alias fails",
			"set the queue length",
			"take it down", `rename it to "lan0"`,
		}
		if diff := cmp.Diff(want, k.order("eth0: ")); diff != "" {
			t.Errorf("done to eth0 (-want +got):\n%s", diff)
		}
		if got := k.order("lan0: ")[:2]; !slices.Equal(got, []string{`add the name "uplink"`, `add the name "ens5"`}) {
			t.Errorf("done to lan0: %q", got)
		}
		for _, want := range []string{
			"eth0: renamed to lan0 by a.link", "eth0: a.link: cannot set the alias: invalid argument",
			"eth0: a.link: cannot set up the hardware: this kernel has no ethtool netlink",
		} {
			if m.says(want) != 1 {
				t.Errorf("it does not say %q once: %q", want, m.said)
			}
		}
		if s := m.State()[0]; s.Name != "lan0" || s.KernelName != "eth0" || s.Config != "a" ||
			m.says("eth0: renamed to lan0") != 1 {
			t.Errorf("the state is %+v; it says %q", s, m.said)
		}
	})
}

// TestRandomMAC checks that a random address is locally administered and not a group address.
func TestRandomMAC(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		mac := randomMAC()
		if len(mac) != 6 || mac[0]&1 != 0 || mac[0]&2 == 0 || seen[mac.String()] {
			t.Fatalf("%s is no such address, or was there before", mac)
		}
		seen[mac.String()] = true
	}
}

// TestRenamedByOthers checks that a renamed link loses what it had and gets what the file for its new name says.
func TestRenamedByOthers(t *testing.T) {
	inBubble(t, silent(1), map[string]string{
		"a.network": "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.2/24\n",
		"b.network": "[Match]\nName=lan0\n[Network]\nAddress=198.51.100.2/24\n",
	}, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.mustUp(time.Minute)
		k.edit(1, func(d *device) { d.Name = "lan0" })
		pass(3 * time.Second)
		if diff := cmp.Diff([]string{"198.51.100.2/24"}, k.has(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if m.says("eth0: renamed to lan0") != 1 {
			t.Errorf("it says %q", m.said)
		}
	})
}

// TestLinkLocalMode checks how the kernel is told to make the IPv6 link-local address.
func TestLinkLocalMode(t *testing.T) {
	secret := netip.MustParseAddr("2001:db8::7")
	for _, tt := range []struct {
		file   string
		mode   int
		secret netip.Addr
	}{
		{"", genModeEUI64, netip.Addr{}},
		{"[Network]\nLinkLocalAddressing=no\n", genModeNone, netip.Addr{}},
		{"[Network]\nIPv6LinkLocalAddressGenerationMode=none\n", genModeNone, netip.Addr{}},
		{"[Network]\nIPv6LinkLocalAddressGenerationMode=random\n", genModeRandom, netip.Addr{}},
		{"[Network]\nIPv6LinkLocalAddressGenerationMode=eui64\nIPv6StableSecretAddress=2001:db8::7\n", genModeEUI64,
			netip.Addr{}},
		{"[Network]\nIPv6StableSecretAddress=2001:db8::7\n", genModeStablePrivacy, secret},
		{"[Network]\nIPv6LinkLocalAddressGenerationMode=stable-privacy\n", genModeStablePrivacy,
			netip.AddrFrom16(testLink(t, "").secret("link-local"))},
		{"[IPv6AcceptRA]\nToken=prefixstable\n", genModeStablePrivacy,
			netip.AddrFrom16(testLink(t, "").secret("link-local"))},
	} {
		if got := testLink(t, tt.file).wantLinkLocal(); got.mode != tt.mode || got.secret != tt.secret {
			t.Errorf("with %q the mode is %d with the secret %v, want %d and %v", tt.file, got.mode, got.secret,
				tt.mode, tt.secret)
		}
	}
}

// TestTokens checks which addresses a link makes in an announced prefix.
func TestTokens(t *testing.T) {
	prefix := netip.MustParsePrefix("2001:db8:1::/64")
	const own = "2001:db8:1::ff:fe00:1/64"
	for _, tt := range []struct {
		token string
		want  []string // "": a stable one
	}{
		{"", []string{own}}, {"eui64", []string{own}}, {"::1234", []string{"2001:db8:1::1234/64"}},
		{"static:::7 eui64", []string{"2001:db8:1::7/64", own}}, {"prefixstable", []string{""}},
		{"prefixstable:2001:db8:1::", []string{""}}, {"prefixstable:2001:db8:2::", []string{own}},
		{"prefixstable,00112233-4455-6677-8899-aabbccddeeff", []string{""}},
	} {
		file := "[IPv6AcceptRA]\n"
		for _, token := range strings.Fields(tt.token) {
			file += "Token=" + token + "\n"
		}
		got := texts(testLink(t, file).slaac(prefix))
		again := texts(testLink(t, file).slaac(prefix))
		for i, a := range got {
			if i < len(tt.want) && tt.want[i] == "" && a != own && a == again[i] &&
				prefix.Contains(netip.MustParsePrefix(a).Addr()) {
				got[i] = ""
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Token=%s (-want +got):\n%s", tt.token, diff)
		}
	}
	for _, tt := range []struct {
		id   [8]byte
		want bool
	}{
		{[8]byte{}, true}, {[8]byte{2, 0, 0x5e, 0xff, 0xfe, 1, 2, 3}, true},
		{[8]byte{0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x80}, true},
		{[8]byte{0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, false}, {[8]byte{1}, false},
	} {
		if got := reservedID(tt.id); got != tt.want {
			t.Errorf("%x is reserved: %v, want %v", tt.id, got, tt.want)
		}
	}
}
