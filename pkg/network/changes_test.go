package network

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
	"golang.org/x/sys/unix"
)

// inNamespace runs f in a network namespace of its own.
func inNamespace(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	done := make(chan struct{})
	go func() { // the thread is given up
		defer close(done)
		runtime.LockOSThread()
		ns, err := netns.New()
		if err != nil {
			t.Logf("root may not make network namespaces here: %v", err)
			return
		}
		defer ns.Close()
		f()
	}()
	<-done
}

// vethPair is the link a0 of a namespace, whose other end is b0.
type vethPair struct {
	t *testing.T
	linux
	a, b target
}

// inVeth runs f in a network namespace with a vethPair.
func inVeth(t *testing.T, f func(v vethPair)) {
	t.Helper()
	inNamespace(t, func() {
		v := vethPair{t: t}
		veth := &netconf.NetDevConfig{Device: "a0", Kind: "veth", Peer: netconf.Peer{Name: "b0"}}
		if err := v.do(makeDevice(veth, 0)); err != nil {
			t.Logf("no such links here: %v", err)
			return
		}
		v.a, v.b = v.find("a0").target(), v.find("b0").target()
		v.must(linkUp(v.a), linkUp(v.b))
		f(v)
	})
}

// find returns a device by its name.
func (v vethPair) find(name string) *device {
	list, err := v.look()
	if err != nil {
		v.t.Error(err)
	}
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	v.t.Errorf("there is no %s in %v", name, list)
	return &device{}
}

func (v vethPair) must(changes ...*change) {
	for _, c := range changes {
		if err := v.do(c); err != nil {
			v.t.Errorf("cannot %s: %v", c, err)
		}
	}
}

// TestLinkChanges makes changes to a real link and reads them back.
func TestLinkChanges(t *testing.T) {
	inVeth(t, func(v vethPair) {
		v.must(
			setMAC(v.a, net.HardwareAddr{2, 0, 0, 0, 0, 0x77}), setMTU(v.a, 1400), setGroup(v.a, 9),
			setAlias(v.a, "the way out"), setTxQueue(v.a, 77), addAltName(v.a, "another"),
			setGenMode(v.a, genModeEUI64), setSysctl(v.a, "ipv6/accept_ra", "0"),
		)
		for _, flag := range []string{"ARP", "multicast", "all-multicast", "promiscuous mode"} {
			v.must(setFlag(v.a, flag, false))
			off := v.find("a0").flags
			v.must(setFlag(v.a, flag, true))
			if on := v.find("a0").flags; on == off {
				t.Errorf("%s on and off are the same flags %#x", flag, on)
			}
		}
		a := v.find("a0")
		if a.MAC.String() != "02:00:00:00:00:77" || a.mtu != 1400 || !slices.Equal(a.AltNames, []string{"another"}) {
			t.Errorf("the link is %+v", a)
		}
		if !a.carrier() || !a.broadcasts || a.loopback() || a.Kind != "veth" {
			t.Errorf("the link is %+v", a)
		}
		if got := v.sysctl("ipv6", "a0", "accept_ra"); got != "0" {
			t.Errorf("accept_ra is %q", got)
		}
		l, err := netlink.LinkByIndex(v.a.index)
		if err != nil || l.Attrs().Group != 9 || l.Attrs().Alias != "the way out" || l.Attrs().TxQLen != 77 {
			t.Errorf("the link is %+v (%v)", l, err)
		}
		if err := v.do(setMTU(v.a, 9)); err == nil {
			t.Error("an MTU of 9 is set")
		}
		v.must(linkDown(v.a), rename(v.a, "c0"))
		if c := v.find("c0"); c.up() {
			t.Errorf("the link is %+v", c)
		}
		if lo := v.find("lo"); !lo.loopback() || lo.broadcasts {
			t.Errorf("the loopback is %+v", lo)
		}
	})
}

