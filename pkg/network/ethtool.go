package network

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// ethtool sends ethtool netlink messages about one link (Documentation/networking/ethtool-netlink.rst).
type ethtool struct {
	family uint16
	index  int
}

// errNoEthtool means that the kernel cannot change any hardware setting.
var errNoEthtool = errors.New("this kernel has no ethtool netlink")

func newEthtool(index int) (ethtool, error) {
	f, err := netlink.GenlFamilyGet("ethtool")
	if err != nil {
		return ethtool{}, fmt.Errorf("%w: %w", errNoEthtool, err)
	}
	return ethtool{f.ID, index}, nil
}

// The groups of settings, each of which is one message. The text says what the message does.
const (
	ethtoolSpeed    = "set the speed"
	ethtoolWake     = "set what wakes it up"
	ethtoolOffloads = "set the offloads"
	ethtoolRings    = "set the size of the rings"
	ethtoolPause    = "set flow control"
)

// ethtoolChanges returns the changes that a .link file makes to the hardware.
func ethtoolChanges(t target, c *netconf.Ethtool) []*change {
	var out []*change
	add := func(part string, set bool) {
		if set {
			out = append(out, &change{verb: verbSetEthtool, target: t, key: part, hardware: c})
		}
	}
	add(ethtoolSpeed, c.AutoNeg != nil || c.Speed != 0 || c.Duplex != "")
	add(ethtoolWake, c.WakeOn != nil)
	add(ethtoolOffloads, len(c.Offload) > 0)
	add(ethtoolRings, c.RxRing != 0 || c.RxMiniRing != 0 || c.RxJumboRing != 0 || c.TxRing != 0)
	add(ethtoolPause, c.RxPause != nil || c.TxPause != nil || c.AutoPause != nil)
	return out
}

// setEthtool makes one group of settings.
func (c *change) setEthtool() error {
	e, err := newEthtool(c.index)
	if err != nil {
		return err
	}
	var command uint8
	var attrs []*nl.RtAttr
	switch c.key {
	case ethtoolSpeed:
		command, attrs = unix.ETHTOOL_MSG_LINKMODES_SET, linkModes(*c.hardware)
	case ethtoolWake:
		command, attrs = unix.ETHTOOL_MSG_WOL_SET, []*nl.RtAttr{wakeModes(*c.hardware.WakeOn)}
	case ethtoolOffloads:
		command, attrs = unix.ETHTOOL_MSG_FEATURES_SET, []*nl.RtAttr{wantedFeatures(c.hardware.Offload)}
	case ethtoolRings:
		command = unix.ETHTOOL_MSG_RINGS_SET
		if attrs, err = e.rings(*c.hardware); err != nil {
			return fmt.Errorf("cannot find out how large they may be: %w", err)
		}
	case ethtoolPause:
		command, attrs = unix.ETHTOOL_MSG_PAUSE_SET, switches([]switched{
			{unix.ETHTOOL_A_PAUSE_RX, c.hardware.RxPause},
			{unix.ETHTOOL_A_PAUSE_TX, c.hardware.TxPause},
			{unix.ETHTOOL_A_PAUSE_AUTONEG, c.hardware.AutoPause},
		})
	}
	if len(attrs) == 0 {
		return nil
	}
	_, err = e.send(command, attrs...)
	return err
}

// send executes a request about the link and returns the attributes of the kernel's answer, without headers.
func (e ethtool) send(command uint8, attrs ...*nl.RtAttr) ([]byte, error) {
	request := nl.NewNetlinkRequest(int(e.family), unix.NLM_F_ACK)
	request.AddData(&nl.Genlmsg{Command: command, Version: 1})
	header := nl.NewRtAttr(1|unix.NLA_F_NESTED, nil) // ETHTOOL_A_*_HEADER is 1 in all messages
	header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_INDEX, nl.Uint32Attr(uint32(e.index)))
	request.AddData(header)
	for _, a := range attrs {
		request.AddData(a)
	}
	answers, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil || len(answers) == 0 {
		return nil, err
	}
	if len(answers[0]) < nl.SizeofGenlmsg {
		return nil, errors.New("the kernel's answer is too short")
	}
	return answers[0][nl.SizeofGenlmsg:], nil
}

