package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// target is the link that a change is made to.
type target struct {
	index int
	name  string
}

func (d device) target() target { return target{d.index, d.Name} }

func (t target) link() netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: t.name, Index: t.index}}
}

// The changes to a link as a whole.
type (
	setMAC struct {
		target
		mac net.HardwareAddr
	}
	setMTU struct {
		target
		mtu int
	}
	setFlag struct {
		target
		flag string // ARP, multicast, all-multicast or promiscuous mode
		on   bool
	}
	setGroup struct {
		target
		group uint32
	}
	setAlias struct {
		target
		alias string
	}
	setTxQueue struct {
		target
		packets uint32
	}
	rename struct {
		target
		to string
	}
	addAltName struct {
		target
		alt string
	}
	linkUp   struct{ target }
	linkDown struct{ target }
	// enslave puts the link into a bond, a bridge or a VRF.
	enslave struct {
		target
		into target
	}
	// setPort writes a file below /sys/class/net: a setting of a bridge port or of a bond.
	setPort struct {
		target
		path, value string
	}
	// setGenMode sets how the kernel makes the IPv6 link-local address.
	setGenMode struct {
		target
		mode int // IFLA_INET6_ADDR_GEN_MODE
	}
	setSysctl struct {
		target
		family, key, value string
	}
	// makeDevice makes what a .netdev file describes, over the link with the index parent if it is a stacked device.
	makeDevice struct {
		conf   *netconf.NetDevConfig
		parent int
	}
	// setOption writes a setting of a bond or a bridge.
	setOption struct {
		device, dir string
		option      netconf.Option
	}
)

func (setMAC) String() string       { return "set the hardware address" }
func (c setMTU) String() string     { return fmt.Sprintf("set the MTU to %d", c.mtu) }
func (c setFlag) String() string    { return "set " + c.flag }
func (setGroup) String() string     { return "set the group" }
func (setAlias) String() string     { return "set the alias" }
func (setTxQueue) String() string   { return "set the queue length" }
func (c rename) String() string     { return fmt.Sprintf("rename it to %q", c.to) }
func (c addAltName) String() string { return fmt.Sprintf("add the name %q", c.alt) }
func (linkUp) String() string       { return bringUp }
func (linkDown) String() string     { return "take it down" }
func (c enslave) String() string    { return putInto(c.into.name) }
func (c setPort) String() string    { return "set " + filepath.Base(c.path) }
func (setGenMode) String() string   { return "set the way of IPv6 link-local addresses" }
func (c makeDevice) String() string { return "make " + c.conf.Device }
func (c setOption) String() string {
	return fmt.Sprintf("set %s of %s to %s", c.option.Name, c.device, c.option.Value)
}
func (c setSysctl) String() string {
	if c.key == "stable_secret" { // it must stay secret
		return "set stable_secret"
	}
	return fmt.Sprintf("set %s to %s", c.key, c.value)
}

// bringUp is the change that fails when the kernel cannot bring a link up, because firmware is missing for example.
const bringUp = "bring it up"

func putInto(master string) string { return "put it into " + master }

func (c setMAC) make() error     { return netlink.LinkSetHardwareAddr(c.link(), c.mac) }
func (c setMTU) make() error     { return netlink.LinkSetMTU(c.link(), c.mtu) }
func (c setGroup) make() error   { return netlink.LinkSetGroup(c.link(), int(c.group)) }
func (c setAlias) make() error   { return netlink.LinkSetAlias(c.link(), c.alias) }
func (c setTxQueue) make() error { return netlink.LinkSetTxQLen(c.link(), int(c.packets)) }
func (c rename) make() error     { return netlink.LinkSetName(c.link(), c.to) }
func (c addAltName) make() error { return netlink.LinkAddAltName(c.link(), c.alt) }
func (c linkUp) make() error     { return netlink.LinkSetUp(c.link()) }
func (c linkDown) make() error   { return netlink.LinkSetDown(c.link()) }
func (c enslave) make() error    { return netlink.LinkSetMaster(c.link(), c.into.link()) }
func (c setPort) make() error {
	return os.WriteFile(filepath.Join("/sys/class/net", c.path), []byte(c.value), 0)
}
func (c setGenMode) make() error { return netlink.LinkSetIP6AddrGenMode(c.link(), c.mode) }
func (c setSysctl) make() error {
	return os.WriteFile(sysctlPath(c.family, c.name, c.key), []byte(c.value), 0)
}
func (c setOption) make() error {
	path := filepath.Join("/sys/class/net", c.device, c.dir, c.option.Name)
	return os.WriteFile(path, []byte(c.option.Value), 0)
}