// TestRouteChanges sets addresses, routes, rules and neighbours of a real link and removes them, each twice.
func TestRouteChanges(t *testing.T) {
	inVeth(t, func(v vethPair) {
		now := time.Now()
		four := address{prefix: netip.MustParsePrefix("192.0.2.2/24"), metric: 7}
		six := address{
			prefix: netip.MustParsePrefix("2001:db8::2/64"), flags: unix.IFA_F_NODAD,
			valid: now.Add(time.Hour), preferred: now.Add(time.Minute),
		}
		by := route{
			family: unix.AF_INET, table: 254, protocol: unix.RTPROT_STATIC, kind: unix.RTN_UNICAST,
			gateway: netip.MustParseAddr("192.0.2.1"), device: true,
		}
		endless := route{
			family: unix.AF_INET6, table: 254, protocol: unix.RTPROT_RA, kind: unix.RTN_UNICAST, device: true,
			dst: netip.MustParsePrefix("2001:db8:9::/48"), gateway: netip.MustParseAddr("2001:db8::1"), metric: 1024,
		}
		ending := endless
		ending.expires = now.Add(time.Hour)
		rule := &netconf.Rule{From: four.prefix.Masked(), Table: 9}
		neighbor := &netconf.Neighbor{Address: netip.MustParseAddr("192.0.2.9"),
			MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}}
		v.must(
			newAddress(v.a, &four), newAddress(v.a, &four), newAddress(v.a, &six), newRoute(v.a, &by),
			newRoute(v.a, &by),
			newRoute(v.a, &endless), refreshRoute(v.a, &endless, &ending), refreshRoute(v.a, &ending, &ending),
			newRule(rule, unix.AF_INET), newRule(rule, unix.AF_INET), newNeighbor(v.a, neighbor),
			newNeighbor(v.a, neighbor),
		)
		a := v.find("a0")
		for _, p := range []netip.Prefix{four.prefix, six.prefix} {
			if has, there := a.find(p.Addr()); !there || has.prefix != p || !has.usable() {
				t.Errorf("the address %v is %+v", p, has)
			}
		}
		if n := gateways(t, v.a); n != 2 {
			t.Errorf("there are %d routes through a gateway, want 2", n)
		}
		v.must(
			dropRoute(v.a, &by), dropRoute(v.a, &by), dropRoute(v.a, &ending), dropRoute(v.a, &ending),
			dropAddress(v.a, &four), dropAddress(v.a, &four), dropAddress(v.a, &six),
		)
		if a := v.find("a0"); gateways(t, v.a) != 0 || len(a.addrs) > 1 { // the link-local one stays
			t.Errorf("the link is %+v", a)
		}
	})
}

// gateways counts the routes through a gateway.
func gateways(t *testing.T, of target) int {
	list, err := netlink.RouteList(of.link(), netlink.FAMILY_ALL)
	if err != nil {
		t.Error(err)
	}
	return len(slices.DeleteFunc(list, func(r netlink.Route) bool { return r.Gw == nil }))
}

// TestEnslave puts a real link into a bridge.
func TestEnslave(t *testing.T) {
	inVeth(t, func(v vethPair) {
		if err := v.do(makeDevice(&netconf.NetDevConfig{Device: "br0", Kind: "bridge"}, 0)); err != nil {
			t.Logf("no bridges here: %v", err)
			return
		}
		v.must(enslave(v.a, v.find("br0").target()))
		if a := v.find("a0"); a.master != v.find("br0").index {
			t.Errorf("the link is %+v", a)
		}
	})
}

// TestWatch checks that changes are reported, and that no socket is opened on a link that does not exist.
func TestWatch(t *testing.T) {
	inNamespace(t, func() {
		k := linux{}
		changed, err := k.watch(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		if err := k.do(linkUp(target{1, "lo"})); err != nil {
			t.Error(err)
		}
		select {
		case <-changed:
		case <-time.After(5 * time.Second):
			t.Error("nothing is heard of a link that goes up")
		}
		if _, err := k.open4("nobody", 68, 67); err == nil {
			t.Error("a socket is opened on a link that does not exist")
		}
		if _, err := k.open6("nobody"); err == nil {
			t.Error("a socket is opened on a link that does not exist")
		}
		if _, err := k.openRouters(99); err == nil {
			t.Error("a socket is opened on a link that does not exist")
		}
		var d device
		d.Name = "lo"
		if k.describe(&d); d.Driver != "" || d.Path != "" {
			t.Errorf("the loopback is %+v", d)
		}
	})
}
