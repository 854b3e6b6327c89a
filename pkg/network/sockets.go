package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// socket4 carries DHCPv4. Read returns IPv4 packets, of which the UDP port is that of the client.
type socket4 interface {
	io.ReadCloser
	// broadcast sends an IPv4 packet to all hosts on the link.
	broadcast(packet []byte) error
	// unicast opens a UDP socket from an address of the link to a server. What comes back is read from the socket4.
	unicast(ctx context.Context, from, to netip.Addr) (io.WriteCloser, error)
}

// socket6 carries DHCPv6. Read returns the payload of UDP datagrams to the client's port.
type socket6 interface {
	io.ReadCloser
	// send sends a payload to all DHCPv6 servers on the link.
	send(payload []byte) error
}

// routerSocket carries router solicitations and advertisements.
type routerSocket interface {
	io.Closer
	solicit() error
	// receive returns the next ICMPv6 message with the hop limit that it arrived with, -1 if that is unknown.
	receive() (message []byte, hopLimit int, from netip.Addr, err error)
	// address is the link-local address of this end.
	address() netip.Addr
}

// packetSocket is a packet socket (packet(7)) without link-layer headers.
type packetSocket struct {
	file           *os.File
	ifi            *net.Interface
	client, server int // ports
}

// openPacketSocket opens a link for DHCPv4.
func openPacketSocket(name string, clientPort, serverPort int) (*packetSocket, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	const backlog = 1 << 20 // a burst of useless packets must not cost the answer that is among them
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, backlog)
	address := &unix.SockaddrLinklayer{Protocol: bigEndian16(unix.ETH_P_IP), Ifindex: ifi.Index}
	err = errors.Join(filter4(fd, clientPort), unix.Bind(fd, address))
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &packetSocket{os.NewFile(uintptr(fd), "dhcp4"), ifi, clientPort, serverPort}, nil
}

func bigEndian16(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// filter4 lets the kernel pass on whole UDP datagrams to the port and nothing else. Without it this program would read
// every packet of a busy link.
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

func (s *packetSocket) Read(b []byte) (int, error) { return s.file.Read(b) }

func (s *packetSocket) Close() error { return s.file.Close() }

func (s *packetSocket) broadcast(packet []byte) error {
	return s.sendTo(packet, broadcastAddress(s.ifi))
}

// broadcastAddress returns the hardware address of all hosts on the link. On InfiniBand (RFC 4391 section 4) it has the
// scope and the partition of the link; the kernel fills in the partition itself (ipoib_start_xmit).
func broadcastAddress(ifi *net.Interface) []byte {
	if len(ifi.HardwareAddr) != infiniBandLen {
		return bytes.Repeat([]byte{255}, 6)
	}
	return []byte{0, 255, 255, 255, 255, 0x12, 0x40, 0x1b, 255, 255, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255}
}

// sendTo is sendto(2) with an address that may be longer than 8 bytes, which is all that the standard library has room
// for.
func (s *packetSocket) sendTo(packet, to []byte) error {
	address := make([]byte, 12, 12+32)
	binary.NativeEndian.PutUint16(address, unix.AF_PACKET)
	binary.BigEndian.PutUint16(address[2:], unix.ETH_P_IP)
	binary.NativeEndian.PutUint32(address[4:], uint32(s.ifi.Index))
	address[11] = byte(len(to))
	address = append(address, to...)
	if len(address) < unix.SizeofSockaddrLinklayer {
		address = address[:unix.SizeofSockaddrLinklayer]
	}
	raw, err := s.file.SyscallConn()
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

// unicast opens a socket that is there for the kernel to find the way to the server, and to say when there is none. It
// is not bound to the link: the kernel reports over the loopback that a neighbour is gone.
func (s *packetSocket) unicast(ctx context.Context, from, to netip.Addr) (io.WriteCloser, error) {
	index := binary.NativeEndian.Uint32(binary.BigEndian.AppendUint32(nil, uint32(s.ifi.Index)))
	overLink := func(_, _ string, c syscall.RawConn) error {
		var err error
		controlErr := c.Control(func(fd uintptr) {
			err = errors.Join(
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_UNICAST_IF, int(int32(index))),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1), // the address may be in a VRF
				// report errors that may be temporary too
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			)
		})
		return errors.Join(err, controlErr)
	}
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, uint16(s.client))), Control: overLink}
	s.probe(to)
	return d.DialContext(ctx, "udp4", netip.AddrPortFrom(to, uint16(s.server)).String())
}

