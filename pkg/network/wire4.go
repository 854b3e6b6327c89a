package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// wire4 sends DHCPv4 messages from a link that may have no address yet, and hears those that come to it.
type wire4 struct {
	file         *os.File // a packet socket (packet(7)) without link-layer headers
	ifi          *net.Interface
	infiniBand   bool
	client       int // ports
	server       int
	clientID     []byte
	question     atomic.Uint32 // the transaction that is asked for
	answers      chan *dhcpv4.DHCPv4
	done, silent chan struct{}
}

const maxMessage4 = 1500

// listen4 opens the link. Close ends what it begins.
func listen4(name string, clientPort, serverPort int, clientID []byte) (*wire4, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	const backlog = 1 << 20 // a burst of nonsense should not cost the answer in it
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, backlog)
	address := &unix.SockaddrLinklayer{Protocol: bigEndian16(unix.ETH_P_IP), Ifindex: ifi.Index}
	err = errors.Join(filter4(fd, clientPort), unix.Bind(fd, address))
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	w := &wire4{
		file: os.NewFile(uintptr(fd), "dhcp4"), ifi: ifi, infiniBand: len(ifi.HardwareAddr) == infiniBandLen,
		client: clientPort, server: serverPort, clientID: clientID,
		answers: make(chan *dhcpv4.DHCPv4, 256), done: make(chan struct{}), silent: make(chan struct{}),
	}
	go w.listen()
	return w, nil
}

func (w *wire4) Close() {
	close(w.done)
	w.file.Close()
	<-w.silent
}

func bigEndian16(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// filter4 has the kernel pass on nothing but whole UDP datagrams to the port: on a busy link all others would have to
// be read.
func filter4(fd, port int) error {
	const drop, take = 0, 1 << 16
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 6},
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 4}, // a fragment
		bpf.LoadMemShift{Off: 0},
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(port), SkipTrue: 1},
		bpf.RetConstant{Val: take},
		bpf.RetConstant{Val: drop},
	})
	if err != nil {
		return err
	}
	raw := make([]unix.SockFilter, len(program))
	for i, in := range program {
		raw[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	attached := &unix.SockFprog{Len: uint16(len(raw)), Filter: &raw[0]}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, attached)
}

// listen passes on the messages to this client until Close.
func (w *wire4) listen() {
	defer close(w.silent)
	packets(w.file, w.done, func(b []byte) {
		p, err := parse4(payload4(b))
		if err != nil || binary.BigEndian.Uint32(p.TransactionID[:]) != w.question.Load() || !w.forUs(p) {
			return
		}
		select {
		case w.answers <- p:
		default: // somebody shouts
		}
	})
}

// payload4 is the payload of the UDP datagram in an IPv4 packet, nil if the packet is cut off. Ethernet pads short
// frames, so only the packet's own lengths count.
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
// (RFC 4390 section 2.1), but the client identifier, if the server follows RFC 6842.
func (w *wire4) forUs(p *dhcpv4.DHCPv4) bool {
	if p.OpCode != dhcpv4.OpcodeBootReply {
		return false
	}
	if w.infiniBand {
		id, there := p.Options[dhcpv4.OptionClientIdentifier.Code()]
		return !there || bytes.Equal(id, w.clientID)
	}
	return bytes.Equal(p.ClientHWAddr, w.ifi.HardwareAddr)
}

// broadcast sends the message to all on the link, from no address.
func (w *wire4) broadcast(m *dhcpv4.DHCPv4) error {
	packet := datagram4(m.ToBytes(), w.client, w.server)
	return w.sendTo(packet, broadcastAddress(w.ifi))
}

// datagram4 is a UDP datagram from 0.0.0.0 to 255.255.255.255. Its checksum is left out, as RFC 768 allows.
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

// checksum is that of RFC 1071, over an even number of bytes.
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

// broadcastAddress is the hardware address of all on the link. That of InfiniBand (RFC 4391 section 4) has the scope
// and the partition of the link's own: the kernel knows it, and puts in the partition itself (ipoib_start_xmit).
func broadcastAddress(ifi *net.Interface) []byte {
	if len(ifi.HardwareAddr) != infiniBandLen {
		return bytes.Repeat([]byte{255}, 6)
	}
	return []byte{0, 255, 255, 255, 255, 0x12, 0x40, 0x1b, 255, 255, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255}
}

// sendTo is sendto(2) with an address that is longer than the 8 bytes which the standard library has room for.
func (w *wire4) sendTo(packet, to []byte) error {
	address := make([]byte, 12, 12+32)
	binary.NativeEndian.PutUint16(address, unix.AF_PACKET)
	binary.BigEndian.PutUint16(address[2:], unix.ETH_P_IP)
	binary.NativeEndian.PutUint32(address[4:], uint32(w.ifi.Index))
	address[11] = byte(len(to))
	address = append(address, to...)
	if len(address) < unix.SizeofSockaddrLinklayer {
		address = address[:unix.SizeofSockaddrLinklayer]
	}
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	err = raw.Write(func(fd uintptr) bool {
		_, _, errno = unix.Syscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&packet[0])), uintptr(len(packet)), 0,
			uintptr(unsafe.Pointer(&address[0])), uintptr(len(address)))
		return errno != unix.EAGAIN
	})
	if err == nil && errno != 0 {
		err = fmt.Errorf("cannot send: %w", errno)
	}
	return err
}

// unicast4 opens a socket from the leased address to its server. What comes to it is heard by the packet socket as
// well; it is there for the kernel to find the way, and to say that there is none. It is not bound to the link: the
// kernel's own word that a neighbour is gone comes over the loopback.
func (w *wire4) unicast4(ctx context.Context, from, to netip.Addr) (net.Conn, error) {
	index := binary.NativeEndian.Uint32(binary.BigEndian.AppendUint32(nil, uint32(w.ifi.Index)))
	overLink := func(_, _ string, c syscall.RawConn) error {
		var err error
		controlErr := c.Control(func(fd uintptr) {
			err = errors.Join(
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_UNICAST_IF, int(int32(index))),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1), // the address may be a VRF's
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1),  // else it keeps to itself what may heal
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			)
		})
		return errors.Join(err, controlErr)
	}
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, uint16(w.client))), Control: overLink}
	w.probe(to)
	return d.DialContext(ctx, "udp4", netip.AddrPortFrom(to, uint16(w.server)).String())
}

// probe has the kernel find out whether the neighbour is still there, if it knows it: it would else take that for
// granted for up to a minute.
func (w *wire4) probe(neighbour netip.Addr) {
	_ = netlink.NeighSet(&netlink.Neigh{
		LinkIndex: w.ifi.Index, Family: unix.AF_INET, State: netlink.NUD_PROBE, IP: neighbour.AsSlice(),
	})
}

// question4 is a message, and what is an answer to it.
type question4 struct {
	m     *dhcpv4.DHCPv4
	send  func(*dhcpv4.DHCPv4) error
	fits  func(*dhcpv4.DHCPv4) bool
	began time.Time
}

// ask sends the message and waits so long for a fitting answer; errNoAnswer if none comes. The transaction id stays, so
// that an answer to an earlier sending counts: a server may spend seconds on finding out whether an address is free.
// What does not fit costs no time.
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