func (c makeDevice) make() error {
	dev, err := netDevLink(c.conf, c.parent)
	if err != nil {
		return err
	}
	return netlink.LinkAdd(dev)
}

func (c setFlag) make() error {
	set := map[string][2]func(netlink.Link) error{ // off, on
		"ARP":              {netlink.LinkSetARPOff, netlink.LinkSetARPOn},
		"multicast":        {netlink.LinkSetMulticastOff, netlink.LinkSetMulticastOn},
		"all-multicast":    {netlink.LinkSetAllmulticastOff, netlink.LinkSetAllmulticastOn},
		"promiscuous mode": {netlink.SetPromiscOff, netlink.SetPromiscOn},
	}[c.flag]
	if c.on {
		return set[1](c.link())
	}
	return set[0](c.link())
}

// The changes to addresses, routes, rules and neighbours.
type (
	newAddress struct {
		target
		address address
	}
	dropAddress struct {
		target
		address address
	}
	newRoute struct {
		target
		route route
	}
	// refreshRoute gives a route that is there a new expiry.
	refreshRoute struct {
		target
		old, route route
	}
	dropRoute struct {
		target
		route route
	}
	newRule struct {
		rule   netconf.Rule
		family int
	}
	newNeighbor struct {
		target
		neighbor netconf.Neighbor
	}
)

func (c newAddress) String() string { return "set the address " + c.address.prefix.String() }
func (c dropAddress) String() string {
	return "take the address " + c.address.prefix.String() + " away"
}
func (c newRoute) String() string     { return "set the route " + c.route.String() }
func (c refreshRoute) String() string { return "set the route " + c.route.String() }
func (c dropRoute) String() string    { return "take the route " + c.route.String() + " away" }
func (newRule) String() string        { return "add a routing policy rule" }
func (c newNeighbor) String() string  { return "set the neighbour " + c.neighbor.Address.String() }

func (c newAddress) make() error {
	_, err := newAddressRequest(c.index, c.address, time.Now()).Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func (c dropAddress) make() error {
	_, err := addressRequest(unix.RTM_DELADDR, 0, c.index, c.address).Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil // it is gone already
	}
	return err
}

// make adds the route beside others: two that differ in the gateway alone are both kept, as with systemd-networkd.
func (c newRoute) make() error {
	const flags = unix.NLM_F_CREATE | unix.NLM_F_APPEND
	_, err := routeRequest(unix.RTM_NEWROUTE, flags, c.index, c.route, time.Now()).Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// make adds the route once more: that sets its expiry, although the kernel answers EEXIST (fib6_add_rt2node in
// net/ipv6/ip6_fib.c). To replace it would take away the routes of the same metric through other routers.
func (c refreshRoute) make() error {
	if c.old.expires.IsZero() { // the kernel gives no end to a route that had none
		if err := (dropRoute{c.target, c.old}).make(); err != nil {
			return err
		}
	}
	return newRoute{c.target, c.route}.make()
}

func (c dropRoute) make() error {
	_, err := routeRequest(unix.RTM_DELROUTE, 0, c.index, c.route, time.Time{}).Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func (c newRule) make() error {
	if err := netlink.RuleAdd(rule(c.rule, c.family)); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func (c newNeighbor) make() error {
	n := c.neighbor
	return netlink.NeighSet(&netlink.Neigh{
		LinkIndex: c.index, Family: family(n.Address), State: netlink.NUD_PERMANENT,
		IP: n.Address.AsSlice(), HardwareAddr: n.MAC,
	})
}

// String returns the destination and the gateway.
func (r route) String() string {
	s := "default"
	if r.dst.IsValid() {
		s = r.dst.String()
	}
	if r.gateway.IsValid() {
		s += " via " + r.gateway.String()
	}
	return s
}

// digit returns the form in which sysfs takes a switch.
func digit(on bool) string { return strconv.Itoa(map[bool]int{true: 1}[on]) }
