package network_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	basicRange = "--dhcp-range=10.9.0.50,10.9.0.90,255.255.255.0,1h"
	dns        = "--dhcp-option=option:dns-server,10.9.0.1"
)

// online waits until wyrnet without -k ends by itself, and returns its output.
func (w *world) online(p *process, within time.Duration) string {
	w.t.Helper()
	select {
	case <-p.done:
	case <-time.After(within):
		w.t.Fatalf("wyrnet does not end:\n%s", p.output())
	}
	if p.err != nil {
		w.t.Fatalf("wyrnet: %v\n%s", p.err, p.output())
	}
	return p.output()
}

// served returns a world whose first link leads to dnsmasq with these options.
func served(t *testing.T, links int, options ...string) (*world, *process) {
	t.Helper()
	needRoot(t, "dnsmasq")
	w := newWorld(t, links)
	w.peer(0, "10.9.0.1/24")
	return w, w.dnsmasq(append([]string{"--interface=peer0", basicRange, dns}, options...)...)
}

func (w *world) resolvers() []string {
	b, _ := os.ReadFile(w.resolvConf())
	var out []string
	for line := range strings.Lines(string(b)) {
		if s, ok := strings.CutPrefix(strings.TrimSpace(line), "nameserver "); ok {
			out = append(out, s)
		}
	}
	return out
}

// TestDHCP checks the common case: no file, one link, one server.
func TestDHCP(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	w := newWorld(t, 1)
	w.peer(0, "10.9.0.1/24")
	w.dnsmasq("--interface=peer0", basicRange, "--dhcp-option=option:router,10.9.0.1",
		"--dhcp-option=option:dns-server,10.9.0.3,10.9.0.4", "--dhcp-host=02:00:00:00:00:01,10.9.0.50")
	start := time.Now()
	out := w.online(w.wyrnet(nil), 20*time.Second)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	for _, want := range []string{"eth0 (veth, 02:00:00:00:00:01)", "10.9.0.50/24", "gateway 10.9.0.1",
		"DNS 10.9.0.3 10.9.0.4", "from DHCP server 10.9.0.1"} {
		if !strings.Contains(out, want) {
			t.Errorf("wyrnet does not say %q:\n%s", want, out)
		}
	}
	if n := strings.Count(out, "\n"); n != 1 {
		t.Errorf("wyrnet says %d lines, want one:\n%s", n, out)
	}
	if !w.hasRoute("-4", "default", "10.9.0.1", "eth0") {
		t.Errorf("no default route:\n%s", w.ip("route"))
	}
	if got := strings.Join(w.resolvers(), " "); got != "10.9.0.3 10.9.0.4" {
		t.Errorf("resolv.conf has %q", got)
	}
}

// TestNoCable checks that a missing cable is reported, and that the machine goes on when the cable comes.
func TestNoCable(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	w := newWorld(t, 1)
	p := w.wyrnet(nil, "-t", "2s")
	<-p.done
	if p.err == nil || !strings.Contains(p.output(), "eth0 (veth, 02:00:00:00:00:01): no carrier, is the cable in") {
		t.Errorf("wyrnet ends with %v and\n%s", p.err, p.output())
	}
	p = w.wyrnet(nil, "-t", "60s")
	time.Sleep(1500 * time.Millisecond)
	w.peer(0, "10.9.0.1/24")
	w.dnsmasq("--interface=peer0", basicRange, dns)
	w.online(p, 20*time.Second)
}

// TestNoLink checks a machine without a network card, until one appears: a USB adapter for example.
func TestNoLink(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	w := newWorld(t, 0)
	p := w.wyrnet(nil, "-t", "1s")
	<-p.done
	if p.err == nil || !strings.Contains(p.output(), "no network interface was found") {
		t.Errorf("wyrnet ends with %v and\n%s", p.err, p.output())
	}
	p = w.wyrnet(nil, "-t", "60s")
	time.Sleep(time.Second)
	w.addLink(0)
	w.peer(0, "10.9.0.1/24")
	w.dnsmasq("--interface=peer0", basicRange, dns)
	w.online(p, 20*time.Second)
}

