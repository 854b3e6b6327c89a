package fetch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// How often a packet is sent, and after what time without an answer again.
const (
	sends  = 5
	repeat = time.Second
)

// The packets of TFTP (RFC 1350, section 5), and the length of a block.
const (
	opRead, opData, opAck, opError = 1, 3, 4, 5

	block = 512
)

// overTFTP reads the file in blocks of 512 bytes, without options: 64 KiB are 128 blocks. It is own code because
// u-root's TFTP client and github.com/pin/tftp do not end with a context.
func (l Location) overTFTP(ctx context.Context) ([]byte, error) {
	r := &reader{who: l.Server()}
	err := r.open(ctx, l.url.Hostname(), l.url.Port())
	if err != nil {
		return nil, r.failed(ctx, err)
	}
	defer r.conn.Close()
	defer context.AfterFunc(ctx, func() { r.conn.Close() })()
	name := strings.TrimPrefix(l.url.Path, "/")
	r.packet = append(binary.BigEndian.AppendUint16(nil, opRead), name+"\x00octet\x00"...)
	var file []byte
	for number := uint16(1); ; number++ { // Limit is less than 65536 blocks
		data, err := r.receive(number)
		if err != nil {
			return nil, r.failed(ctx, err)
		}
		file = append(file, data...)
		if len(file) > Limit {
			r.refuse("too large")
			return nil, &Error{text: fmt.Sprintf("%s sends more than %d KiB", r.who, Limit>>10)}
		}
		r.packet = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, opAck), number)
		if len(data) < block {
			r.send() // if this one is lost, the server gives up in the end
			return file, nil
		}
	}
}

// A reader is one transfer.
type reader struct {
	who    string
	conn   *net.UDPConn
	server netip.AddrPort // its port changes with the first answer: RFC 1350, section 4
	known  bool           // the server has answered
	packet []byte         // what is sent again if no answer comes
}

func (r *reader) open(ctx context.Context, host, port string) error {
	number := uint64(69)
	if port != "" {
		number, _ = strconv.ParseUint(port, 10, 16) // Parse has checked it
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return err
	}
	r.server = netip.AddrPortFrom(addrs[0].Unmap(), uint16(number))
	r.conn, err = net.ListenUDP("udp", nil)
	return err
}

func (r *reader) send() error {
	_, err := r.conn.WriteToUDPAddrPort(r.packet, r.server)
	return err
}

// refuse ends the transfer at the server.
func (r *reader) refuse(why string) {
	r.packet = append([]byte{0, opError, 0, 0}, why+"\x00"...)
	r.send()
}

// receive sends the packet until the block with that number arrives, and returns its data.
func (r *reader) receive(number uint16) ([]byte, error) {
	b := make([]byte, 4+block+1) // one more, to see that a block is too long
	for range sends {
		if err := r.send(); err != nil {
			return nil, err
		}
		r.conn.SetReadDeadline(time.Now().Add(repeat))
		for {
			n, from, err := r.conn.ReadFromUDPAddrPort(b)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, err
			}
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			if n < 4 || from.Addr().WithZone("") != r.server.Addr().WithZone("") || r.known && from != r.server {
				continue // not the server's
			}
			switch op, what := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]); {
			case op == opError:
				return nil, r.refused(what, b[4:n])
			case op == opData && n > 4+block:
				r.refuse("too long a block")
				return nil, &Error{text: r.who + " sends blocks of more than 512 bytes, which it was not asked for"}
			case op == opData && what == number:
				r.server, r.known = from, true
				return b[4:n], nil
			}
			// Ignore the rest, such as a block that arrives a second time: the server has our answer, or repeats the block.
		}
	}
	return nil, &Error{text: r.who + " does not answer", heals: true}
}

// refused returns the error for an error packet (RFC 1350, appendix).
func (r *reader) refused(code uint16, text []byte) error {
	said, _, _ := strings.Cut(string(text), "\x00")
	switch code {
	case 1:
		return &Error{text: r.who + " does not have the file"}
	case 2, 4, 6, 7:
		return &Error{text: fmt.Sprintf("%s refuses: %s", r.who, printable.Line(said))}
	}
	return &Error{text: fmt.Sprintf("%s fails: %s", r.who, printable.Line(said)), heals: true}
}

// failed returns the error for a transfer that ended with err.
func (r *reader) failed(ctx context.Context, err error) error {
	var known *Error
	var dns *net.DNSError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &known):
		return known
	case errors.As(err, &dns) && dns.IsNotFound:
		return &Error{text: fmt.Sprintf("cannot reach %s: the name is unknown", r.who), heals: true}
	}
	return &Error{text: printable.Line(fmt.Sprintf("cannot reach %s: %v", r.who, err)), heals: true}
}
