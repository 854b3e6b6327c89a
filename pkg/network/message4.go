package network

import (
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// modifiers complete every message to a server.
func (d *dhcp4) modifiers() []dhcpv4.Modifier {
	wanted := []dhcpv4.OptionCode{
		dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionHostName,
		dhcpv4.OptionDomainName,
		dhcpv4.OptionInterfaceMTU, dhcpv4.OptionNTPServers, dhcpv4.OptionDNSDomainSearchList,
		dhcpv4.OptionClasslessStaticRoute,
		dhcpv4.OptionStaticRoutingTable, dhcpv4.OptionBroadcastAddress,
		dhcpv4.OptionVendorSpecificInformation, dhcpv4.OptionBootfileName,
	}
	wanted = append(wanted, siteOptions4...)
	if d.conf.Anonymize {
		wanted = wanted[:3] // RFC 7844 section 3.6: request only what is used
	}
	for _, code := range d.conf.RequestOptions {
		wanted = append(wanted, dhcpv4.GenericOptionCode(code))
	}
	mods := []dhcpv4.Modifier{
		func(p *dhcpv4.DHCPv4) { p.Options.Update(dhcpv4.OptParameterRequestList(wanted...)) },
		dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(maxMessage4)),
		dhcpv4.WithBroadcast(d.conf.Broadcast),
	}
	if len(d.mac) == infiniBandLen {
		mods = append(mods, overInfiniBand)
	}
	option := func(code uint8, value []byte) {
		mods = append(mods, dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(code), value))
	}
	if id := d.clientID(); id != nil {
		option(61, id)
	}
	if !d.conf.Anonymize {
		if name := sentHostname(d.conf.SendHostname, d.conf.Hostname, d.hostname); name != "" {
			mods = append(mods, dhcpv4.WithOption(dhcpv4.OptHostName(name)))
		}
		if d.conf.VendorClass != "" {
			mods = append(mods, dhcpv4.WithOption(dhcpv4.OptClassIdentifier(d.conf.VendorClass)))
		}
		if len(d.conf.UserClass) > 0 { // RFC 3004: the length comes before each class
			var b []byte
			for _, c := range d.conf.UserClass {
				b = append(append(b, byte(len(c))), c...)
			}
			option(77, b)
		}
	}
	if d.conf.RequestAddress.IsValid() {
		mods = append(mods, func(p *dhcpv4.DHCPv4) {
			if p.MessageType() == dhcpv4.MessageTypeDiscover {
				p.Options.Update(dhcpv4.OptRequestedIPAddress(d.conf.RequestAddress.AsSlice()))
			}
		})
	}
	for _, o := range d.conf.SendOptions {
		option(uint8(o.Code), o.Data)
	}
	return mods
}

// sentHostname returns the host name to send: the configured one, else the machine's if it has one.
func sentHostname(send bool, configured, own string) string {
	switch {
	case !send:
		return ""
	case configured != "":
		return configured
	case own == "localhost" || own == "(none)":
		return ""
	}
	return own
}

// overInfiniBand changes a message as RFC 4390 section 2.1 says. The hardware address does not fit, so the server
// knows the client by its identifier only, and must broadcast its answer unless the client has its address.
func overInfiniBand(p *dhcpv4.DHCPv4) {
	p.HWType, p.ClientHWAddr = iana.HWTypeInfiniband, nil
	if p.ClientIPAddr.IsUnspecified() || p.ClientIPAddr == nil {
		p.SetBroadcast()
	}
}

// clientID returns option 61 (RFC 2132 section 9.14): the hardware address, or with a DUID the form of RFC 4361. On
// InfiniBand RFC 4390 requires the latter, whatever the configuration says.
func (d *dhcp4) clientID() []byte {
	id := d.conf.ClientIdentifier
	switch {
	case id == "duid-only":
		return slices.Concat([]byte{255}, duid(d.conf.DUID, d.mac))
	case id == "duid" || len(d.mac) == infiniBandLen:
		return slices.Concat([]byte{255}, iaid(d.conf.IAID, d.mac), duid(d.conf.DUID, d.mac))
	}
	return append([]byte{1}, d.mac...)
}
