package raw

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// RA is a router advertisement (RFC 4861 section 4.2) with arbitrary options.
type RA struct {
	Code     byte
	HopLimit byte // for the link
	Flags    byte // 0x80 managed, 0x40 other, 0x18 the router's preference
	Lifetime uint16
	Options  [][]byte
}

// Bytes returns the ICMPv6 message, without its checksum.
func (r RA) Bytes() []byte {
	b := []byte{134, r.Code, 0, 0, r.HopLimit, r.Flags, byte(r.Lifetime >> 8), byte(r.Lifetime), 0, 0, 0, 0, 0, 0, 0, 0}
	for _, o := range r.Options {
		b = append(b, o...)
	}
	return b
}

// Option returns an option of a type; its value is padded with zeros to whole units of eight bytes.
func Option(kind byte, value []byte) []byte {
	b := append([]byte{kind, 0}, value...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	b[1] = byte(len(b) / 8)
	return b
}

// Hex returns bytes that are written in hexadecimal, with any white space.
func Hex(text string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// Flags of a Prefix Information option.
const (
	OnLink     = 0x80
	Autonomous = 0x40
)

// PIO returns a Prefix Information option. Bits after the prefix are sent as given.
func PIO(prefix string, flags byte, valid, preferred uint32) []byte {
	p := netip.MustParsePrefix(prefix)
	b := []byte{byte(p.Bits()), flags}
	b = binary.BigEndian.AppendUint32(b, valid)
	b = binary.BigEndian.AppendUint32(b, preferred)
	b = append(b, 0, 0, 0, 0)
	return Option(3, append(b, p.Addr().AsSlice()...))
}

// RIO returns a Route Information option: RFC 4191 section 2.3. The preference is 0, 1, 2 (reserved) or 3.
func RIO(prefix string, preference byte, lifetime uint32) []byte {
	p := netip.MustParsePrefix(prefix)
	b := binary.BigEndian.AppendUint32([]byte{byte(p.Bits()), preference << 3}, lifetime)
	return Option(24, append(b, p.Addr().AsSlice()[:(p.Bits()+63)/64*8]...))
}

// RDNSS returns a Recursive DNS Server option: RFC 8106 section 5.1.
func RDNSS(lifetime uint32, servers ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0, 0}, lifetime)
	for _, s := range servers {
		b = append(b, netip.MustParseAddr(s).AsSlice()...)
	}
	return Option(25, b)
}

// DNSSL returns a DNS Search List option: RFC 8106 section 5.2.
func DNSSL(lifetime uint32, domains ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0, 0}, lifetime)
	for _, d := range domains {
		for label := range strings.SplitSeq(d, ".") {
			b = append(append(b, byte(len(label))), label...)
		}
		b = append(b, 0)
	}
	return Option(31, b)
}

// MTU returns an MTU option.
func MTU(mtu uint32) []byte { return Option(5, binary.BigEndian.AppendUint32([]byte{0, 0}, mtu)) }

// ICMPv6 is a packet with an ICMPv6 message. Fields that are zero get the values of a proper router.
type ICMPv6 struct {
	From        netip.Addr
	To          netip.Addr // zero: all nodes
	HopLimit    byte       // 0: 255
	BadChecksum bool
	Message     []byte // its checksum is filled in, if there is room
}

// ICMPv6 sends the packet to everybody on the link, whatever its destination.
func (w *Wire) ICMPv6(p ICMPv6) error {
	if p.HopLimit == 0 {
		p.HopLimit = 255
	}
	if !p.To.IsValid() {
		p.To = netip.IPv6LinkLocalAllNodes()
	}
	message := append([]byte{}, p.Message...)
	if len(message) >= 4 {
		binary.BigEndian.PutUint16(message[2:], 0)
		right := checksum6(p.From, p.To, message)
		if p.BadChecksum {
			right++
		}
		binary.BigEndian.PutUint16(message[2:], right)
	}
	frame := append([]byte{0x33, 0x33, 0, 0, 0, 1}, w.MAC...)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IPV6)
	frame = append(frame, 0x60, 0, 0, 0, byte(len(message)>>8), byte(len(message)), unix.IPPROTO_ICMPV6, p.HopLimit)
	frame = append(append(frame, p.From.AsSlice()...), p.To.AsSlice()...)
	return w.Frame(append(frame, message...))
}

// checksum6 returns the checksum of RFC 4443 section 2.3, over the pseudo-header of RFC 8200 section 8.1 and the
// message.
func checksum6(from, to netip.Addr, message []byte) uint16 {
	b := append(append([]byte{}, from.AsSlice()...), to.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	return sum(append(append(b, 0, 0, 0, unix.IPPROTO_ICMPV6), message...))
}
