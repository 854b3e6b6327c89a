package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// wire4 sends DHCPv4 messages on a link that may have no address yet, and receives the answers.
type wire4 struct {
	socket       socket4
	mac          net.HardwareAddr
	client       int // ports
	server       int
	clientID     []byte
	question     atomic.Uint32 // the transaction that is asked for
	answers      chan *dhcpv4.DHCPv4
	done, silent chan struct{}
}

const maxMessage4 = 1500

// listen4 starts to read the socket. Close stops that and closes the socket.
func listen4(socket socket4, mac net.HardwareAddr, clientPort, serverPort int, clientID []byte) *wire4 {
	w := &wire4{
		socket: socket, mac: mac, client: clientPort, server: serverPort, clientID: clientID,
		answers: make(chan *dhcpv4.DHCPv4, 256), done: make(chan struct{}), silent: make(chan struct{}),
	}
	go w.listen()
	return w
}

func (w *wire4) Close() {
	close(w.done)
	w.socket.Close()
	<-w.silent
}

// listen passes on the messages to this client until Close.
func (w *wire4) listen() {
	defer close(w.silent)
	packets(w.socket, w.done, func(b []byte) {
		p, err := parse4(payload4(b))
		if err != nil || binary.BigEndian.Uint32(p.TransactionID[:]) != w.question.Load() || !w.forUs(p) {
			return
		}
		select {
		case w.answers <- p:
		default: // there are too many
		}
	})
}

// payload4 returns the UDP payload of an IPv4 packet, nil if the packet is truncated. Ethernet pads short frames, so
// only the lengths in the headers count.
func payload4(b []byte) []byte {
	if len(b) < 20 || b[0]>>4 != 4 {
		return nil
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < 20 || total > len(b) || total < header+8 {
		return nil
	}
	udp := b[header:total]
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if length < 8 || length > len(udp) {
		return nil
	}
	return udp[8:length]
}

// forUs reports whether a message is an answer to this client. On InfiniBand it does not carry the hardware address
// (RFC 4390 section 2.1) but the client identifier, if the server follows RFC 6842.
func (w *wire4) forUs(p *dhcpv4.DHCPv4) bool {
	if p.OpCode != dhcpv4.OpcodeBootReply {
		return false
	}
	if len(w.mac) == infiniBandLen {
		id, there := p.Options[dhcpv4.OptionClientIdentifier.Code()]
		return !there || bytes.Equal(id, w.clientID)
	}
	return bytes.Equal(p.ClientHWAddr, w.mac)
}

// broadcast sends the message to all hosts on the link, from the address 0.0.0.0.
func (w *wire4) broadcast(m *dhcpv4.DHCPv4) error {
	return w.socket.broadcast(datagram4(m.ToBytes(), w.client, w.server))
}

// datagram4 returns a UDP datagram from 0.0.0.0 to 255.255.255.255. It has no checksum, as RFC 768 allows.
func datagram4(payload []byte, from, to int) []byte {
	b := make([]byte, 28, 28+len(payload))
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(payload)))
	copy(b[16:], []byte{255, 255, 255, 255})
	binary.BigEndian.PutUint16(b[10:], checksum(b[:20]))
	binary.BigEndian.PutUint16(b[20:], uint16(from))
	binary.BigEndian.PutUint16(b[22:], uint16(to))
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(payload)))
	return append(b, payload...)
}

// checksum returns the checksum of RFC 1071 over an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// question4 is a message and what counts as its answer.
type question4 struct {
	m     *dhcpv4.DHCPv4
	send  func(*dhcpv4.DHCPv4) error
	fits  func(*dhcpv4.DHCPv4) bool
	began time.Time
}

// ask sends the message and waits for an answer that fits; errNoAnswer means that none came in time. The transaction
// ID stays the same, so an answer to an earlier transmission counts: a server may need seconds to check that an
// address is free. Answers that do not fit do not extend the time.
func (w *wire4) ask(ctx context.Context, q *question4, patience time.Duration) (*dhcpv4.DHCPv4, error) {
	if q.began.IsZero() {
		q.began = time.Now()
	}
	w.question.Store(binary.BigEndian.Uint32(q.m.TransactionID[:]))
	q.m.NumSeconds = uint16(min(time.Since(q.began).Seconds(), 65535))
	if err := q.send(q.m); err != nil {
		return nil, err
	}
	return await(ctx, w.answers, patience, func(p *dhcpv4.DHCPv4) bool {
		return p.TransactionID == q.m.TransactionID && q.fits(p)
	})
}