// TestNoServer checks that the error says how long nobody has answered.
func TestNoServer(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 1)
	w.peer(0)
	p := w.wyrnet(nil, "-t", "4s")
	<-p.done
	want := regexp.MustCompile(`no answer to DHCP in [34] s and no router's advertisement in [0-4] s`)
	if p.err == nil || !want.MatchString(p.output()) {
		t.Errorf("wyrnet ends with %v and\n%s", p.err, p.output())
	}
}

// TestTwelveLinks checks twelve links of which only one leads to a server; some of the others have no carrier.
func TestTwelveLinks(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	w := newWorld(t, 12)
	for i := range 12 {
		if i%2 == 1 && i != 7 {
			w.peer(i)
		}
	}
	w.peer(7, "10.9.0.1/24")
	w.dnsmasq("--interface=peer7", basicRange, dns)
	start := time.Now()
	out := w.online(w.wyrnet(nil), 30*time.Second)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if !strings.Contains(out, "eth7 ") || strings.Contains(out, "eth1 ") {
		t.Errorf("wyrnet says\n%s", out)
	}
	if !w.hasRoute("-4", "default", "10.9.0.1", "eth7") {
		t.Errorf("no default route:\n%s", w.ip("route"))
	}
}

// TestLateLink checks that a second link is used which gets its lease after the machine is online.
func TestLateLink(t *testing.T) {
	t.Parallel()
	w, _ := served(t, 2)
	w.wyrnet(nil, "-k")
	w.eventually("eth0 has a default route", func() bool { return w.hasRoute("-4", "default", "10.9.0.1", "eth0") })
	w.peer(1, "10.8.0.1/24")
	w.dnsmasq("--interface=peer1", "--dhcp-range=10.8.0.50,10.8.0.90,255.255.255.0,1h",
		"--dhcp-option=option:dns-server,10.8.0.1")
	w.eventually("eth1 has a default route", func() bool { return w.hasRoute("-4", "default", "10.8.0.1", "eth1") })
	w.eventually("both name servers are known", func() bool { return len(w.resolvers()) == 2 })
}

// TestCableMoves checks that a link loses everything with the carrier, and gets it back with the cable.
func TestCableMoves(t *testing.T) {
	t.Parallel()
	w, _ := served(t, 1)
	w.wyrnet(nil, "-k")
	up := func() bool { return w.hasRoute("-4", "default", "10.9.0.1", "eth0") }
	w.eventually("eth0 has a default route", up)
	w.far("link", "set", "peer0", "down")
	w.eventually("the default route is gone", func() bool { return !up() })
	w.far("link", "set", "peer0", "up")
	w.eventually("eth0 has a default route again", up)
}

// TestTwoServers checks that address and gateway come from the same server if there are two on the link.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	w := newWorld(t, 1)
	// Both servers are on a bridge to which the machine's link leads.
	w.far("link", "add", "name", "sw0", "type", "bridge")
	w.far("link", "set", "peer0", "master", "sw0")
	w.far("link", "set", "peer0", "up")
	w.far("link", "set", "sw0", "up")
	for i := 1; i <= 2; i++ {
		w.far("link", "add", fmt.Sprintf("srv%d", i), "type", "veth", "peer", "name", fmt.Sprintf("port%d", i))
		w.far("link", "set", fmt.Sprintf("port%d", i), "master", "sw0")
		w.far("link", "set", fmt.Sprintf("port%d", i), "up")
		w.far("link", "set", fmt.Sprintf("srv%d", i), "up")
		w.far("addr", "add", fmt.Sprintf("10.%d.0.1/24", i), "dev", fmt.Sprintf("srv%d", i))
		w.dnsmasq(fmt.Sprintf("--interface=srv%d", i),
			fmt.Sprintf("--dhcp-range=10.%d.0.50,10.%d.0.90,255.255.255.0,1h", i, i))
	}
	w.online(w.wyrnet(nil), 30*time.Second)
	one, two := w.hasRoute("-4", "default", "10.1.0.1", "eth0"), w.hasRoute("-4", "default", "10.2.0.1", "eth0")
	if one == two {
		t.Errorf("want the gateway of one server:\n%s", w.ip("route"))
	}
	for i, is := range map[string]bool{"10.1.0.": one, "10.2.0.": two} {
		if got := strings.Contains(w.ip("-o", "-4", "addr", "show", "dev", "eth0"), i); got != is {
			t.Errorf("address and gateway are not of one server:\n%s%s", w.ip("addr"), w.ip("route"))
		}
	}
}

