package network

import (
	"encoding/binary"
	"math"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The netlink library's Addr has no IFA_RT_PRIORITY, and its Route has neither RTA_PREF nor RTA_EXPIRES, so the
// messages for addresses and routes are made here: rtnetlink(7), linux/if_addr.h and linux/rtnetlink.h.

// address is an address that a link should have. The kernel has only one address with the same key.
type address struct {
	prefix    netip.Prefix
	peer      netip.Prefix
	broadcast netip.Addr // invalid: computed; unspecified: none
	label     string
	scope     uint8
	metric    uint32
	flags     uint32
	valid     time.Time // zero: forever
	preferred time.Time // zero: as long as it is valid
	lapsed    bool      // deprecated
}

type addressKey struct {
	prefix, peer netip.Prefix
}

func (a *address) key() addressKey { return addressKey{a.prefix, a.peer} }

// route is a route that a link should have, or one without a device.
type route struct {
	family     int
	table      uint32
	protocol   uint8
	scope      uint8
	kind       uint8        // RTN_*
	dst, src   netip.Prefix // invalid: default
	gateway    netip.Addr
	prefsrc    netip.Addr
	metric     uint32
	onlink     bool
	device     bool // false for blackhole and its like
	preference uint8
	metrics    [unix.RTAX_MAX + 1]uint32 // 0: not given
	congestion string
	expires    time.Time // zero: never
}

// key returns the route without what may change while it stays the same route.
func (r *route) key() route {
	key := *r
	key.expires = time.Time{}
	return key
}

// ICMPv6 router preference as RFC 4191 encodes it.
const (
	preferenceMedium   = 0
	preferenceHigh     = 1
	preferenceReserved = 2
	preferenceLow      = 3
)

// Constants that x/sys/unix does not have: linux/if_addr.h, linux/rtnetlink.h.
const (
	ifaRtPriority = 9
	rtaPref       = 20
	rtaExpires    = 23
)

// seconds returns the seconds until t as the kernel takes them: at least one, and infinity for the zero time.
func seconds(t, now time.Time) uint32 {
	if t.IsZero() {
		return math.MaxUint32
	}
	s := math.Ceil(t.Sub(now).Seconds())
	return uint32(min(max(s, 1), math.MaxUint32-1))
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func addressRequest(command, flags, index int, a *address) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(command, flags|unix.NLM_F_ACK)
	msg := nl.NewIfAddrmsg(family(a.prefix.Addr()))
	msg.Index = uint32(index)
	msg.Scope = a.scope
	msg.Prefixlen = uint8(a.prefix.Bits())
	local := a.prefix.Addr().AsSlice()
	far := local
	if a.peer.IsValid() {
		far = a.peer.Addr().AsSlice()
		msg.Prefixlen = uint8(a.peer.Bits())
	}
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, local))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, far))
	if a.flags != 0 {
		req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(a.flags)))
	}
	if b := a.broadcastAddr(); b.IsValid() {
		req.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, b.AsSlice()))
	}
	if a.label != "" {
		req.AddData(nl.NewRtAttr(unix.IFA_LABEL, nl.ZeroTerminated(a.label)))
	}
	if a.metric != 0 {
		req.AddData(nl.NewRtAttr(ifaRtPriority, nl.Uint32Attr(a.metric)))
	}
	return req
}

// broadcastAddr returns the broadcast address. An address with a peer, or in a prefix of one or two addresses, has
// none.
func (a *address) broadcastAddr() netip.Addr {
	addr := a.prefix.Addr()
	switch {
	case !addr.Is4() || a.peer.IsValid():
		return netip.Addr{}
	case a.broadcast.IsValid():
		if a.broadcast.IsUnspecified() {
			return netip.Addr{}
		}
		return a.broadcast
	case a.prefix.Bits() > 30: // RFC 3021
		return netip.Addr{}
	}
	b := addr.As4()
	n := binary.BigEndian.Uint32(b[:]) | uint32(math.MaxUint32)>>a.prefix.Bits()
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// newAddressRequest returns the request that sets an address with its lifetimes.
func newAddressRequest(index int, a *address, now time.Time) *nl.NetlinkRequest {
	req := addressRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, index, a)
	info := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{
		Valid: seconds(a.valid, now), Prefered: seconds(a.preferred, now),
	}}
	if a.preferred.IsZero() {
		info.Prefered = info.Valid
	}
	if a.lapsed {
		info.Prefered = 0
	}
	req.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, info.Serialize()))
	return req
}

