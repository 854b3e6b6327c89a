package netconf

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Ethtool has the hardware settings of a .link file, in the terms of ethtool(8) and linux/ethtool.h. A setting that
// is nil or zero stays as it is.
type Ethtool struct {
	AutoNeg *bool
	Speed   uint32    // Mbit/s
	Duplex  string    // half or full
	WakeOn  *uint32   // WAKE_* bits; 0: off
	Offload []Offload // each name once

	RxRing, RxMiniRing, RxJumboRing, TxRing uint32 // entries; RingMax: the most that the hardware has

	RxPause, TxPause, AutoPause *bool
}

// RingMax stands for the largest size that the hardware has.
const RingMax = math.MaxUint32

// Offload switches one offload feature, by the kernel's name for it (ethtool -k).
type Offload struct {
	Name string
	On   bool
}

// checksums are the kernel's features for TransmitChecksumOffload. A device has some of them.
var checksums = []string{"tx-checksum-ipv4", "tx-checksum-ip-generic", "tx-checksum-ipv6", "tx-checksum-fcoe-crc",
	"tx-checksum-sctp"}

// wakeWords are the words of WakeOnLan in the order of their bits WAKE_*. The word off has no bit.
var wakeWords = []string{"phy", "unicast", "multicast", "broadcast", "arp", "magic", "secureon"}

// WakeWords returns WakeOn as words of WakeOnLan.
func (e Ethtool) WakeWords() []string {
	var out []string
	for i, w := range wakeWords {
		if e.WakeOn != nil && *e.WakeOn&(1<<i) != 0 {
			out = append(out, w)
		}
	}
	return out
}

// ethtoolKeys are the keys of [Link] in a .link file for hardware settings.
func ethtoolKeys() []key[LinkConfig] {
	type l = LinkConfig
	offload := func(names ...string) func(*l, string) error {
		return func(c *l, s string) error {
			e := &c.Ethtool
			rest := slices.DeleteFunc(slices.Clone(e.Offload),
				func(o Offload) bool { return slices.Contains(names, o.Name) })
			if s == "" {
				e.Offload = rest
				return nil
			}
			on, err := parseBool(s)
			if err != nil {
				return err
			}
			e.Offload = rest
			for _, n := range names {
				e.Offload = append(e.Offload, Offload{n, on})
			}
			return nil
		}
	}
	ring := func(field func(*Ethtool) *uint32) func(*l, string) error {
		return func(c *l, s string) error {
			switch s {
			case "":
				*field(&c.Ethtool) = 0
				return nil
			case "max":
				*field(&c.Ethtool) = RingMax
				return nil
			}
			if err := number(func(c *l) *uint32 { return field(&c.Ethtool) }, 1, RingMax-1)(c, s); err != nil {
				return errors.New("neither a number of entries nor max")
			}
			return nil
		}
	}
	return []key[l]{
		{"AutoNegotiation", "negotiate speed and duplex with the other end",
			tristate(func(c *l) **bool { return &c.Ethtool.AutoNeg })},
		{"BitsPerSecond", "speed, in whole Mbit/s; K, M, G and T are powers of 1000", func(c *l, s string) (err error) {
			c.Ethtool.Speed, err = parseSpeed(s, c.Ethtool.Speed)
			return err
		}},
		{"Duplex", "`half` or `full`", oneOf(func(c *l) *string { return &c.Ethtool.Duplex }, "half", "full")},
		{"WakeOnLan",
			"`off`, `phy`, `unicast`, `multicast`, `broadcast`, `arp`, `magic`, `secureon` (without a password), " +
				"several", func(c *l, s string) error {
				if s == "" {
					c.Ethtool.WakeOn = nil
					return nil
				}
				var bits uint32
				if c.Ethtool.WakeOn != nil {
					bits = *c.Ethtool.WakeOn
				}
				for _, w := range strings.Fields(s) {
					i := slices.Index(wakeWords, w)
					if i < 0 && w != "off" {
						return errors.New("not a list of off, " + strings.Join(wakeWords, ", "))
					}
					if i >= 0 {
						bits |= 1 << i
					}
				}
				c.Ethtool.WakeOn = &bits
				return nil
			}},
		{"ReceiveChecksumOffload", "the hardware verifies checksums", offload("rx-checksum")},
		{"TransmitChecksumOffload", "the hardware computes checksums", offload(checksums...)},
		{"TCPSegmentationOffload", "TSO", offload("tx-tcp-segmentation")},
		{"TCP6SegmentationOffload", "TSO of IPv6", offload("tx-tcp6-segmentation")},
		{"UDPSegmentationOffload", "USO", offload("tx-udp-segmentation")},
		{"GenericSegmentationOffload", "GSO", offload("tx-generic-segmentation")},
		{"GenericReceiveOffload", "GRO", offload("rx-gro")},
		{"GenericReceiveOffloadHardware", "GRO by the hardware", offload("rx-gro-hw")},
		{"LargeReceiveOffload", "LRO", offload("rx-lro")},
		{"ReceiveVLANCTAGHardwareAcceleration", "the hardware removes VLAN tags", offload("rx-vlan-hw-parse")},
		{"TransmitVLANCTAGHardwareAcceleration", "the hardware adds VLAN tags", offload("tx-vlan-hw-insert")},
		{"ReceiveVLANCTAGFilter", "the hardware drops frames of VLANs that the machine does not use",
			offload("rx-vlan-filter")},
		{"TransmitVLANSTAGHardwareAcceleration", "the hardware adds 802.1ad tags",
			offload("tx-vlan-stag-hw-insert")},
		{"NTupleFilter", "n-tuple filters", offload("rx-ntuple-filter")},
		{"RxBufferSize", "entries of the receive ring, or `max`", ring(func(e *Ethtool) *uint32 { return &e.RxRing })},
		{"RxMiniBufferSize", "entries of the ring for small frames, or `max`",
			ring(func(e *Ethtool) *uint32 { return &e.RxMiniRing })},
		{"RxJumboBufferSize", "entries of the ring for jumbo frames, or `max`",
			ring(func(e *Ethtool) *uint32 { return &e.RxJumboRing })},
		{"TxBufferSize", "entries of the transmit ring, or `max`", ring(func(e *Ethtool) *uint32 { return &e.TxRing })},
		{"RxFlowControl", "obey pause frames", tristate(func(c *l) **bool { return &c.Ethtool.RxPause })},
		{"TxFlowControl", "send pause frames", tristate(func(c *l) **bool { return &c.Ethtool.TxPause })},
		{"AutoNegotiationFlowControl", "negotiate pause frames",
			tristate(func(c *l) **bool { return &c.Ethtool.AutoPause })},
	}
}

// parseSpeed reads bits per second and returns Mbit/s, rounded up. On an error it returns the old value.
func parseSpeed(s string, old uint32) (uint32, error) {
	digits, factor := s, uint64(1)
	for i, suffix := range []string{"K", "M", "G", "T"} {
		if d, found := strings.CutSuffix(s, suffix); found {
			digits = d
			for range i + 1 {
				factor *= 1000
			}
		}
	}
	const mega = 1000 * 1000
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n == 0 || n > math.MaxInt32*mega/factor {
		return old, errors.New("not a number of bits per second")
	}
	return uint32((n*factor + mega - 1) / mega), nil
}