// TestDenyList checks that servers in DenyList= are ignored.
func TestDenyList(t *testing.T) {
	t.Parallel()
	w, d := served(t, 1)
	p := w.wyrnet(map[string]string{"lan.network": "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n[DHCPv4]\n" +
		"DenyList=10.9.0.1\n"}, "-t", "5s")
	<-p.done
	if p.err == nil || !strings.Contains(d.output(), "DHCPOFFER") {
		t.Errorf("wyrnet ends with %v although the server is denied; server:\n%s", p.err, d.output())
	}
}

// TestSpanningTree checks that the machine is online soon after a port begins to forward, which spanning tree allows
// only some time (30 s, here 7 s) after the carrier.
func TestSpanningTree(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	w := newWorld(t, 1)
	w.far("link", "add", "name", "sw0", "address", "02:00:00:00:02:01", "type", "bridge", "stp_state", "1",
		"forward_delay", "400")
	w.far("link", "set", "peer0", "master", "sw0")
	w.far("addr", "add", "10.9.0.1/24", "dev", "sw0")
	w.far("link", "set", "sw0", "up")
	w.far("link", "set", "peer0", "up")
	w.dnsmasq("--interface=sw0", basicRange, dns)
	start := time.Now()
	w.online(w.wyrnet(nil), 40*time.Second)
	if took := time.Since(start); took < 6*time.Second {
		t.Errorf("the switch forwarded after %v: the test shows nothing", took)
	}
	if !w.hasRoute("-4", "default", "10.9.0.1", "eth0") {
		t.Errorf("no default route:\n%s", w.ip("route"))
	}
}

// TestJumbo checks that the MTU of the lease is set if no file says otherwise.
func TestJumbo(t *testing.T) {
	t.Parallel()
	w, _ := served(t, 1, "--dhcp-option=option:mtu,9000")
	w.far("link", "set", "peer0", "mtu", "9000")
	w.wyrnet(nil, "-k")
	w.eventually("eth0 has the MTU of 9000",
		func() bool { return strings.Contains(w.ip("link", "show", "dev", "eth0"), "mtu 9000") })
}

// TestHostRoute checks an address with a /32 and a gateway outside of it, as some hosting companies have it.
func TestHostRoute(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 1)
	w.peer(0, "10.9.0.1/32")
	w.far("route", "add", "192.0.2.7/32", "dev", "peer0")
	w.online(w.wyrnet(map[string]string{"lan.network": "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.7/32\n" +
		"DNS=10.9.0.1\nLinkLocalAddressing=no\n[Route]\nGateway=10.9.0.1\nGatewayOnLink=yes\n"}), 20*time.Second)
	if !w.reaches("10.9.0.1") {
		t.Errorf("the gateway does not answer:\n%s", w.ip("route"))
	}
}

// TestHostLease checks the same with a server: RFC 3442's routes to a gateway outside of the /32.
func TestHostLease(t *testing.T) {
	t.Parallel()
	w, _ := served(t, 1, "--dhcp-host=02:00:00:00:00:01,10.9.0.77", "--dhcp-option=option:netmask,255.255.255.255",
		"--dhcp-option=option:classless-static-route,10.9.0.1/32,0.0.0.0,0.0.0.0/0,10.9.0.1")
	w.online(w.wyrnet(nil), 20*time.Second)
	if !w.hasAddress("eth0", "10.9.0.77/32") || !w.hasRoute("-4", "default", "10.9.0.1", "eth0") ||
		!w.reaches("10.9.0.1") {
		t.Errorf("the gateway is not reached:\n%s%s", w.ip("addr"), w.ip("route"))
	}
}

