package network

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// attributes returns the attributes of a request by type; header is the length of what stands before them.
func attributes(t *testing.T, b []byte, header int) map[uint16][]byte {
	t.Helper()
	list, err := nl.ParseRouteAttr(b[unix.NLMSG_HDRLEN+header:])
	if err != nil {
		t.Fatal(err)
	}
	out := map[uint16][]byte{}
	for _, a := range list {
		out[a.Attr.Type] = a.Value
	}
	return out
}

// TestAddressRequest checks the message for an address: rtnetlink(7), linux/if_addr.h.
func TestAddressRequest(t *testing.T) {
	now := time.Now()
	in := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	forever := [4]byte{255, 255, 255, 255}
	seconds := func(n byte) [4]byte { return [4]byte(nl.Uint32Attr(uint32(n))) }
	v4, v6 := netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64")
	for _, tt := range []struct {
		name             string
		address          address
		bits             byte
		local, far       string
		broadcast        string
		valid, preferred [4]byte
		more             map[uint16]string
	}{
		{"plain", address{prefix: v4}, 24, "192.0.2.2", "192.0.2.2", "192.0.2.255", forever, forever, nil},
		{"IPv6", address{prefix: v6}, 64, "2001:db8::2", "2001:db8::2", "", forever, forever, nil},
		{"for a time", address{prefix: v6, valid: in(60), preferred: in(30)}, 64, "2001:db8::2", "2001:db8::2", "",
			seconds(60), seconds(30), nil},
		{"valid for a time", address{prefix: v4, valid: in(60)}, 24, "192.0.2.2", "192.0.2.2", "192.0.2.255",
			seconds(60), seconds(60), nil},
		{"deprecated", address{prefix: v6, lapsed: true}, 64, "2001:db8::2", "2001:db8::2", "", forever, seconds(0),
			nil},
		{"ended already", address{prefix: v4, valid: in(-5)}, 24, "192.0.2.2", "192.0.2.2", "192.0.2.255", seconds(1),
			seconds(1), nil},
		{"a peer", address{prefix: v4, peer: netip.MustParsePrefix("192.0.2.9/32")}, 32, "192.0.2.2", "192.0.2.9", "",
			forever, forever, nil},
		{"no broadcast", address{prefix: v4, broadcast: netip.IPv4Unspecified()}, 24, "192.0.2.2", "192.0.2.2", "",
			forever, forever, nil},
		{"its own broadcast", address{prefix: v4, broadcast: netip.MustParseAddr("192.0.2.254")}, 24, "192.0.2.2",
			"192.0.2.2", "192.0.2.254",
			forever, forever, nil},
		{"one of two", address{prefix: netip.MustParsePrefix("192.0.2.2/31")}, 31, "192.0.2.2", "192.0.2.2", "",
			forever, forever, nil},
		{"with all else", address{prefix: v4, label: "eth0:1", metric: 7, flags: unix.IFA_F_NOPREFIXROUTE,
			scope: 253}, 24,
			"192.0.2.2", "192.0.2.2", "192.0.2.255", forever, forever,
			map[uint16]string{unix.IFA_LABEL: "eth0:1\x00", ifaRtPriority: "\x07\x00\x00\x00",
				unix.IFA_FLAGS: "\x00\x02\x00\x00"}},
	} {
		b := newAddressRequest(3, &tt.address, now).Serialize()
		a := attributes(t, b, unix.SizeofIfAddrmsg)
		ip := func(kind uint16) string {
			ip, ok := netip.AddrFromSlice(a[kind])
			if !ok {
				return ""
			}
			return ip.String()
		}
		if b[unix.NLMSG_HDRLEN+1] != tt.bits || b[unix.NLMSG_HDRLEN+3] != tt.address.scope ||
			b[unix.NLMSG_HDRLEN+4] != 3 {
			t.Errorf("%s: the header is %v", tt.name, b[unix.NLMSG_HDRLEN:][:unix.SizeofIfAddrmsg])
		}
		if ip(unix.IFA_LOCAL) != tt.local || ip(unix.IFA_ADDRESS) != tt.far || ip(unix.IFA_BROADCAST) != tt.broadcast {
			t.Errorf("%s: %s, %s and %s", tt.name, ip(unix.IFA_LOCAL), ip(unix.IFA_ADDRESS), ip(unix.IFA_BROADCAST))
		}
		info := a[unix.IFA_CACHEINFO]
		if [4]byte(info[:4]) != tt.preferred || [4]byte(info[4:8]) != tt.valid {
			t.Errorf("%s: preferred and valid are %v", tt.name, info[:8])
		}
		for kind, want := range tt.more {
			if got := string(a[kind]); got != want {
				t.Errorf("%s: attribute %d is %q, want %q", tt.name, kind, got, want)
			}
		}
	}
}

