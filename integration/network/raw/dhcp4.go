package raw

import (
	"net"
	"net/netip"
)

// Ports of DHCPv4.
const (
	ServerPort4 = 67
	ClientPort4 = 68
)

// Types of DHCPv4 messages: RFC 2132 section 9.6.
const (
	Discover4 = 1
	Offer4    = 2
	Request4  = 3
	ACK4      = 5
	NAK4      = 6
)

// Message4 is a message with its fields as in the packet. Values that are too long for their field are cut.
type Message4 struct {
	Op, HType, HLen byte
	XID             [4]byte
	CIAddr, YIAddr  netip.Addr
	CHAddr          []byte
	SName, File     []byte
	Options         []byte // with the end option, if wanted
}

const cookie4 = "\x63\x82\x53\x63"

// Bytes returns the message as it is sent.
func (m Message4) Bytes() []byte {
	b := make([]byte, 236, 236+4+len(m.Options))
	b[0], b[1], b[2] = m.Op, m.HType, m.HLen
	copy(b[4:8], m.XID[:])
	for at, a := range map[int]netip.Addr{12: m.CIAddr, 16: m.YIAddr} {
		if a.IsValid() {
			copy(b[at:], a.AsSlice())
		}
	}
	copy(b[28:44], m.CHAddr)
	copy(b[44:108], m.SName)
	copy(b[108:236], m.File)
	return append(append(b, cookie4...), m.Options...)
}

// Parse4 reads a message of a client; nil if it is none.
func Parse4(b []byte) *Message4 {
	if len(b) < 240 || string(b[236:240]) != cookie4 {
		return nil
	}
	return &Message4{
		Op: b[0], HType: b[1], HLen: b[2], XID: [4]byte(b[4:8]), CIAddr: netip.AddrFrom4([4]byte(b[12:16])),
		YIAddr: netip.AddrFrom4([4]byte(b[16:20])),
		CHAddr: b[28:44], SName: b[44:108], File: b[108:236], Options: b[240:],
	}
}

// Option returns the first option of the code in the options field, nil if there is none.
func (m *Message4) Option(code byte) []byte {
	for b := m.Options; len(b) > 1 && b[0] != 255; {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		if len(b) < 2+int(b[1]) {
			return nil
		}
		if b[0] == code {
			return b[2 : 2+b[1]]
		}
		b = b[2+b[1]:]
	}
	return nil
}

// Type returns the type of the message; 0 if it has none.
func (m *Message4) Type() byte {
	if o := m.Option(53); len(o) == 1 {
		return o[0]
	}
	return 0
}

// Reply returns an answer to the message. Its options are the type, the server's identifier and those given.
func (m *Message4) Reply(kind byte, server, yours netip.Addr, options ...byte) Message4 {
	r := Message4{Op: 2, HType: m.HType, HLen: m.HLen, XID: m.XID, YIAddr: yours, CHAddr: m.CHAddr}
	r.Options = append(append(append([]byte{53, 1, kind, 54, 4}, server.AsSlice()...), options...), 255)
	return r
}

// Datagram4 returns the packet of a message from a server to a client.
func Datagram4(from netip.Addr, to netip.Addr, mac net.HardwareAddr, payload []byte) Datagram {
	return Datagram{
		ToMAC: mac, Payload: payload,
		From: netip.AddrPortFrom(from, ServerPort4), To: netip.AddrPortFrom(to, ClientPort4),
	}
}
