package network

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// stacked reports whether the device is made on top of another one, whose .network file names it.
func stacked(c *netconf.NetDevConfig) bool {
	switch c.Kind {
	case "vlan", "macvlan", "macvtap", "ipvlan":
		return true
	case "vxlan":
		return !c.VXLAN.Independent
	}
	return false
}

// makeNetDevs makes the devices that are not stacked.
func (m *Manager) makeNetDevs() {
	m.devices, _ = m.kernel.look() // without the list, making a device that exists fails
	for _, c := range m.conf.NetDevs {
		if stacked(c) || !c.Match.FitsHost(m.host) {
			continue
		}
		if err := m.makeNetDev(c, 0); err != nil {
			m.logf("%s.netdev: cannot make the %s %s: %v", c.Name, c.Kind, c.Device, err)
		}
	}
}

// netDev finds the .netdev file of a device.
func (m *Manager) netDev(device string) *netconf.NetDevConfig {
	for _, c := range m.conf.NetDevs {
		if c.Device == device && c.Match.FitsHost(m.host) {
			return c
		}
	}
	return nil
}

// makeNetDev makes the device, over the link with the index parent if it is a stacked one. A device of the same name
// and kind is used as it is.
func (m *Manager) makeNetDev(c *netconf.NetDevConfig, parent int) error {
	if d := m.device(c.Device); d != nil {
		if d.Kind != c.Kind {
			return fmt.Errorf("there is a %s of that name already", cmp.Or(d.Kind, "device"))
		}
		return nil
	}
	err := m.kernel.do(makeDevice(c, parent))
	if errors.Is(err, unix.EOPNOTSUPP) && m.Modules != nil { // the kernel has nobody who loads the module
		if err := m.Modules("rtnl-link-" + c.Kind); err != nil {
			return err
		}
		err = m.kernel.do(makeDevice(c, parent))
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		return errors.New("this kernel has no such devices")
	}
	if err != nil {
		return err
	}
	made := device{}
	made.Name, made.Kind = c.Device, c.Kind
	m.devices = append(m.devices, made)
	m.again()
	m.setOptions(c, "bonding", c.Bond)
	m.setOptions(c, "bridge", c.Bridge)
	return nil
}

// setOptions sets options of a bond or a bridge. The device is used without an option that cannot be set.
func (m *Manager) setOptions(c *netconf.NetDevConfig, dir string, options []netconf.Option) {
	for _, o := range options {
		path := filepath.Join(c.Device, dir, o.Name)
		if err := m.kernel.do(setFile(target{}, path, o.Value)); err != nil {
			m.logf("%s.netdev: cannot set %s of %s to %s: %v", c.Name, o.Name, c.Device, o.Value, err)
		}
	}
}

// netDevLink converts the device to the netlink library's form.
func netDevLink(c *netconf.NetDevConfig, parent int) (netlink.Link, error) {
	a := netlink.NewLinkAttrs()
	a.Name, a.HardwareAddr, a.ParentIndex = c.Device, c.MAC, parent
	if c.MTU != 0 {
		a.MTU = c.MTU
	}
	switch c.Kind {
	case "dummy":
		return &netlink.Dummy{LinkAttrs: a}, nil
	case "bridge":
		return &netlink.Bridge{LinkAttrs: a}, nil
	case "bond":
		return netlink.NewLinkBond(a), nil
	case "vrf":
		return &netlink.Vrf{LinkAttrs: a, Table: c.Table}, nil
	case "veth":
		return &netlink.Veth{LinkAttrs: a, PeerName: c.Peer.Name, PeerHardwareAddr: c.Peer.MAC}, nil
	case "vlan":
		v := &netlink.Vlan{LinkAttrs: a, VlanId: c.VLAN.ID, ReorderHdr: c.VLAN.ReorderHeader, Gvrp: c.VLAN.GVRP,
			Mvrp: c.VLAN.MVRP, LooseBinding: c.VLAN.LooseBinding,
			EgressQosMap: c.VLAN.Egress, IngressQosMap: c.VLAN.Ingress, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
		if c.VLAN.Protocol == "802.1ad" {
			v.VlanProtocol = netlink.VLAN_PROTOCOL_8021AD
		}
		return v, nil
	case "macvlan", "macvtap":
		mode, ok := macvlanMode(c.Mode)
		if !ok {
			return nil, fmt.Errorf("unknown mode %q", c.Mode)
		}
		v := netlink.Macvlan{LinkAttrs: a, Mode: mode}
		if c.Kind == "macvtap" {
			return &netlink.Macvtap{Macvlan: v}, nil
		}
		return &v, nil
	case "ipvlan":
		return ipvlan(a, c), nil
	case "vxlan":
		return vxlan(a, &c.VXLAN, parent), nil
	}
	return nil, fmt.Errorf("unknown kind %q", c.Kind)
}

func macvlanMode(s string) (mode netlink.MacvlanMode, ok bool) {
	switch s {
	case "":
		return netlink.MACVLAN_MODE_DEFAULT, true
	case "private":
		return netlink.MACVLAN_MODE_PRIVATE, true
	case "vepa":
		return netlink.MACVLAN_MODE_VEPA, true
	case "bridge":
		return netlink.MACVLAN_MODE_BRIDGE, true
	case "passthru":
		return netlink.MACVLAN_MODE_PASSTHRU, true
	case "source":
		return netlink.MACVLAN_MODE_SOURCE, true
	}
	return 0, false
}

// ipvlan has the mode L2 and the flag bridge unless the file says otherwise.
func ipvlan(a netlink.LinkAttrs, c *netconf.NetDevConfig) *netlink.IPVlan {
	v := &netlink.IPVlan{LinkAttrs: a, Mode: netlink.IPVLAN_MODE_L2, Flag: netlink.IPVLAN_FLAG_BRIDGE}
	switch c.Mode {
	case "L3":
		v.Mode = netlink.IPVLAN_MODE_L3
	case "L3S":
		v.Mode = netlink.IPVLAN_MODE_L3S
	}
	switch c.Flags {
	case "private":
		v.Flag = netlink.IPVLAN_FLAG_PRIVATE
	case "vepa":
		v.Flag = netlink.IPVLAN_FLAG_VEPA
	}
	return v
}

func vxlan(a netlink.LinkAttrs, x *netconf.VXLAN, parent int) *netlink.Vxlan {
	v := &netlink.Vxlan{LinkAttrs: a, VxlanId: x.VNI, VtepDevIndex: parent, TTL: x.TTL, TOS: x.TOS, Port: x.Port,
		PortLow: x.PortLow, PortHigh: x.PortHigh,
		Age: x.Ageing, Limit: x.Limit, Learning: x.Learning, Proxy: x.ARPProxy, RSC: x.RSC, L2miss: x.L2Miss,
		L3miss: x.L3Miss, GBP: x.GBP,
		UDPCSum: x.UDPCSum, UDP6ZeroCSumTx: x.ZeroCSumTx, UDP6ZeroCSumRx: x.ZeroCSumRx}
	v.LinkAttrs.ParentIndex = 0
	if x.Remote.IsValid() {
		v.Group = x.Remote.AsSlice()
	}
	if x.Group.IsValid() {
		v.Group = x.Group.AsSlice()
	}
	if x.Local.IsValid() {
		v.SrcAddr = x.Local.AsSlice()
	}
	return v
}
