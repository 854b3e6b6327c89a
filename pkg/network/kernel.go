package network

import (
	"context"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// kernel is what the loop sees and changes. The real one is linux; tests have one of their own.
type kernel interface {
	// watch returns a channel that gets a value when a link or an address may have changed, until ctx ends.
	watch(ctx context.Context) (<-chan struct{}, error)
	// look returns all links with their addresses. After netlink.ErrDumpInterrupted some of them may be missing.
	look() ([]device, error)
	// describe fills in what look leaves out, for it seldom changes: the type, the driver and the path of the hardware.
	describe(d *device)
	// names returns the names that systemd would give a link.
	names(link string) predictable
	// sysctl returns a setting below /proc/sys/net/FAMILY/conf/LINK; "" if there is none.
	sysctl(family, link, key string) string
	// do makes a change.
	do(c *change) error

	open4(link string, clientPort, serverPort int) (socket4, error)
	open6(link string) (socket6, error)
	openRouters(index int) (routerSocket, error)
}

// device is what the kernel says of a link.
type device struct {
	netconf.Device
	index, master int
	mtu           int
	flags         uint32 // IFF_*: linux/if.h
	addrs         []ifAddr
	ownTable      uint32 // of a VRF
	vrfTable      uint32 // of the VRF that the configuration puts the link into
	broadcasts    bool   // Ethernet or InfiniBand: DHCP and router discovery are defined here for no other link
	ipv6          bool   // the kernel has IPv6
}

// ifAddr is an address that a link has.
type ifAddr struct {
	prefix netip.Prefix
	flags  uint32 // IFA_F_*: linux/if_addr.h
}

// carrier reports whether frames can pass, as far as the kernel knows.
func (d *device) carrier() bool {
	const need = unix.IFF_UP | unix.IFF_LOWER_UP
	return d.flags&need == need && d.flags&unix.IFF_DORMANT == 0
}

// up reports whether the link is brought up.
func (d *device) up() bool { return d.flags&unix.IFF_UP != 0 }

// loopback reports whether the link is the one to the machine itself.
func (d *device) loopback() bool { return d.flags&unix.IFF_LOOPBACK != 0 }

// usable reports whether the kernel lets the address be used: it does not while duplicate address detection runs, nor
// after that has found another machine with the address.
func (a ifAddr) usable() bool {
	return a.flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 || a.flags&unix.IFA_F_OPTIMISTIC != 0
}

// linkLocalReady reports whether the link has an IPv6 link-local address that passed duplicate address detection.
func (d *device) linkLocalReady() bool {
	return slices.ContainsFunc(d.addrs, func(a ifAddr) bool {
		ip := a.prefix.Addr()
		return ip.Is6() && ip.IsLinkLocalUnicast() && a.flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0
	})
}

// find returns the address with its flags, if the link has it.
func (d *device) find(ip netip.Addr) (ifAddr, bool) {
	i := slices.IndexFunc(d.addrs, func(a ifAddr) bool { return a.prefix.Addr() == ip })
	if i < 0 {
		return ifAddr{}, false
	}
	return d.addrs[i], true
}
