package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// change is one change to the kernel's state: what is done, to which link, and with which arguments. One type with a
// verb makes the busybox 40 kB smaller than a type for each change.
type change struct {
	verb verb
	target
	key, value string
	number     int
	into       target // the master
	mac        net.HardwareAddr
	address    *address
	route, old *route // old is the route to be refreshed
	rule       *netconf.Rule
	neighbor   *netconf.Neighbor
	device     *netconf.NetDevConfig
	hardware   *netconf.Ethtool
}

// target is the link that a change is made to.
type target struct {
	index int
	name  string
}

func (d *device) target() target { return target{d.index, d.Name} }

func (t target) link() netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: t.name, Index: t.index}}
}

// verb is what a change does.
type verb int

const (
	verbSetMAC verb = iota
	verbSetMTU
	verbSetFlag
	verbSetGroup
	verbSetAlias
	verbSetTxQueue
	verbRename
	verbAddAltName
	verbLinkUp
	verbLinkDown
	verbEnslave
	verbSetFile
	verbSetGenMode
	verbSetSysctl
	verbSetEthtool
	verbMakeDevice
	verbNewAddress
	verbDropAddress
	verbNewRoute
	verbRefreshRoute
	verbDropRoute
	verbNewRule
	verbNewNeighbor
)

func setMAC(t target, mac net.HardwareAddr) *change {
	return &change{verb: verbSetMAC, target: t, mac: mac}
}

func setMTU(t target, mtu int) *change { return &change{verb: verbSetMTU, target: t, number: mtu} }

// setFlag switches ARP, multicast, all-multicast or promiscuous mode.
func setFlag(t target, flag string, on bool) *change {
	return &change{verb: verbSetFlag, target: t, key: flag, value: digit(on)}
}

func setGroup(t target, group int) *change {
	return &change{verb: verbSetGroup, target: t, number: group}
}

func setAlias(t target, alias string) *change {
	return &change{verb: verbSetAlias, target: t, value: alias}
}

func setTxQueue(t target, packets int) *change {
	return &change{verb: verbSetTxQueue, target: t, number: packets}
}

func rename(t target, to string) *change { return &change{verb: verbRename, target: t, value: to} }

func addAltName(t target, name string) *change {
	return &change{verb: verbAddAltName, target: t, value: name}
}

func linkUp(t target) *change { return &change{verb: verbLinkUp, target: t} }

func linkDown(t target) *change { return &change{verb: verbLinkDown, target: t} }

// enslave puts the link into a bond, a bridge or a VRF.
func enslave(t, into target) *change { return &change{verb: verbEnslave, target: t, into: into} }

// setFile writes a file of sysfs: a setting of a bond, a bridge or a bridge port.
func setFile(t target, path, value string) *change {
	return &change{verb: verbSetFile, target: t, key: path, value: value}
}

// setGenMode sets how the kernel makes the IPv6 link-local address: IFLA_INET6_ADDR_GEN_MODE.
func setGenMode(t target, mode int) *change {
	return &change{verb: verbSetGenMode, target: t, number: mode}
}

// setSysctl writes a file below /proc/sys/net/FAMILY/conf/LINK; path is FAMILY/KEY.
func setSysctl(t target, path, value string) *change {
	return &change{verb: verbSetSysctl, target: t, key: path, value: value}
}

// makeDevice makes what a .netdev file describes, over the link with the index parent if it is a stacked device.
func makeDevice(c *netconf.NetDevConfig, parent int) *change {
	return &change{verb: verbMakeDevice, device: c, number: parent}
}

func newAddress(t target, a *address) *change {
	return &change{verb: verbNewAddress, target: t, address: a}
}

func dropAddress(t target, a *address) *change {
	return &change{verb: verbDropAddress, target: t, address: a}
}

func newRoute(t target, r *route) *change { return &change{verb: verbNewRoute, target: t, route: r} }

// refreshRoute gives a route that is there a new expiry.
func refreshRoute(t target, old, r *route) *change {
	return &change{verb: verbRefreshRoute, target: t, route: r, old: old}
}

func dropRoute(t target, r *route) *change { return &change{verb: verbDropRoute, target: t, route: r} }

func newRule(r *netconf.Rule, family int) *change {
	return &change{verb: verbNewRule, rule: r, number: family}
}

func newNeighbor(t target, n *netconf.Neighbor) *change {
	return &change{verb: verbNewNeighbor, target: t, neighbor: n}
}

// bringUp is the change that fails when the kernel cannot bring a link up, because firmware is missing for example.
const bringUp = "bring it up"

func putInto(master string) string { return "put it into " + master }

// String says what the change does, in words that follow "cannot".
func (c *change) String() string {
	switch c.verb {
	case verbSetMTU:
		return fmt.Sprintf("set the MTU to %d", c.number)
	case verbRename:
		return fmt.Sprintf("rename it to %q", c.value)
	case verbAddAltName:
		return fmt.Sprintf("add the name %q", c.value)
	case verbEnslave:
		return putInto(c.into.name)
	case verbSetSysctl:
		if key := filepath.Base(c.key); key != "stable_secret" { // which must stay secret
			return fmt.Sprintf("set %s to %s", key, c.value)
		}
	case verbMakeDevice:
		return "make " + c.device.Device
	case verbNewAddress:
		return "set the address " + c.address.prefix.String()
	case verbDropAddress:
		return "remove the address " + c.address.prefix.String()
	case verbNewRoute, verbRefreshRoute:
		return "set the route " + c.route.String()
	case verbDropRoute:
		return "remove the route " + c.route.String()
	case verbNewNeighbor:
		return "set the neighbour " + c.neighbor.Address.String()
	case verbSetEthtool:
		return c.key
	}
	if words := plainWords[c.verb]; words != "" {
		return words
	}
	return "set " + filepath.Base(c.key)
}

