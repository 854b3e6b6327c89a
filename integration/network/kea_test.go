package network_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// kea starts a DHCP server at the other end of link 0. version is 4 or 6, subnet is the content of the subnet's braces,
// and global holds what stands outside of them.
func (w *world) kea(version int, subnet string, global ...string) *process {
	w.t.Helper()
	more := ""
	for _, g := range global {
		more += g + ","
	}
	if version == 6 {
		more += `"server-id": { "type": "LL", "htype": 1, "identifier": "020000000101", "persist": false },`
	}
	conf := fmt.Sprintf(`{ "Dhcp%d": { %s
		"interfaces-config": { "interfaces": [ "peer0" ] }, "lease-database": { "type": "memfile", "persist": false },
		"loggers": [ { "name": "kea-dhcp%d", "severity": "INFO", "output_options": [ { "output": "stdout" } ] } ],
		"subnet%d": [ { "id": 1, "interface": "peer0", %s } ] } }`, version, more, version, version, subnet)
	path := filepath.Join(w.dir, fmt.Sprintf("kea%d.conf", version))
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		w.t.Fatal(err)
	}
	p := w.start(w.server, "env", "KEA_PIDFILE_DIR="+w.dir, "KEA_LOCKFILE_DIR="+w.dir,
		fmt.Sprintf("kea-dhcp%d", version), "-c", path)
	for range 100 {
		if strings.Contains(p.output(), "_STARTED") {
			return p
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.t.Fatalf("kea does not start:\n%s", p.output())
	return nil
}

// TestKeaPrefixAlone is TestPrefixAlone with kea, which delegates prefixes.
func TestKeaPrefixAlone(t *testing.T) {
	t.Parallel()
	needRoot(t, "kea-dhcp6", "radvd")
	w := newWorld(t, 1)
	w.peer(0, "2001:db8:1::1/64", "fe80::1/64")
	w.ip("link", "set", "eth0", "up") // kea does not listen on a link without a carrier
	w.kea(6, `"subnet": "2001:db8:1::/64",
		"pd-pools": [ { "prefix": "2001:db8:f::", "prefix-len": 48, "delegated-len": 56 } ],
		"option-data": [ { "name": "dns-servers", "data": "2001:db8:1::53" } ]`)
	w.radvd("interface peer0 { AdvSendAdvert on; AdvManagedFlag on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; " +
		"prefix 2001:db8:1::/64 {}; };")
	p := w.wyrnet(map[string]string{"lan.network": eth0File}, "-k")
	w.eventually("the name server is known",
		func() bool { return slices.Equal(w.resolvers(), []string{"2001:db8:1::53"}) })
	// On a busy host wyrnet may ask for the name server before kea has answered to the question for an address.
	w.eventually("wyrnet says that there is no address",
		func() bool { return strings.Contains(p.output(), "no address for this machine") })
}

// TestKea checks that leases of both versions are renewed by a server other than dnsmasq.
func TestKea(t *testing.T) {
	t.Parallel()
	needRoot(t, "kea-dhcp4", "kea-dhcp6", "radvd")
	w := newWorld(t, 1)
	w.peer(0, "10.9.0.1/24", "2001:db8:1::1/64", "fe80::1/64")
	w.ip("link", "set", "eth0", "up")
	kea4 := w.kea(4, `"subnet": "10.9.0.0/24", "valid-lifetime": 60, "renew-timer": 3, "rebind-timer": 40,
		"pools": [ { "pool": "10.9.0.50 - 10.9.0.90" } ],
		"option-data": [ { "name": "routers", "data": "10.9.0.1" }, { "name": "domain-name-servers", "data": "10.9.0.3" } ]`)
	kea6 := w.kea(6, `"subnet": "2001:db8:1::/64", "valid-lifetime": 60, "preferred-lifetime": 50,
		"renew-timer": 3, "rebind-timer": 40,
		"pools": [ { "pool": "2001:db8:1::100 - 2001:db8:1::1ff" } ],
		"option-data": [ { "name": "dns-servers", "data": "2001:db8:1::53" } ]`)
	w.radvd("interface peer0 { AdvSendAdvert on; AdvManagedFlag on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; };")
	p := w.wyrnet(nil, "-k")
	renewed := func(kea *process, word string, times int) func() bool {
		return func() bool { return strings.Count(kea.output(), word) >= times }
	}
	w.eventually("the DHCPv4 lease was renewed twice", renewed(kea4, "DHCP4_LEASE_ALLOC", 3))
	w.eventually("the DHCPv6 lease was renewed", renewed(kea6, "DHCP6_LEASE_RENEW", 1))
	if got := w.resolvers(); !slices.Equal(got, []string{"10.9.0.3", "2001:db8:1::53"}) ||
		strings.Contains(p.output(), "ran out") || strings.Contains(p.output(), "took") {
		t.Errorf("resolv.conf has %q\n%s", got, p.output())
	}
}
