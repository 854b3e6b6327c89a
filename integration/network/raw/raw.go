// Package raw sends arbitrary packets to a network client under test, and receives its packets. It checks nothing:
// the tests are about what a client makes of packets that no server should send.
package raw

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Wire is one end of an Ethernet link.
type Wire struct {
	file *os.File
	MAC  net.HardwareAddr
}

// Open opens the device of the calling thread's network namespace.
func Open(device string) (*Wire, error) {
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot listen on %s: %w", device, err)
	}
	return &Wire{file: os.NewFile(uintptr(fd), device), MAC: ifi.HardwareAddr}, nil
}

// Close ends a pending Receive.
func (w *Wire) Close() error { return w.file.Close() }

// Frame sends an Ethernet frame with arbitrary bytes.
func (w *Wire) Frame(b []byte) error {
	_, err := w.file.Write(b)
	return err
}

// Datagram is a UDP datagram with its addresses.
type Datagram struct {
	FromMAC, ToMAC net.HardwareAddr // FromMAC nil: the wire's own
	From, To       netip.AddrPort
	Payload        []byte
}

// Receive returns the next UDP datagram to the port, or os.ErrDeadlineExceeded if none comes in time.
func (w *Wire) Receive(port uint16, until time.Time) (*Datagram, error) {
	if err := w.file.SetReadDeadline(until); err != nil {
		return nil, err
	}
	b := make([]byte, 1<<16)
	for {
		n, err := w.file.Read(b)
		if err != nil {
			return nil, err
		}
		if d := parse(b[:n]); d != nil && d.To.Port() == port && d.FromMAC.String() != w.MAC.String() {
			return d, nil
		}
	}
}

// parse returns the UDP datagram in a frame; nil if there is no whole one.
func parse(frame []byte) *Datagram {
	if len(frame) < 14 {
		return nil
	}
	d := &Datagram{ToMAC: append(net.HardwareAddr{}, frame[:6]...), FromMAC: append(net.HardwareAddr{}, frame[6:12]...)}
	packet := frame[14:]
	var from, to netip.Addr
	switch kind := binary.BigEndian.Uint16(frame[12:]); {
	case kind == unix.ETH_P_IP && len(packet) >= 20 && packet[9] == unix.IPPROTO_UDP:
		from, to = netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20]))
		packet = packet[min(int(packet[0]&15)*4, len(packet)):]
	case kind == unix.ETH_P_IPV6 && len(packet) >= 40 && packet[6] == unix.IPPROTO_UDP:
		from, to = netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
		packet = packet[40:]
	}
	if len(packet) < 8 || !from.IsValid() {
		return nil
	}
	d.From = netip.AddrPortFrom(from, binary.BigEndian.Uint16(packet))
	d.To = netip.AddrPortFrom(to, binary.BigEndian.Uint16(packet[2:]))
	length := int(binary.BigEndian.Uint16(packet[4:]))
	if length < 8 || length > len(packet) {
		return nil
	}
	d.Payload = append([]byte{}, packet[8:length]...)
	return d
}

// Send sends the datagram.
func (w *Wire) Send(d Datagram) error { return w.Frame(w.Bytes(d)) }

// Bytes returns the frame of the datagram, so that a test can change it.
func (w *Wire) Bytes(d Datagram) []byte {
	from := d.FromMAC
	if from == nil {
		from = w.MAC
	}
	kind, header := uint16(unix.ETH_P_IP), header4(d)
	if d.To.Addr().Is6() {
		kind, header = unix.ETH_P_IPV6, header6(d)
	}
	frame := append(append([]byte{}, d.ToMAC...), from...)
	frame = binary.BigEndian.AppendUint16(frame, kind)
	return append(append(frame, header...), udp(d)...)
}

func header4(d Datagram) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(d.Payload)))
	b = append(append(b, d.From.Addr().AsSlice()...), d.To.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(b[10:], sum(b))
	return b
}

func header6(d Datagram) []byte {
	b := []byte{0x60, 0, 0, 0, 0, 0, unix.IPPROTO_UDP, 64}
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(d.Payload)))
	return append(append(b, d.From.Addr().AsSlice()...), d.To.Addr().AsSlice()...)
}

func udp(d Datagram) []byte {
	b := binary.BigEndian.AppendUint16(nil, d.From.Port())
	b = binary.BigEndian.AppendUint16(b, d.To.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(d.Payload)))
	b = append(append(b, 0, 0), d.Payload...)
	pseudo := append(append([]byte{}, d.From.Addr().AsSlice()...), d.To.Addr().AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(b)))
	pseudo = append(append(pseudo, 0, 0, 0, unix.IPPROTO_UDP), b...)
	c := sum(pseudo)
	if c == 0 {
		c = 0xffff // RFC 768: zero means no checksum
	}
	binary.BigEndian.PutUint16(b[6:], c)
	return b
}

// sum returns the checksum of RFC 1071.
func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i]) << 8
		if i+1 < len(b) {
			s += uint32(b[i+1])
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}
