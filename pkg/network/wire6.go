package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// message6 is a DHCPv6 message with the identifiers of the client and the server as in the packet.
type message6 struct {
	*dhcpv6.Message
	client, server string
}

// parse6 reads a message. As with DHCPv4 it skips what is malformed and reads the rest.
func parse6(b []byte) (*message6, error) {
	const header = 4
	if len(b) < header || b[0] == byte(dhcpv6.MessageTypeRelayForward) || b[0] == byte(dhcpv6.MessageTypeRelayReply) {
		return nil, errors.New("no DHCPv6 message to a client")
	}
	m := &message6{Message: &dhcpv6.Message{
		MessageType: dhcpv6.MessageType(b[0]), TransactionID: dhcpv6.TransactionID(b[1:header]),
	}}
	eachOption6(b[header:], func(code dhcpv6.OptionCode, data []byte) {
		switch code {
		case dhcpv6.OptionClientID:
			m.client = string(data)
		case dhcpv6.OptionServerID:
			m.server = string(data)
		case dhcpv6.OptionIANA:
			if ia := parseIANA(data); ia != nil {
				m.Options.Add(ia)
			}
			return
		case dhcpv6.OptionVendorOpts:
			if vendor := parseVendor6(data); vendor != nil {
				m.Options.Add(vendor)
			}
			return
		}
		if o, err := parseOption6(code, data); err == nil {
			m.Options.Add(o)
		}
	})
	return m, nil
}

// parseIANA reads an identity association (RFC 8415 section 21.4); nil if it is too short.
func parseIANA(b []byte) *dhcpv6.OptIANA {
	const header = 12
	if len(b) < header {
		return nil
	}
	second := func(at int) time.Duration { return time.Duration(binary.BigEndian.Uint32(b[at:])) * time.Second }
	ia := &dhcpv6.OptIANA{IaId: [4]byte(b), T1: second(4), T2: second(8)}
	eachOption6(b[header:], func(code dhcpv6.OptionCode, data []byte) {
		if o, err := parseOption6(code, data); err == nil {
			ia.Options.Add(o)
		}
	})
	return ia
}

// longestNames is the longest option that may hold domain names. A pointer to another name takes two bytes (RFC 1035
// section 4.1.4), so the names of an option, and the time to read them, can grow with the third power of its length.
const longestNames = 2048

// parseOption6 reads an option and what is in it. The library reads names in several options, and options in options.
func parseOption6(code dhcpv6.OptionCode, data []byte) (dhcpv6.Option, error) {
	if len(data) > longestNames {
		return nil, errors.New("too long")
	}
	return dhcpv6.ParseOption(code, data)
}

// eachOption6 calls f for each option up to the first that is truncated.
func eachOption6(b []byte, f func(code dhcpv6.OptionCode, data []byte)) {
	for len(b) >= 4 {
		code, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b)-4 {
			return
		}
		f(dhcpv6.OptionCode(code), b[4:4+n])
		b = b[4+n:]
	}
}

// wire6 sends DHCPv6 messages to all servers on a link, and receives the answers.
type wire6 struct {
	socket       socket6
	id           string        // of the client
	association  [4]byte       // the identifier of the association for addresses
	question     atomic.Uint32 // the transaction that is asked for
	answers      chan *message6
	done, silent chan struct{}
}

// listen6 starts to read the socket. Close stops that and closes the socket.
func listen6(socket socket6, id string, association [4]byte) *wire6 {
	w := &wire6{
		socket: socket, id: id, association: association,
		answers: make(chan *message6, 256), done: make(chan struct{}), silent: make(chan struct{}),
	}
	go w.listen()
	return w
}

func (w *wire6) Close() {
	close(w.done)
	w.socket.Close()
	<-w.silent
}

// listen passes on the answers to this client until Close.
func (w *wire6) listen() {
	defer close(w.silent)
	packets(w.socket, w.done, func(b []byte) {
		m, err := parse6(bytes.Clone(b))
		// RFC 8415 section 16: an answer names the client and the server. Without an address in it the server's name
		// is not needed.
		if err != nil || transaction6(m.Message) != w.question.Load() || m.client != w.id {
			return
		}
		m.Options.Options = slices.DeleteFunc(m.Options.Options, func(o dhcpv6.Option) bool {
			ia, is := o.(*dhcpv6.OptIANA)
			return is && ia.IaId != w.association // of another link
		})
		select {
		case w.answers <- m:
		default: // there are too many
		}
	})
}

func transaction6(m *dhcpv6.Message) uint32 {
	return binary.BigEndian.Uint32(append([]byte{0}, m.TransactionID[:]...))
}

// question6 is a message and what counts as its answer.
type question6 struct {
	m     *dhcpv6.Message
	fits  func(*message6) bool
	began time.Time
}

// ask sends the message and waits for an answer that fits; errNoAnswer means that none came in time. Answers that do
// not fit do not extend the time.
func (w *wire6) ask(ctx context.Context, q *question6, patience time.Duration) (*message6, error) {
	if q.began.IsZero() {
		q.began = time.Now()
	}
	w.question.Store(transaction6(q.m))
	// In hundredths of a second, with a maximum: RFC 8415 section 21.9.
	q.m.UpdateOption(dhcpv6.OptElapsedTime(min(time.Since(q.began), 65535*10*time.Millisecond)))
	if err := w.socket.send(q.m.ToBytes()); err != nil {
		return nil, err
	}
	return await(ctx, w.answers, patience, func(m *message6) bool {
		return transaction6(m.Message) == transaction6(q.m) && q.fits(m)
	})
}