// TestRouteRequest checks the message for a route: rtnetlink(7), linux/rtnetlink.h.
func TestRouteRequest(t *testing.T) {
	now := time.Now()
	var metrics [unix.RTAX_MAX + 1]uint32
	metrics[unix.RTAX_MTU] = 1400
	gateway := netip.MustParseAddr("192.0.2.1")
	for _, tt := range []struct {
		name  string
		route route
		want  map[uint16]string
	}{
		{"default", route{family: unix.AF_INET, table: 254, kind: unix.RTN_UNICAST, gateway: gateway, device: true},
			map[uint16]string{unix.RTA_GATEWAY: "\xc0\x00\x02\x01", unix.RTA_OIF: "\x03\x00\x00\x00"}},
		{"by way of IPv6", route{family: unix.AF_INET, kind: unix.RTN_UNICAST, gateway: netip.MustParseAddr("fe80::1")},
			map[uint16]string{unix.RTA_VIA: "\x0a\x00\xfe\x80" + strings.Repeat("\x00", 13) + "\x01"}},
		{"a large table", route{family: unix.AF_INET, table: 1000, kind: unix.RTN_UNICAST},
			map[uint16]string{unix.RTA_TABLE: "\xe8\x03\x00\x00"}},
		{"with metrics", route{family: unix.AF_INET, kind: unix.RTN_UNICAST, metrics: metrics, congestion: "bbr",
			metric: 9},
			map[uint16]string{unix.RTA_PRIORITY: "\x09\x00\x00\x00",
				unix.RTA_METRICS: "\x08\x00\x02\x00\x78\x05\x00\x00\x08\x00\x10\x00bbr\x00"}},
		{"IPv6 that ends", route{family: unix.AF_INET6, kind: unix.RTN_UNICAST, preference: 3,
			expires: now.Add(30 * time.Second)},
			map[uint16]string{rtaPref: "\x03", rtaExpires: "\x1e\x00\x00\x00"}},
		{"to nowhere", route{family: unix.AF_INET6, kind: unix.RTN_BLACKHOLE,
			dst:     netip.MustParsePrefix("2001:db8::/32"),
			src:     netip.MustParsePrefix("2001:db9::/32"),
			prefsrc: netip.MustParseAddr("2001:db8::1")}, map[uint16]string{
			unix.RTA_DST:     "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 12),
			unix.RTA_SRC:     "\x20\x01\x0d\xb9" + strings.Repeat("\x00", 12),
			unix.RTA_PREFSRC: "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01",
		}},
	} {
		b := routeRequest(unix.RTM_NEWROUTE, 0, 3, &tt.route, now).Serialize()
		got := map[uint16]string{}
		for kind, value := range attributes(t, b, unix.SizeofRtMsg) {
			got[kind] = string(value)
		}
		if tt.route.family == unix.AF_INET6 && tt.route.expires.IsZero() {
			delete(got, rtaPref)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestStaticRoute checks the defaults of a [Route] section: systemd.network(5).
func TestStaticRoute(t *testing.T) {
	for _, tt := range []struct {
		file  string
		want  string
		scope uint8
		table uint32
		check func(route) bool // of the rest
	}{
		{"Gateway=192.0.2.1", "default via 192.0.2.1", unix.RT_SCOPE_UNIVERSE, 254,
			func(r route) bool { return r.metric == 0 && r.protocol == unix.RTPROT_STATIC && r.device }},
		{"Gateway=fe80::1", "default via fe80::1", unix.RT_SCOPE_UNIVERSE, 254,
			func(r route) bool { return r.metric == 1024 }},
		{"Destination=0.0.0.0/0\nGateway=192.0.2.1", "default via 192.0.2.1", unix.RT_SCOPE_UNIVERSE, 254, nil},
		{"Destination=198.51.100.0/24", "198.51.100.0/24", unix.RT_SCOPE_LINK, 254, nil},
		{"Destination=198.51.100.0/24\nScope=host\nMetric=5", "198.51.100.0/24", unix.RT_SCOPE_HOST, 254,
			func(r route) bool { return r.metric == 5 }},
		{"Destination=198.51.100.1\nType=local", "198.51.100.1/32", unix.RT_SCOPE_HOST, 255, nil},
		{"Destination=198.51.100.255\nType=broadcast", "198.51.100.255/32", unix.RT_SCOPE_LINK, 255, nil},
		{"Destination=198.51.100.1\nType=local\nTable=9", "198.51.100.1/32", unix.RT_SCOPE_HOST, 9, nil},
		{"Destination=198.51.100.0/24\nType=blackhole", "198.51.100.0/24", unix.RT_SCOPE_UNIVERSE, 254,
			func(r route) bool { return !r.device }},
		{"Destination=2001:db8::/32\nIPv6Preference=high", "2001:db8::/32", unix.RT_SCOPE_UNIVERSE, 254,
			func(r route) bool { return r.preference == preferenceHigh }},
		{"Destination=2001:db8::/32\nIPv6Preference=low", "2001:db8::/32", unix.RT_SCOPE_UNIVERSE, 254,
			func(r route) bool { return r.preference == preferenceLow }},
		{"Gateway=192.0.2.1\nMTUBytes=1400\nQuickAck=yes\nFastOpenNoCookie=no\nHopLimit=9", "default via 192.0.2.1",
			unix.RT_SCOPE_UNIVERSE, 254,
			func(r route) bool {
				return r.metrics[unix.RTAX_MTU] == 1400 && r.metrics[unix.RTAX_QUICKACK] == 1 &&
					r.metrics[unix.RTAX_FASTOPEN_NO_COOKIE] == 0 && r.metrics[unix.RTAX_HOPLIMIT] == 9
			}},
	} {
		w := testLink(t, "[Route]\n"+tt.file+"\n").want(time.Now())
		if len(w.routes) != 1 {
			t.Errorf("%q makes %v", tt.file, w.routes)
			continue
		}
		if r := w.routes[0]; r.String() != tt.want || r.scope != tt.scope || r.table != tt.table || tt.check != nil &&
			!tt.check(r) {
			t.Errorf("%q makes %+v", tt.file, r)
		}
	}
}

// TestRule checks the kernel's form of a rule.
func TestRule(t *testing.T) {
	for _, tt := range []struct {
		file     string
		families []int
		check    func(*netlink.Rule) bool
	}{
		{"From=10.0.0.0/8\nTable=9\nPriority=7", []int{unix.AF_INET},
			func(r *netlink.Rule) bool {
				return r.Src.String() == "10.0.0.0/8" && r.Table == 9 && r.Priority == 7 && r.Dst == nil
			}},
		{"To=2001:db8::/32\nTable=9\nInvertRule=yes", []int{unix.AF_INET6},
			func(r *netlink.Rule) bool { return r.Dst.String() == "2001:db8::/32" && r.Invert }},
		{"Family=both\nTable=9\nFirewallMark=7/15", []int{unix.AF_INET, unix.AF_INET6},
			func(r *netlink.Rule) bool { return r.Mark == 7 && *r.Mask == 15 }},
		{"Family=ipv6\nTable=9\nIncomingInterface=a\nOutgoingInterface=b\nIPProtocol=tcp\nSourcePort=1-2\n" +
			"DestinationPort=3", []int{unix.AF_INET6},
			func(r *netlink.Rule) bool {
				return r.IifName == "a" && r.OifName == "b" && r.IPProto == 6 && r.Sport.End == 2 && r.Dport.Start == 3
			}},
		{"Table=9\nType=goto\nGoTo=99\nPriority=7\nUser=0-9\nSuppressPrefixLength=0\nSuppressInterfaceGroup=3\n" +
			"TypeOfService=16", []int{unix.AF_INET},
			func(r *netlink.Rule) bool {
				return r.Goto == 99 && r.UIDRange.End == 9 && r.SuppressPrefixlen == 0 && r.SuppressIfgroup == 3 &&
					r.Tos == 16
			}},
	} {
		conf := testLink(t, "[RoutingPolicyRule]\n"+tt.file+"\n").conf
		if len(conf.Rules) != 1 {
			t.Errorf("%q makes %v", tt.file, conf.Rules)
			continue
		}
		families := ruleFamilies(&conf.Rules[0])
		if !slices.Equal(families, tt.families) {
			t.Errorf("%q is for the families %v", tt.file, families)
		}
		if r := rule(&conf.Rules[0], families[0]); !tt.check(r) || r.Family != families[0] {
			t.Errorf("%q makes %+v", tt.file, r)
		}
	}
}

// TestNetDevLink checks the kernel's form of a .netdev file.
func TestNetDevLink(t *testing.T) {
	for _, tt := range []struct {
		file  string
		check func(netlink.Link) bool
	}{
		{"Kind=dummy\nMTUBytes=1400\nMACAddress=02:00:00:00:00:07", func(l netlink.Link) bool {
			return l.Type() == "dummy" && l.Attrs().MTU == 1400 &&
				l.Attrs().HardwareAddr.String() == "02:00:00:00:00:07"
		}},
		{"Kind=bridge", func(l netlink.Link) bool { return l.Type() == "bridge" }},
		{"Kind=bond", func(l netlink.Link) bool { return l.Type() == "bond" }},
		{"Kind=vrf\n[VRF]\nTable=9", func(l netlink.Link) bool { return l.(*netlink.Vrf).Table == 9 }},
		{"Kind=veth\n[Peer]\nName=far", func(l netlink.Link) bool { return l.(*netlink.Veth).PeerName == "far" }},
		{"Kind=vlan\n[VLAN]\nId=7", func(l netlink.Link) bool {
			v := l.(*netlink.Vlan)
			return v.VlanId == 7 && v.VlanProtocol == netlink.VLAN_PROTOCOL_8021Q && v.ParentIndex == 3
		}},
		{"Kind=vlan\n[VLAN]\nId=7\nProtocol=802.1ad",
			func(l netlink.Link) bool { return l.(*netlink.Vlan).VlanProtocol == netlink.VLAN_PROTOCOL_8021AD }},
		{"Kind=macvlan\n[MACVLAN]\nMode=vepa",
			func(l netlink.Link) bool { return l.(*netlink.Macvlan).Mode == netlink.MACVLAN_MODE_VEPA }},
		{"Kind=macvtap\n[MACVTAP]\nMode=private",
			func(l netlink.Link) bool { return l.(*netlink.Macvtap).Mode == netlink.MACVLAN_MODE_PRIVATE }},
		{"Kind=ipvlan\n[IPVLAN]\nMode=L3\nFlags=vepa", func(l netlink.Link) bool {
			v := l.(*netlink.IPVlan)
			return v.Mode == netlink.IPVLAN_MODE_L3 && v.Flag == netlink.IPVLAN_FLAG_VEPA
		}},
		{"Kind=vxlan\n[VXLAN]\nVNI=7\nRemote=192.0.2.9\nLocal=192.0.2.1\nTTL=3", func(l netlink.Link) bool {
			v := l.(*netlink.Vxlan)
			return v.VxlanId == 7 && v.VtepDevIndex == 3 && v.ParentIndex == 0 && v.TTL == 3 && v.Learning &&
				v.Group.Equal(net.IPv4(192, 0, 2, 9)) && v.SrcAddr.Equal(net.IPv4(192, 0, 2, 1))
		}},
		{"Kind=vxlan\n[VXLAN]\nVNI=7\nGroup=239.0.0.1",
			func(l netlink.Link) bool { return l.(*netlink.Vxlan).Group.Equal(net.IPv4(239, 0, 0, 1)) }},
	} {
		conf, warnings := netconf.Parse([]netconf.File{read(t, "a", netconf.NetDev, "[NetDev]\nName=x\n"+tt.file+"\n")})
		if len(conf.NetDevs) != 1 {
			t.Errorf("%q: %v", tt.file, warnings)
			continue
		}
		l, err := netDevLink(conf.NetDevs[0], 3)
		if err != nil || l.Attrs().Name != "x" || !tt.check(l) {
			t.Errorf("%q makes %+v (%v)", tt.file, l, err)
		}
	}
	for _, c := range []netconf.NetDevConfig{{Kind: "macvlan", Mode: "odd"}, {Kind: "odd"}} {
		if _, err := netDevLink(&c, 0); err == nil || !strings.Contains(err.Error(), `"odd"`) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestEthtool checks which messages a .link file makes, and their contents.
func TestEthtool(t *testing.T) {
	conf, _ := netconf.Parse([]netconf.File{read(t, "a", netconf.Link,
		"[Match]\nOriginalName=*\n[Link]\nAutoNegotiation=no\n"+
			"BitsPerSecond=1G\nDuplex=half\nWakeOnLan=magic\nTCPSegmentationOffload=no\nRxBufferSize=64\n"+
			"RxFlowControl=yes\n")})
	c := conf.Links[0].Ethtool
	var parts []string
	for _, change := range ethtoolChanges(target{}, &c) {
		parts = append(parts, change.String())
	}
	want := []string{"set the speed", "set what wakes it up", "set the offloads", "set the size of the rings",
		"set flow control"}
	if diff := cmp.Diff(want, parts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var speed []byte
	for _, a := range linkModes(c) {
		speed = append(speed, a.Serialize()...)
	}
	got := attributes(t, append(make([]byte, unix.NLMSG_HDRLEN), speed...), 0)
	if got[unix.ETHTOOL_A_LINKMODES_AUTONEG][0] != 0 || got[unix.ETHTOOL_A_LINKMODES_DUPLEX][0] != 0 ||
		nl.NativeEndian().Uint32(got[unix.ETHTOOL_A_LINKMODES_SPEED]) != 1000 {
		t.Errorf("the speed is set by %v", got)
	}
	full := linkModes(netconf.Ethtool{Duplex: "full"})
	if len(full) != 1 || full[0].Serialize()[4] != 1 {
		t.Errorf("full duplex is set by %v", full)
	}
	if b := wakeModes(1 << 5).Serialize(); !strings.Contains(string(b), "\x05\x00\x00\x00") {
		t.Errorf("bit 5 is not in % x", b)
	}
	if b := string(wantedFeatures(c.Offload).Serialize()); !strings.Contains(b, "tx-tcp-segmentation\x00") {
		t.Errorf("the feature is not in %q", b)
	}
	rings, err := ethtool{}.rings(c)
	if err != nil || len(rings) != 1 {
		t.Errorf("rings %v, %v", rings, err)
	}
	if list := ethtoolChanges(target{}, &netconf.Ethtool{}); len(list) != 0 {
		t.Errorf("nothing to set makes %v", list)
	}
}

// TestIDPath checks udev's ID_PATH for devices on a PCI bus, on USB, on a platform bus and without hardware.
func TestIDPath(t *testing.T) {
	root := t.TempDir()
	dir := func(path, subsystem string) string {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(full, 0o755); err != nil {
			t.Fatal(err)
		}
		if subsystem != "" {
			if err := os.Symlink("../../bus/"+subsystem, filepath.Join(full, "subsystem")); err != nil {
				t.Fatal(err)
			}
		}
		return full
	}
	pci := dir("pci0000:00/0000:00:05.0", "pci")
	dir("pci0000:00/0000:00:06.0", "pci")
	dir("pci0000:00/0000:00:06.0/usb1/1-2", "usb")
	usb := dir("pci0000:00/0000:00:06.0/usb1/1-2/1-2:1.0", "usb")
	platform := dir("platform/30be0000.ethernet", "platform")
	for path, want := range map[string]string{
		pci: "pci-0000:00:05.0", usb: "pci-0000:00:06.0-usb-0:2:1.0", platform: "platform-30be0000.ethernet",
		dir("virtual/x", ""): "",
	} {
		if got := idPath(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// TestArchitecture checks systemd's names of architectures.
func TestArchitecture(t *testing.T) {
	for goarch, want := range map[string]string{"amd64": "x86-64", "386": "x86", "arm64": "arm64",
		"ppc64le": "ppc64-le", "riscv64": "riscv64"} {
		if got := architecture(goarch); got != want {
			t.Errorf("%s is %s, want %s", goarch, got, want)
		}
	}
}