func routeRequest(command, flags, index int, r *route, now time.Time) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(command, flags|unix.NLM_F_ACK)
	msg := nl.NewRtMsg()
	msg.Family = uint8(r.family)
	msg.Protocol = r.protocol
	msg.Scope = r.scope
	msg.Type = r.kind
	msg.Table = unix.RT_TABLE_UNSPEC
	if r.table < 256 {
		msg.Table = uint8(r.table)
	}
	if r.onlink {
		msg.Flags |= unix.RTNH_F_ONLINK
	}
	req.AddData(msg)
	if r.dst.IsValid() {
		msg.Dst_len = uint8(r.dst.Bits())
		req.AddData(nl.NewRtAttr(unix.RTA_DST, r.dst.Addr().AsSlice()))
	}
	if r.src.IsValid() {
		msg.Src_len = uint8(r.src.Bits())
		req.AddData(nl.NewRtAttr(unix.RTA_SRC, r.src.Addr().AsSlice()))
	}
	if r.gateway.IsValid() {
		if family(r.gateway) == r.family {
			req.AddData(nl.NewRtAttr(unix.RTA_GATEWAY, r.gateway.AsSlice()))
		} else { // an IPv4 route by way of an IPv6 neighbour: RFC 5549
			via := binary.NativeEndian.AppendUint16(nil, uint16(family(r.gateway)))
			req.AddData(nl.NewRtAttr(unix.RTA_VIA, append(via, r.gateway.AsSlice()...)))
		}
	}
	if r.device {
		req.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
	}
	if r.prefsrc.IsValid() {
		req.AddData(nl.NewRtAttr(unix.RTA_PREFSRC, r.prefsrc.AsSlice()))
	}
	if r.metric != 0 {
		req.AddData(nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(r.metric)))
	}
	if r.table >= 256 {
		req.AddData(nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(r.table)))
	}
	if r.family == unix.AF_INET6 && r.kind == unix.RTN_UNICAST {
		req.AddData(nl.NewRtAttr(rtaPref, []byte{r.preference}))
		if !r.expires.IsZero() {
			req.AddData(nl.NewRtAttr(rtaExpires, nl.Uint32Attr(seconds(r.expires, now))))
		}
	}
	if metrics := r.metricsAttr(); metrics != nil {
		req.AddData(metrics)
	}
	return req
}

func execute(r *nl.NetlinkRequest) error {
	_, err := r.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// String returns the destination and the gateway.
func (r *route) String() string {
	s := "default"
	if r.dst.IsValid() {
		s = r.dst.String()
	}
	if r.gateway.IsValid() {
		s += " via " + r.gateway.String()
	}
	return s
}

// metricsAttr returns RTA_METRICS; nil if the route has none.
func (r *route) metricsAttr() *nl.RtAttr {
	if r.metrics == (route{}).metrics && r.congestion == "" {
		return nil
	}
	attr := nl.NewRtAttr(unix.RTA_METRICS, nil)
	for i, v := range r.metrics {
		if v != 0 {
			attr.AddRtAttr(i, nl.Uint32Attr(v))
		}
	}
	if r.congestion != "" {
		attr.AddRtAttr(unix.RTAX_CC_ALGO, nl.ZeroTerminated(r.congestion))
	}
	return attr
}

// addrOf returns the address that the netlink library reports.
func addrOf(a *netlink.Addr) netip.Prefix {
	ip, _ := netip.AddrFromSlice(a.IP)
	ones, _ := a.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), ones)
}
