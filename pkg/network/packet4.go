package network

import (
	"errors"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// The layout of a message: RFC 2131 section 2.
const (
	sname4   = 44
	file4    = 108
	options4 = 240 // behind the magic cookie
)

// Values of the option overload: RFC 2132 section 9.3.
const (
	overloadFile  = 1
	overloadSname = 2
)

// lengths4 is the length of each option that has one value. With another length the option is malformed, and if there
// are two the last counts, as with systemd: only longer values may be split.
var lengths4 = map[uint8]int{
	dhcpv4.OptionSubnetMask.Code():         4,
	dhcpv4.OptionBroadcastAddress.Code():   4,
	dhcpv4.OptionServerIdentifier.Code():   4,
	dhcpv4.OptionIPAddressLeaseTime.Code(): 4,
	dhcpv4.OptionRenewTimeValue.Code():     4,
	dhcpv4.OptionRebindingTimeValue.Code(): 4,
	dhcpv4.OptionInterfaceMTU.Code():       2,
	dhcpv4.OptionDHCPMessageType.Code():    1,
	dhcpv4.OptionOptionOverload.Code():     1,
}

// parse4 reads a message. It skips an option that is malformed and reads the others: one mistake of a server must not
// cost the network. The library refuses the whole message, and does not read overloaded fields.
func parse4(b []byte) (*dhcpv4.DHCPv4, error) {
	if len(b) < options4 {
		return nil, errors.New("too short for a DHCP message")
	}
	p, err := dhcpv4.FromBytes(append(slices.Clone(b[:options4]), dhcpv4.OptionEnd.Code()))
	if err != nil {
		return nil, err
	}
	readOptions4(p.Options, b[options4:])
	// RFC 3396 section 5: the order is the options field, the file field, the sname field.
	overload := p.Options[dhcpv4.OptionOptionOverload.Code()]
	if len(overload) == 1 && overload[0]&overloadFile != 0 {
		readOptions4(p.Options, b[file4:options4-4])
		p.BootFileName = ""
	}
	if len(overload) == 1 && overload[0]&overloadSname != 0 {
		readOptions4(p.Options, b[sname4:file4])
		p.ServerHostName = ""
	}
	return p, nil
}

// readOptions4 adds the options of one field to those already read.
func readOptions4(to dhcpv4.Options, field []byte) {
	eachOption4(field, func(code uint8, value []byte) {
		if n, single := lengths4[code]; !single {
			to[code] = slices.Concat(to[code], value)
		} else if n == len(value) {
			to[code] = slices.Clone(value)
		}
	})
}

// eachOption4 calls f for each option up to the first that is longer than the field. The options in option 43 have the
// same form (RFC 2132 section 8.4).
func eachOption4(field []byte, f func(code uint8, value []byte)) {
	for len(field) > 0 {
		code := field[0]
		field = field[1:]
		switch code {
		case dhcpv4.OptionPad.Code():
			continue
		case dhcpv4.OptionEnd.Code():
			return
		}
		if len(field) == 0 || len(field)-1 < int(field[0]) {
			return
		}
		n := int(field[0]) // an option may have 255 bytes: 1+n does not fit into a byte
		f(code, field[1:1+n])
		field = field[1+n:]
	}
}
