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

// lengths4 are the lengths of the options that have one value. Such an option of another length is malformed, and of
// two the last counts, as with systemd: only longer values may be split.
var lengths4 = map[uint8]int{
	dhcpv4.OptionSubnetMask.Code(): 4, dhcpv4.OptionBroadcastAddress.Code(): 4, dhcpv4.OptionServerIdentifier.Code(): 4,
	dhcpv4.OptionIPAddressLeaseTime.Code(): 4, dhcpv4.OptionRenewTimeValue.Code(): 4, dhcpv4.OptionRebindingTimeValue.Code(): 4,
	dhcpv4.OptionInterfaceMTU.Code(): 2, dhcpv4.OptionDHCPMessageType.Code(): 1, dhcpv4.OptionOptionOverload.Code(): 1,
}

// parse4 reads a message. An option that is malformed is left out and the others count: a server's mistake in one of
// them is no reason to do without a network. The library refuses the whole message, and does not read the overloaded
// fields.
func parse4(b []byte) (*dhcpv4.DHCPv4, error) {
	if len(b) < options4 {
		return nil, errors.New("too short for a DHCP message")
	}
	p, err := dhcpv4.FromBytes(append(slices.Clone(b[:options4]), dhcpv4.OptionEnd.Code()))
	if err != nil {
		return nil, err
	}
	readOptions4(p.Options, b[options4:])
	// RFC 3396 section 5: the options field stands before the file field, that before the sname field.
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

// readOptions4 adds the options of one field to those that were read. It ends at the first that goes beyond the field.
func readOptions4(to dhcpv4.Options, field []byte) {
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
		value := field[1 : 1+field[0]]
		field = field[1+len(value):]
		if n, single := lengths4[code]; !single {
			to[code] = slices.Concat(to[code], value)
		} else if n == len(value) {
			to[code] = slices.Clone(value)
		}
	}
}
