package network

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

func ruleFamilies(r *netconf.Rule) []int {
	switch {
	case r.From.IsValid():
		return []int{family(r.From.Addr())}
	case r.To.IsValid():
		return []int{family(r.To.Addr())}
	case r.Family == "both":
		return []int{unix.AF_INET, unix.AF_INET6}
	case r.Family == "ipv6":
		return []int{unix.AF_INET6}
	}
	return []int{unix.AF_INET}
}

func rule(r *netconf.Rule, fam int) *netlink.Rule {
	n := netlink.NewRule()
	n.Family = fam
	n.Table = int(r.Table)
	n.Protocol = unix.RTPROT_STATIC
	n.Invert = r.Invert
	n.Tos = uint(r.TOS)
	n.IifName, n.OifName = r.In, r.Out
	n.Src, n.Dst = ipNet(r.From), ipNet(r.To)
	n.IPProto = r.Protocol
	if r.Priority != nil {
		n.Priority = int(*r.Priority)
	}
	if r.Mark != 0 || r.Mask != 0 {
		n.Mark, n.Mask = r.Mark, &r.Mask
	}
	const goTo = 2 // FR_ACT_GOTO
	if r.Type == goTo {
		n.Goto = int(r.GoTo)
	}
	if r.Type > 1 {
		n.Type = r.Type
	}
	if r.Users != nil {
		n.UIDRange = netlink.NewRuleUIDRange(r.Users[0], r.Users[1])
	}
	if r.SuppressPrefix != nil {
		n.SuppressPrefixlen = *r.SuppressPrefix
	}
	if r.SuppressGroup != nil {
		n.SuppressIfgroup = *r.SuppressGroup
	}
	if r.SourcePort != [2]uint16{} {
		n.Sport = netlink.NewRulePortRange(r.SourcePort[0], r.SourcePort[1])
	}
	if r.DestinationPort != [2]uint16{} {
		n.Dport = netlink.NewRulePortRange(r.DestinationPort[0], r.DestinationPort[1])
	}
	return n
}

func ipNet(p netip.Prefix) *net.IPNet {
	if !p.IsValid() {
		return nil
	}
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
