package network_test

import (
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/vishvananda/netns"
)

// serve4 answers DHCP messages on the other end of link 0 until the test ends.
func (w *world) serve4(answer func(request *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error)) {
	w.t.Helper()
	type result struct {
		server *server4.Server
		err    error
	}
	ready := make(chan result)
	go func() {
		runtime.LockOSThread() // for good, as in reaches; the socket stays in its namespace
		ns, err := netns.GetFromName(w.server)
		if err == nil {
			defer ns.Close()
			err = netns.Set(ns)
		}
		var s *server4.Server
		if err == nil {
			s, err = server4.NewServer("peer0", nil, func(conn net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
				reply, err := answer(m)
				if err != nil || reply == nil {
					return
				}
				conn.WriteTo(reply.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: 68})
			})
		}
		ready <- result{s, err}
	}()
	r := <-ready
	if r.err != nil {
		w.t.Fatal(r.err)
	}
	go r.server.Serve()
	w.t.Cleanup(func() { r.server.Close() })
}

// TestProxyDHCP checks that a proxyDHCP server, whose offer has no address, is skipped although it answers first.
// Then one server offers and refuses, offers an impossible address, and at last behaves.
func TestProxyDHCP(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 1)
	w.peer(0, "10.9.0.1/24")
	offers := 0
	w.serve4(func(m *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error) {
		reply, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithServerIP(net.IPv4(10, 9, 0, 1)),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 9, 0, 1))))
		if err != nil {
			return nil, err
		}
		address := func(ip net.IP) {
			reply.YourIPAddr = ip
			reply.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(24, 32)))
			reply.UpdateOption(dhcpv4.OptRouter(net.IPv4(10, 9, 0, 1)))
			reply.UpdateOption(dhcpv4.OptDNS(net.IPv4(10, 9, 0, 1)))
			reply.UpdateOption(dhcpv4.OptIPAddressLeaseTime(time.Hour))
		}
		switch m.MessageType() {
		case dhcpv4.MessageTypeDiscover:
			offers++
			reply.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeOffer))
			switch offers {
			case 1: // as a proxyDHCP server
				reply.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient"))
			case 2: // an impossible address
				address(net.IPv4bcast)
			case 3:
				address(net.IPv4(10, 9, 0, 66))
			default:
				address(net.IPv4(10, 9, 0, 77))
			}
		case dhcpv4.MessageTypeRequest:
			if m.RequestedIPAddress().Equal(net.IPv4(10, 9, 0, 66)) {
				reply.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeNak))
				reply.UpdateOption(dhcpv4.OptMessage("not today"))
				break
			}
			reply.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeAck))
			address(net.IPv4(10, 9, 0, 77))
		default:
			return nil, nil
		}
		return reply, nil
	})
	out := w.online(w.wyrnet(nil), 40*time.Second)
	if !w.hasAddress("eth0", "10.9.0.77/24") {
		t.Errorf("no address:\n%s", out)
	}
	if !strings.Contains(out, `server 10.9.0.1 refused 10.9.0.66: "not today"`) {
		t.Errorf("the refusal is not told:\n%s", out)
	}
}
