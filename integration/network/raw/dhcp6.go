package raw

import "encoding/binary"

// Ports of DHCPv6.
const (
	ClientPort6 = 546
	ServerPort6 = 547
)

// Types of DHCPv6 messages: RFC 8415 section 7.3.
const (
	Solicit6            = 1
	Advertise6          = 2
	Request6            = 3
	Renew6              = 5
	Rebind6             = 6
	Reply6              = 7
	InformationRequest6 = 11
)

// Message6 is a DHCPv6 message.
type Message6 struct {
	Type    byte
	XID     [3]byte
	Options []byte
}

// Bytes returns the message as it is sent.
func (m Message6) Bytes() []byte { return append(append([]byte{m.Type}, m.XID[:]...), m.Options...) }

// Parse6 reads a message of a client; nil if it is none.
func Parse6(b []byte) *Message6 {
	if len(b) < 4 {
		return nil
	}
	return &Message6{Type: b[0], XID: [3]byte(b[1:4]), Options: b[4:]}
}

// Option returns the first option of the code, nil if there is none.
func (m *Message6) Option(code uint16) []byte {
	for b := m.Options; len(b) >= 4; {
		n := int(binary.BigEndian.Uint16(b[2:]))
		if len(b) < 4+n {
			return nil
		}
		if binary.BigEndian.Uint16(b) == code {
			return b[4 : 4+n]
		}
		b = b[4+n:]
	}
	return nil
}

// Option6 returns an option as it is sent.
func Option6(code uint16, data ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, code)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
}