func linkModes(c netconf.Ethtool) []*nl.RtAttr {
	out := switches([]switched{{unix.ETHTOOL_A_LINKMODES_AUTONEG, c.AutoNeg}})
	if c.Speed != 0 {
		out = append(out, nl.NewRtAttr(unix.ETHTOOL_A_LINKMODES_SPEED, nl.Uint32Attr(c.Speed)))
	}
	switch c.Duplex { // DUPLEX_HALF and DUPLEX_FULL
	case "half":
		out = append(out, nl.NewRtAttr(unix.ETHTOOL_A_LINKMODES_DUPLEX, nl.Uint8Attr(0)))
	case "full":
		out = append(out, nl.NewRtAttr(unix.ETHTOOL_A_LINKMODES_DUPLEX, nl.Uint8Attr(1)))
	}
	return out
}

// wakeModes returns the whole set of events that wake up the machine.
func wakeModes(bits uint32) *nl.RtAttr {
	set := nl.NewRtAttr(unix.ETHTOOL_A_WOL_MODES|unix.NLA_F_NESTED, nil)
	set.AddRtAttr(unix.ETHTOOL_A_BITSET_NOMASK, nil)
	list := set.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS|unix.NLA_F_NESTED, nil)
	for i := range uint32(32) {
		if bits&(1<<i) != 0 {
			list.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS_BIT|unix.NLA_F_NESTED,
				nil).AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_INDEX, nl.Uint32Attr(i))
		}
	}
	return set
}

// wantedFeatures switches features on and off by name. The kernel ignores features that the device does not have.
func wantedFeatures(list []netconf.Offload) *nl.RtAttr {
	set := nl.NewRtAttr(unix.ETHTOOL_A_FEATURES_WANTED|unix.NLA_F_NESTED, nil)
	bits := set.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS|unix.NLA_F_NESTED, nil)
	for _, o := range list {
		bit := bits.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS_BIT|unix.NLA_F_NESTED, nil)
		bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_NAME, nl.ZeroTerminated(o.Name))
		if o.On {
			bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_VALUE, nil)
		}
	}
	return set
}

// switched is an attribute of one byte: on, off, or not sent.
type switched struct {
	attr int
	on   *bool
}

func switches(list []switched) []*nl.RtAttr {
	var out []*nl.RtAttr
	for _, s := range list {
		if s.on == nil {
			continue
		}
		value := uint8(0)
		if *s.on {
			value = 1
		}
		out = append(out, nl.NewRtAttr(s.attr, nl.Uint8Attr(value)))
	}
	return out
}

// rings returns the ring sizes to set. If one is to be as large as possible, it asks the kernel for the limits first.
func (e ethtool) rings(c netconf.Ethtool) (out []*nl.RtAttr, err error) {
	most := map[uint16]uint32{}
	for _, r := range []struct {
		size      uint32
		attr, max uint16
	}{
		{c.RxRing, unix.ETHTOOL_A_RINGS_RX, unix.ETHTOOL_A_RINGS_RX_MAX},
		{c.RxMiniRing, unix.ETHTOOL_A_RINGS_RX_MINI, unix.ETHTOOL_A_RINGS_RX_MINI_MAX},
		{c.RxJumboRing, unix.ETHTOOL_A_RINGS_RX_JUMBO, unix.ETHTOOL_A_RINGS_RX_JUMBO_MAX},
		{c.TxRing, unix.ETHTOOL_A_RINGS_TX, unix.ETHTOOL_A_RINGS_TX_MAX},
	} {
		if r.size == netconf.RingMax {
			if len(most) == 0 {
				if most, err = e.largestRings(); err != nil {
					return nil, err
				}
			}
			r.size = most[r.max]
		}
		if r.size != 0 {
			out = append(out, nl.NewRtAttr(int(r.attr), nl.Uint32Attr(r.size)))
		}
	}
	return out, nil
}

// largestRings returns the sizes that the hardware allows, by attribute.
func (e ethtool) largestRings() (map[uint16]uint32, error) {
	answer, err := e.send(unix.ETHTOOL_MSG_RINGS_GET)
	if err != nil {
		return nil, err
	}
	attrs, err := nl.ParseRouteAttr(answer)
	if err != nil {
		return nil, err
	}
	out := map[uint16]uint32{}
	for _, a := range attrs {
		if len(a.Value) == 4 {
			out[a.Attr.Type] = binary.NativeEndian.Uint32(a.Value)
		}
	}
	return out, nil
}