// TestIPv6Only checks a link with a router only, which gives the name server.
func TestIPv6Only(t *testing.T) {
	t.Parallel()
	needRoot(t, "radvd")
	w := newWorld(t, 1)
	w.peer(0, "2001:db8:1::1/64")
	w.radvd("interface peer0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; prefix 2001:db8:1::/64 " +
		"{}; RDNSS 2001:db8:1::53 {}; DNSSL example.net {}; };")
	out := w.online(w.wyrnet(nil), 20*time.Second)
	if !w.hasAddress("eth0", "2001:db8:1::ff:fe00:1/64") || !w.reaches("2001:db8:1::1") {
		t.Errorf("the router is not reached:\n%s%s\n%s", w.ip("addr"), w.ip("-6", "route"), out)
	}
	if got := strings.Join(w.resolvers(), " "); got != "2001:db8:1::53" {
		t.Errorf("resolv.conf has %q", got)
	}
}

// TestShortLease checks that a lease is renewed: it has two minutes, the shortest that dnsmasq gives, and is renewed
// after three seconds.
func TestShortLease(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	w := newWorld(t, 1)
	w.peer(0, "10.9.0.1/24")
	d := w.dnsmasq("--interface=peer0", "--dhcp-range=10.9.0.50,10.9.0.90,255.255.255.0,2m",
		"--dhcp-option=option:T1,3")
	w.wyrnet(nil, "-k")
	w.eventually("the lease was renewed twice", func() bool { return strings.Count(d.output(), "DHCPACK") >= 3 })
	// On a busy host the first question may be asked twice. After the lease it must not be asked again.
	_, since, _ := strings.Cut(d.output(), "DHCPACK")
	if strings.Contains(since, "DHCPDISCOVER") || !w.hasRoute("-4", "default", "10.9.0.1", "eth0") {
		t.Errorf("the lease was not kept:\n%s\n%s", d.output(), w.ip("route"))
	}
}

// TestServerComesLate checks that a server that comes after some seconds is found.
func TestServerComesLate(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	w := newWorld(t, 1)
	w.peer(0, "10.9.0.1/24")
	p := w.wyrnet(nil)
	time.Sleep(5 * time.Second)
	w.dnsmasq("--interface=peer0", basicRange, dns)
	w.online(p, 20*time.Second)
}

// TestNeverUp checks that a configuration that cannot work ends in a sentence, and does not stop others.
func TestNeverUp(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 2)
	w.peer(0)
	w.peer(1, "10.9.0.1/24")
	files := map[string]string{
		"a.network": "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.9/24\nGateway=198.51.100.1\nVLAN=nowhere\n" +
			"LinkLocalAddressing=no\nBogus=1\n[Address]\nAddress=1.2.3\n",
	}
	p := w.wyrnet(files, "-t", "3s")
	<-p.done
	out := p.output()
	for _, want := range []string{
		"a.network: [Network] Bogus=1: unknown key, ignored",
		"a.network: [Address] Address=1.2.3: not an IP address, the section is ignored",
		"cannot make nowhere: a.network names it but there is no .netdev file for it",
		"cannot set the route default via 198.51.100.1: network is unreachable",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("wyrnet does not say %q:\n%s", want, out)
		}
	}
	if p.err == nil {
		t.Errorf("wyrnet calls this online:\n%s", out)
	}
	files["b.network"] = "[Match]\nName=eth1\n[Network]\nAddress=10.9.0.9/24\nGateway=10.9.0.1\n" +
		"LinkLocalAddressing=no\nDNS=10.9.0.1\n"
	w.online(w.wyrnet(files), 20*time.Second)
}

// TestBroughtUpLater checks that a link that the kernel cannot bring up is tried again. Here its hardware address is
// in use; in real life the firmware is missing, or the driver resets.
func TestBroughtUpLater(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 1)
	w.peer(0, "10.9.0.1/24")
	w.ip("link", "set", "eth0", "up")
	w.ip("link", "add", "link", "eth0", "name", "upper", "address", "02:00:00:00:00:01", "type", "macvlan")
	files := map[string]string{
		"a.network": "[Match]\nName=eth0\n[Link]\nUnmanaged=yes\n",
		"b.network": "[Match]\nName=upper\n[Network]\nAddress=10.9.0.9/24\nGateway=10.9.0.1\n" +
			"LinkLocalAddressing=no\nDNS=10.9.0.1\n",
	}
	p := w.wyrnet(files, "-t", "2s")
	<-p.done
	if p.err == nil || !strings.Contains(p.output(),
		"upper (macvlan, 02:00:00:00:00:01): cannot bring it up: address already in use") {
		t.Errorf("wyrnet ends with %v and\n%s", p.err, p.output())
	}
	p = w.wyrnet(files, "-t", "60s")
	time.Sleep(2 * time.Second)
	w.ip("link", "set", "eth0", "address", "02:00:00:00:00:77")
	w.online(p, 20*time.Second)
}

