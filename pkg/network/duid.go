package network

import (
	"encoding/binary"
	"net"
	"slices"

	"github.com/insomniacslk/dhcp/iana"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// infiniBandLen is the length of a hardware address of IP over InfiniBand: INFINIBAND_ALEN in linux/if_infiniband.h.
const infiniBandLen = 20

// lasting returns the type of hardware and the part of the address that stays the same after a boot. On InfiniBand
// that is the port's identifier at the end; a queue number stands before it (RFC 4391 section 9.1.1).
func lasting(mac net.HardwareAddr) (iana.HWType, net.HardwareAddr) {
	if len(mac) == infiniBandLen {
		return iana.HWTypeInfiniband, mac[infiniBandLen-8:]
	}
	return iana.HWTypeEthernet, mac
}

// duid returns the DHCP unique identifier (RFC 8415 section 11). Without configured bytes it is made of the hardware
// address, the only thing about the machine that the next boot finds again. That includes the types that systemd
// makes of the machine ID.
func duid(c netconf.DUID, mac net.HardwareAddr) []byte {
	if c.Raw != nil {
		return slices.Concat(binary.BigEndian.AppendUint16(nil, c.Number), c.Raw)
	}
	const linkLayer = 3
	kind, address := lasting(mac)
	return slices.Concat([]byte{0, linkLayer, byte(kind >> 8), byte(kind)}, address)
}

// iaid tells the links of one machine apart. It is the configured number, or the last four bytes of the hardware
// address.
func iaid(n *uint32, mac net.HardwareAddr) []byte {
	if n != nil {
		return binary.BigEndian.AppendUint32(nil, *n)
	}
	return slices.Clone(mac[max(0, len(mac)-4):])
}
