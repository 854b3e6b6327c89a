package network

import (
	"encoding/binary"
	"net"
	"slices"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// duid is the DHCP unique identifier (RFC 8415 section 11). Where the configuration gives no bytes it is made of the
// hardware address, which is the one thing about the machine that the next boot finds again; that is true of the types
// that systemd makes of the machine id, too.
func duid(c netconf.DUID, mac net.HardwareAddr) []byte {
	const ethernet = 1
	if c.Raw != nil {
		return slices.Concat(binary.BigEndian.AppendUint16(nil, c.Number), c.Raw)
	}
	return slices.Concat([]byte{0, 3, 0, ethernet}, mac)
}

// iaid tells the links of one machine apart: the configured number, or the lower half of the hardware address.
func iaid(n *uint32, mac net.HardwareAddr) []byte {
	if n != nil {
		return binary.BigEndian.AppendUint32(nil, *n)
	}
	return slices.Clone(mac[max(0, len(mac)-4):])
}
