package network

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// minMTU6 is the least MTU of a link with IPv6: RFC 8200 section 5. The kernel takes IPv6 away from a link with less:
// addrconf_notify in net/ipv6/addrconf.c.
const minMTU6 = 1280

// minMTU4 is the least MTU that a lease can ask for: the client has to be able to take in messages of 576 bytes (RFC
// 2131 section 2), with the headers of IP and UDP before them. It is systemd-networkd's choice.
const minMTU4 = 576 + 20 + 8

// linkMTU is the MTU that a link gets whose file, or lease, asks for one. Like systemd-networkd it leaves room for
// IPv6, where the file does not do without.
func linkMTU(c *netconf.NetworkConfig, asked int) int {
	if asked == 0 || !usesIPv6(c) {
		return asked
	}
	return max(asked, minMTU6, mtu6(c))
}

// leaveRoom raises the MTUs that files ask for.
func leaveRoom(files []*netconf.NetworkConfig) {
	for _, c := range files {
		c.Link.MTU = linkMTU(c, c.Link.MTU)
	}
}

// kernelHasIPv6 reports whether there is anything to set: ipv6.disable=1 leaves nothing.
func kernelHasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

// usesIPv6 reports whether the link of the file may have IPv6 addresses.
func usesIPv6(c *netconf.NetworkConfig) bool {
	if c.Bond != "" {
		return false
	}
	return c.LinkLocal6 ||
		slices.ContainsFunc(c.Addresses, func(a netconf.Address) bool { return a.Prefix.Addr().Is6() }) ||
		slices.ContainsFunc(c.Neighbors, func(n netconf.Neighbor) bool { return n.Address.Is6() }) ||
		slices.ContainsFunc(c.Routes, func(r netconf.Route) bool {
			return r.GatewayFrom == "ipv6ra" || r.Gateway.Is6() || r.PreferredSource.Is6() ||
				r.Destination.Addr().Is6() || r.Source.Addr().Is6()
		})
}

// mtu6 is the MTU that the file gives to IPv6 alone; 0 if it gives none.
func mtu6(c *netconf.NetworkConfig) (mtu int) {
	for _, s := range c.Sysctl {
		if s.Family == "ipv6" && s.Key == "mtu" {
			mtu, _ = strconv.Atoi(s.Value)
		}
	}
	return mtu
}

// applyMTU follows the lease where the configuration says so.
func (l *link) applyMTU() {
	want := l.originMTU
	if l.lease4 != nil && l.conf.DHCPv4.UseMTU && l.lease4.mtu != 0 {
		want = max(l.lease4.mtu, minMTU4)
		if kernelHasIPv6() {
			want = linkMTU(l.conf, want)
		}
		if l.originMTU == 0 {
			l.originMTU = l.attrs.MTU
		}
	}
	if want == 0 || want == l.attrs.MTU {
		return
	}
	err := netlink.LinkSetMTU(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: l.name, Index: l.index}}, want)
	if err != nil {
		l.notice(fmt.Sprintf("cannot set the MTU to %d: %v", want, err))
	}
}

// applyIPv6 sets what the routers say of the link as a whole. The kernel forgets IPv6's MTU whenever the link's
// changes.
func (l *link) applyIPv6() {
	if !kernelHasIPv6() {
		return
	}
	mtu := 0
	if l.conf.RA.UseMTU {
		mtu = l.routers.mtu(l.attrs.MTU)
	}
	if own := mtu6(l.conf); mtu == 0 && own <= l.attrs.MTU {
		mtu = own
	}
	var hops uint8
	if l.conf.RA.UseHopLimit {
		hops = l.routers.hopLimit(l.ownHops)
	}
	if l.ownHops != 0 && len(l.routers) == 0 { // the cable leads elsewhere now: as it was before
		if mtu == 0 {
			mtu = l.attrs.MTU
		}
		hops, l.ownHops = l.ownHops, 0
	}
	l.keepSysctl("mtu", mtu)
	l.keepSysctl("hop_limit", int(hops))
}

// keepSysctl sets a number of IPv6 on the link, unless it is 0 or set already.
func (l *link) keepSysctl(key string, value int) {
	if want := fmt.Sprint(value); value != 0 && readSysctl("ipv6", l.name, key) != want {
		l.sysctl("ipv6", key, want)
	}
}

// readSysctl returns the setting of a link; "" if there is none.
func readSysctl(family, link, key string) string {
	b, _ := os.ReadFile(filepath.Join("/proc/sys/net", family, "conf", link, key))
	return strings.TrimSpace(string(b))
}