// probe makes the kernel check whether a neighbour that it knows is still there. The kernel would otherwise take that
// for granted for up to a minute.
func (s *packetSocket) probe(neighbour netip.Addr) {
	_ = netlink.NeighSet(&netlink.Neigh{
		LinkIndex: s.ifi.Index, Family: unix.AF_INET, State: netlink.NUD_PROBE, IP: neighbour.AsSlice(),
	})
}

// udpSocket6 is a UDP socket at the link-local address of a link.
type udpSocket6 struct{ conn *net.UDPConn }

// allServers6 is All_DHCP_Relay_Agents_and_Servers of RFC 8415 section 7.1.
var allServers6 = netip.MustParseAddr("ff02::1:2")

// openUDPSocket6 opens a link for DHCPv6. The link must have its link-local address.
func openUDPSocket6(name string) (udpSocket6, error) {
	own, err := dhcpv6.GetLinkLocalAddr(name)
	if err != nil {
		return udpSocket6{}, err
	}
	conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: own, Port: dhcpv6.DefaultClientPort, Zone: name})
	return udpSocket6{conn}, err
}

func (s udpSocket6) Read(b []byte) (int, error) { return s.conn.Read(b) }

func (s udpSocket6) Close() error { return s.conn.Close() }

func (s udpSocket6) send(payload []byte) error {
	to := netip.AddrPortFrom(allServers6.WithZone(s.conn.LocalAddr().(*net.UDPAddr).Zone), dhcpv6.DefaultServerPort)
	_, err := s.conn.WriteToUDPAddrPort(payload, to)
	return err
}

// icmpSocket is an ICMPv6 socket that hears router advertisements. It is made of x/net: the package ndp, which has such
// a socket too, brings the tables of internationalized domain names along.
type icmpSocket struct {
	conn   *ipv6.PacketConn
	own    netip.Addr
	ifi    *net.Interface
	buffer []byte
}

// The groups of RFC 4291, section 2.7.1, and the hop limit of router discovery: RFC 4861, section 4.1.
var (
	allNodes   = net.ParseIP("ff02::1")
	allRouters = net.ParseIP("ff02::2")
)

const maxHopLimit = 255

// openICMPSocket opens a link for router discovery. The link must have its link-local address.
func openICMPSocket(index int) (*icmpSocket, error) {
	ifi, err := net.InterfaceByIndex(index)
	if err != nil {
		return nil, err
	}
	ip, err := dhcpv6.GetLinkLocalAddr(ifi.Name)
	if err != nil {
		return nil, err
	}
	// The kernel computes the checksum: RFC 3542, section 3.1.
	raw, err := net.ListenIP("ip6:ipv6-icmp", &net.IPAddr{IP: ip, Zone: ifi.Name})
	if err != nil {
		return nil, err
	}
	conn := ipv6.NewPacketConn(raw)
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterAdvertisement)
	if err := errors.Join(
		conn.SetICMPFilter(&filter),
		conn.SetControlMessage(ipv6.FlagHopLimit, true),
		conn.SetMulticastHopLimit(maxHopLimit),
		conn.JoinGroup(ifi, &net.IPAddr{IP: allNodes}),
	); err != nil {
		conn.Close()
		return nil, err
	}
	own, _ := netip.AddrFromSlice(ip)
	// The buffer is larger than any MTU: the kernel puts fragments together.
	return &icmpSocket{conn, own.WithZone(ifi.Name), ifi, make([]byte, 1<<16)}, nil
}

func (s *icmpSocket) Close() error { return s.conn.Close() }

func (s *icmpSocket) address() netip.Addr { return s.own }

// solicit sends a router solicitation: RFC 4861, section 4.1, with the option of section 4.6.1.
func (s *icmpSocket) solicit() error {
	message := make([]byte, 8)
	message[0] = byte(ipv6.ICMPTypeRouterSolicitation)
	if mac := s.ifi.HardwareAddr; len(mac) == 6 {
		const sourceLinkLayerAddress, eightBytes = 1, 1
		message = append(append(message, sourceLinkLayerAddress, eightBytes), mac...)
	}
	_, err := s.conn.WriteTo(message, nil, &net.IPAddr{IP: allRouters, Zone: s.ifi.Name})
	return err
}

func (s *icmpSocket) receive() ([]byte, int, netip.Addr, error) {
	n, control, from, err := s.conn.ReadFrom(s.buffer)
	hopLimit := -1
	if control != nil {
		hopLimit = control.HopLimit
	}
	var sender netip.Addr
	if at, ok := from.(*net.IPAddr); ok {
		sender, _ = netip.AddrFromSlice(at.IP)
		sender = sender.WithZone(at.Zone)
	}
	return s.buffer[:n], hopLimit, sender, err
}