// TestRenamed checks that the file for the new name applies when another program renames a link in use.
func TestRenamed(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 1)
	w.peer(0)
	w.wyrnet(map[string]string{
		"a.network": "[Match]\nName=eth0\n[Network]\nAddress=10.1.0.5/24\n",
		"b.network": "[Match]\nName=lan0\n[Network]\nAddress=10.2.0.5/24\n",
	}, "-k")
	w.eventually("eth0 has its address", func() bool { return w.hasAddress("eth0", "10.1.0.5/24") })
	w.ip("link", "set", "eth0", "down")
	w.ip("link", "set", "eth0", "name", "lan0")
	w.eventually("lan0 has another",
		func() bool { return w.hasAddress("lan0", "10.2.0.5/24") && !w.hasAddress("lan0", "10.1.0.5/24") })
}

// TestLinkFile checks that a .link file matches the kernel's name, and a .network file the new one.
func TestLinkFile(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 2)
	w.peer(0)
	w.peer(1)
	out := w.online(w.wyrnet(map[string]string{
		"10-lan.link": "[Match]\nMACAddress=02:00:00:00:00:01\n[Link]\nName=lan0\nMTUBytes=1400\n" +
			"AlternativeName=uplink\nAlias=the way out\nTransmitQueueLength=77\n",
		"20-all.link":    "[Match]\nOriginalName=*\n[Link]\nMACAddress=02:00:00:00:00:77\n",
		"10-old.network": "[Match]\nName=eth0\n[Network]\nAddress=10.1.0.5/24\n",
		"20-new.network": "[Match]\nName=uplink\n[Network]\nAddress=10.2.0.5/24\nLinkLocalAddressing=no\n",
	}), 20*time.Second)
	link := w.ip("-d", "link", "show", "dev", "lan0")
	for _, want := range []string{"mtu 1400", "altname uplink", "alias the way out", "qlen 77", "02:00:00:00:00:01"} {
		if !strings.Contains(link, want) {
			t.Errorf("%q is not in\n%s\n%s", want, link, out)
		}
	}
	if !w.hasAddress("lan0", "10.2.0.5/24") || w.hasAddress("lan0", "10.1.0.5/24") {
		t.Errorf("the file of the new name does not count:\n%s", w.ip("addr"))
	}
	if other := w.ip("link", "show", "dev", "eth1"); !strings.Contains(other, "02:00:00:00:00:77") {
		t.Errorf("the second .link file does not count for the other link:\n%s", other)
	}
}

// TestBridgeAddress checks a deviation from systemd: a bridge without MACAddress= has the address of its member, so
// the server recognises the machine.
func TestBridgeAddress(t *testing.T) {
	t.Parallel()
	w, _ := served(t, 1, "--dhcp-host=02:00:00:00:00:01,10.9.0.77")
	w.online(w.wyrnet(map[string]string{
		"br.netdev":    "[NetDev]\nName=br0\nKind=bridge\n",
		"port.network": "[Match]\nName=eth0\n[Network]\nBridge=br0\n",
		"up.network":   "[Match]\nName=br0\n[Network]\nDHCP=ipv4\n",
	}), 30*time.Second)
	if !w.hasAddress("br0", "10.9.0.77/24") {
		t.Errorf("the server does not know the bridge:\n%s", w.ip("addr"))
	}
}

// TestRequired checks that a link with RequiredForOnline=no does not make the machine online.
func TestRequired(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 1)
	w.peer(0)
	files := map[string]string{"a.network": "[Match]\nName=eth0\n[Link]\nRequiredForOnline=no\n[Network]\n" +
		"Address=10.1.0.5/24\nGateway=10.1.0.1\nDNS=10.1.0.1\n"}
	p := w.wyrnet(files, "-t", "4s")
	<-p.done
	if p.err == nil {
		t.Errorf("wyrnet calls this online:\n%s", p.output())
	}
}
