package netboot

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// proxyPort is where a PXE client asks a server for its boot file when it has an address (PXE 2.1, 2.2.3).
const proxyPort = 4011

// Proxy answers DHCP clients that look for something to boot, and no others. The addresses come from another server.
type Proxy struct {
	Server netip.Addr // this machine, as the clients see it
	Arch   string     // of the unified kernel image, as GOARCH names it
	Script string     // the URL of the script for iPXE
	UKI    string     // the URL of the unified kernel image, empty if there is none; over TFTP its name is UKIName
	BIOS   string     // the TFTP name of the boot program for BIOS machines, empty if there is none
	Logf   func(format string, args ...any)
}

// How many answers go out within a second. None is much larger than what asked for it, but whoever forges a sender's
// address would have us write to it as often as he likes.
const (
	maxAnswers     = 200
	maxPeerAnswers = 10
)

// Serve answers what arrives on conn, which is bound to DHCP's port 67 or, where direct is set, to PXE's 4011. It
// returns nil when conn is closed.
func (p *Proxy) Serve(conn net.PacketConn, direct bool) error {
	b := make([]byte, 1<<16)
	rate := pace{all: maxAnswers, each: maxPeerAnswers}
	for {
		n, peer, err := conn.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot receive DHCP: %w", err)
		}
		request, err := dhcpv4.FromBytes(b[:n])
		if err != nil {
			continue // not DHCP, and so not ours
		}
		to := destination(request, peer, direct)
		if to == nil {
			continue
		}
		reply, about := p.answer(request, direct)
		if about != "" && !rate.allows(asker(request, to)) {
			continue
		}
		if about != "" {
			p.Logf("dhcp: %s: %s", request.ClientHWAddr, about)
		}
		if reply == nil {
			continue
		}
		if _, err := conn.WriteTo(reply.ToBytes(), to); err != nil {
			p.Logf("dhcp: cannot answer %s: %v", request.ClientHWAddr, err)
		}
	}
}

// destination is where RFC 2131, 4.1, wants the reply: to the relay, to the client that has an address, else to all on
// this wire. It is nil where that would be somebody who has not asked: a client that has an address sends from it.
func destination(request *dhcpv4.DHCPv4, peer net.Addr, direct bool) net.Addr {
	switch relay, client := request.GatewayIPAddr, request.ClientIPAddr; {
	case direct:
		return peer
	case !relay.IsUnspecified():
		if !relay.IsGlobalUnicast() {
			return nil
		}
		return &net.UDPAddr{IP: relay, Port: dhcpv4.ServerPort}
	case !client.IsUnspecified():
		if from, ok := peer.(*net.UDPAddr); !ok || !from.IP.Equal(client) {
			return nil
		}
		return &net.UDPAddr{IP: client, Port: dhcpv4.ClientPort}
	}
	return &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ClientPort}
}

// asker is whom an answer counts for: the one that it is sent to, and where that is all of the wire, a machine there.
func asker(request *dhcpv4.DHCPv4, to net.Addr) string {
	if a := peerOf(to); a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return a.String()
	}
	return request.ClientHWAddr.String()
}

// The classes of clients that want something to boot, and of the servers that have it.
const (
	classPXE  = "PXEClient"  // RFC 4578, 3; PXE 2.1, table 2-1
	classHTTP = "HTTPClient" // UEFI 2.10, 24.7.3
)

// discoveryControl is PXE's option 43 with suboption 6, PXE_DISCOVERY_CONTROL, bit 3: take the boot file that is named
// in this packet and ask no further; then the end (PXE 2.1, table 2-1).
const discoveryControl = "\x06\x01\x08\xff"

// answer returns the reply to a request, nil for none, and what a person who watches may want to know, empty for
// nothing.
func (p *Proxy) answer(request *dhcpv4.DHCPv4, direct bool) (*dhcpv4.DHCPv4, string) {
	if request.OpCode != dhcpv4.OpcodeBootRequest {
		return nil, ""
	}
	class := request.ClassIdentifier()
	switch {
	case strings.HasPrefix(class, classPXE):
		class = classPXE
	case strings.HasPrefix(class, classHTTP):
		class = classHTTP
	default:
		return nil, ""
	}
	kind := dhcpv4.MessageTypeAck
	switch t := request.MessageType(); {
	case t == dhcpv4.MessageTypeDiscover && !direct:
		kind = dhcpv4.MessageTypeOffer
	// On port 67 others' clients ask, too; ours names us.
	case t == dhcpv4.MessageTypeRequest && (direct || request.ServerIdentifier().Equal(p.Server.AsSlice())):
	case t == dhcpv4.MessageTypeInform && direct:
	default:
		return nil, ""
	}

	file, err := p.bootFile(request, class)
	if err != nil {
		if kind != dhcpv4.MessageTypeOffer {
			return nil, ""
		}
		return nil, err.Error()
	}
	options := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithServerIP(p.Server.AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(p.Server.AsSlice())),
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier(class)),
		dhcpv4.WithOption(dhcpv4.OptBootFileName(file)),
		dhcpv4.WithOptionCopied(request, dhcpv4.OptionClientMachineIdentifier), // PXE 2.1: every reply has it
	}
	if class == classPXE {
		options = append(options, dhcpv4.WithGeneric(dhcpv4.OptionVendorSpecificInformation, []byte(discoveryControl)))
	}
	reply, err := dhcpv4.NewReplyFromRequest(request, options...)
	if err != nil {
		return nil, err.Error()
	}
	// Old boot ROMs read the header's field, which has room for 127 bytes.
	if len(file) < 128 {
		reply.BootFileName = file
	}
	return reply, "is told of " + file
}

// bootFile chooses what a client shall fetch. An error says why there is nothing for it.
func (p *Proxy) bootFile(request *dhcpv4.DHCPv4, class string) (string, error) {
	// iPXE says so in its user class, not in RFC 3004's form. It can do all that we need, on any machine.
	if bytes.Contains(request.Options.Get(dhcpv4.OptionUserClassInformation), []byte("iPXE")) {
		return p.Script, nil
	}
	archs := request.ClientArch()
	if len(archs) == 0 {
		return "", errors.New("does not say what machine it is")
	}
	// RFC 4578, 2.1, lets it name several, and the first is the one it is now. It has 7 and 9 the other way round than
	// IANA's registry and all firmware, so both stand for the same.
	machine, overHTTP := "", false
	switch archs[0] {
	case iana.INTEL_X86PC:
		if p.BIOS == "" {
			return "", errors.New("a BIOS machine, for which there is no boot program here: name iPXE's undionly.kpxe, or PXELINUX")
		}
		return p.BIOS, nil
	case iana.EFI_X86_64, iana.EFI_BC:
		machine = "amd64"
	case iana.EFI_X86_64_HTTP:
		machine, overHTTP = "amd64", true
	case iana.EFI_ARM64:
		machine = "arm64"
	case iana.EFI_ARM64_HTTP:
		machine, overHTTP = "arm64", true
	}
	switch {
	case machine == "" || machine != p.Arch:
		return "", fmt.Errorf("a machine of type %d (%v), for which there is nothing here", uint16(archs[0]), archs[0])
	case p.UKI == "":
		return "", fmt.Errorf("an EFI machine, for which there is no %s here", UKIName)
	case overHTTP != (class == classHTTP):
		return "", fmt.Errorf("says %s, and machine type %v", class, archs[0])
	case overHTTP:
		return p.UKI, nil
	}
	return UKIName, nil
}