// plainWords are the words of the changes that need no argument in them.
var plainWords = [...]string{
	verbSetMAC: "set the hardware address", verbSetGroup: "set the group", verbSetAlias: "set the alias",
	verbSetTxQueue: "set the queue length", verbLinkUp: bringUp, verbLinkDown: "take it down",
	verbSetGenMode: "set the way of IPv6 link-local addresses", verbNewRule: "add a routing policy rule",
	verbNewNeighbor: "",
}

// make makes the change.
func (c *change) make() error {
	switch c.verb {
	case verbSetMAC:
		return netlink.LinkSetHardwareAddr(c.link(), c.mac)
	case verbSetMTU:
		return netlink.LinkSetMTU(c.link(), c.number)
	case verbSetFlag:
		return c.setFlag()
	case verbSetGroup:
		return netlink.LinkSetGroup(c.link(), c.number)
	case verbSetAlias:
		return netlink.LinkSetAlias(c.link(), c.value)
	case verbSetTxQueue:
		return netlink.LinkSetTxQLen(c.link(), c.number)
	case verbRename:
		return netlink.LinkSetName(c.link(), c.value)
	case verbAddAltName:
		return netlink.LinkAddAltName(c.link(), c.value)
	case verbLinkUp:
		return netlink.LinkSetUp(c.link())
	case verbLinkDown:
		return netlink.LinkSetDown(c.link())
	case verbEnslave:
		return netlink.LinkSetMaster(c.link(), c.into.link())
	case verbSetFile:
		return os.WriteFile(filepath.Join("/sys/class/net", c.key), []byte(c.value), 0)
	case verbSetGenMode:
		return netlink.LinkSetIP6AddrGenMode(c.link(), c.number)
	case verbSetSysctl:
		family, key := filepath.Split(c.key)
		return os.WriteFile(sysctlPath(family, c.name, key), []byte(c.value), 0)
	}
	return c.makeMore()
}

// makeMore makes the changes that are more than one call of the netlink library.
func (c *change) makeMore() error {
	switch c.verb {
	case verbSetEthtool:
		return c.setEthtool()
	case verbMakeDevice:
		dev, err := netDevLink(c.device, c.number)
		if err != nil {
			return err
		}
		return netlink.LinkAdd(dev)
	case verbNewAddress:
		return execute(newAddressRequest(c.index, c.address, time.Now()))
	case verbDropAddress:
		return unless(execute(addressRequest(unix.RTM_DELADDR, 0, c.index, c.address)), unix.EADDRNOTAVAIL, unix.ENODEV)
	case verbNewRoute:
		return addRoute(c.index, c.route)
	case verbRefreshRoute:
		// To add the route once more sets its expiry, although the kernel answers EEXIST (fib6_add_rt2node in
		// net/ipv6/ip6_fib.c). To replace it would take away the routes of the same metric through other routers.
		if c.old.expires.IsZero() { // the kernel gives no end to a route that had none
			if err := removeRoute(c.index, c.old); err != nil {
				return err
			}
		}
		return addRoute(c.index, c.route)
	case verbDropRoute:
		return removeRoute(c.index, c.route)
	case verbNewRule:
		return unless(netlink.RuleAdd(rule(c.rule, c.number)), unix.EEXIST)
	}
	n := c.neighbor
	return netlink.NeighSet(&netlink.Neigh{
		LinkIndex: c.index, Family: family(n.Address), State: netlink.NUD_PERMANENT,
		IP: n.Address.AsSlice(), HardwareAddr: n.MAC,
	})
}

func (c *change) setFlag() error {
	set := netlink.SetPromiscOff
	switch c.key + c.value {
	case "ARP0":
		set = netlink.LinkSetARPOff
	case "ARP1":
		set = netlink.LinkSetARPOn
	case "multicast0":
		set = netlink.LinkSetMulticastOff
	case "multicast1":
		set = netlink.LinkSetMulticastOn
	case "all-multicast0":
		set = netlink.LinkSetAllmulticastOff
	case "all-multicast1":
		set = netlink.LinkSetAllmulticastOn
	case "promiscuous mode1":
		set = netlink.SetPromiscOn
	}
	return set(c.link())
}

// digit returns the form in which sysfs takes a switch.
func digit(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// unless drops an error that says that the kernel is there already.
func unless(err error, fine ...unix.Errno) error {
	for _, f := range fine {
		if errors.Is(err, f) {
			return nil
		}
	}
	return err
}

// addRoute adds the route beside others: two that differ in the gateway alone are both kept, as with systemd-networkd.
func addRoute(index int, r *route) error {
	const flags = unix.NLM_F_CREATE | unix.NLM_F_APPEND
	return unless(execute(routeRequest(unix.RTM_NEWROUTE, flags, index, r, time.Now())), unix.EEXIST)
}

func removeRoute(index int, r *route) error {
	return unless(execute(routeRequest(unix.RTM_DELROUTE, 0, index, r, time.Time{})), unix.ESRCH, unix.ENODEV)
}
