package netboot

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// proxyPort is the port at which a PXE client that has an address asks a server for its boot file (PXE 2.1, 2.2.3).
const proxyPort = 4011

// Proxy answers only DHCP clients that want a boot file. Their addresses come from another server.
type Proxy struct {
	Server netip.Addr // this machine, as the clients see it
	Arch   string     // the architecture of the unified kernel image, as GOARCH names it
	Script string     // the URL of the script for iPXE
	UKI    string     // the URL of the unified kernel image, empty if there is none; over TFTP its name is UKIName
	Medium string     // the URL of a medium for amd64 machines that boot over HTTP; empty if there is none
	BIOS   string     // the TFTP name of the boot program for BIOS machines, empty if there is none
	Logf   func(format string, args ...any)

	// Has reports whether a machine has a configuration of its own; nil: none has.
	Has func(machine string) bool
}

// Limits on answers in a second. An answer is not much larger than its request, but an attacker who forges sender
// addresses could otherwise make this server send any number of packets to somebody else.
const (
	maxAnswers     = 200
	maxPeerAnswers = 10
)

// Serve answers the requests that arrive on conn. conn is bound to port 67 (DHCP) or, if direct is set, to port 4011
// (PXE). Serve returns nil when conn is closed.
func (p *Proxy) Serve(conn net.PacketConn, direct bool) error {
	b := make([]byte, 1<<16)
	rate := rateLimiter{all: maxAnswers, each: maxPeerAnswers}
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
			continue // not DHCP
		}
		to := destination(request, peer, direct)
		if to == nil {
			continue
		}
		reply, about := p.answer(request, direct)
		if about != "" && !rate.allows(rateKey(request, to)) {
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

// destination returns where to send the reply, by RFC 2131, 4.1: to the relay, to a client that has an address, else to
// the broadcast address. It returns nil if the reply would reach somebody who did not send the request: a client that
// has an address sends from it.
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

// rateKey returns the peer that an answer counts for: its destination or, if it is broadcast, the client's hardware
// address.
func rateKey(request *dhcpv4.DHCPv4, to net.Addr) string {
	if a := peerOf(to); a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return a.String()
	}
	return request.ClientHWAddr.String()
}

// The vendor classes of boot clients and of the servers that answer them.
const (
	classPXE  = "PXEClient"  // RFC 4578, 3; PXE 2.1, table 2-1
	classHTTP = "HTTPClient" // UEFI 2.10, 24.7.3
)

// discoveryControl is the content of option 43 for PXE: suboption 6, PXE_DISCOVERY_CONTROL, with bit 3, which tells the
// client to use the boot file of this packet and to ask no other server; then the end (PXE 2.1, table 2-1).
const discoveryControl = "\x06\x01\x08\xff"

// answer returns the reply to a request, or nil for no reply, and a text for the log, or "" for nothing to log.
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
	// Clients of other servers also send requests to port 67. A client of ours names us as its server.
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
	file = p.forMachine(request, file)
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
	// Old boot ROMs read the field of the header, which holds 127 bytes.
	if len(file) < 128 {
		reply.BootFileName = file
	}
	return reply, "is told to fetch " + file
}

// forMachine returns the name or the URL of a file for a client: m/UUID/FILE if it has a configuration of its own.
func (p *Proxy) forMachine(request *dhcpv4.DHCPv4, file string) string {
	if p.Has == nil {
		return file
	}
	for _, name := range namesOf(request) {
		if p.Has(name) {
			dir, base := path.Split(file)
			return dir + machinePrefix + name + "/" + base
		}
	}
	return file
}

// bootFile chooses the file that a client fetches. The error says why there is none for it.
func (p *Proxy) bootFile(request *dhcpv4.DHCPv4, class string) (string, error) {
	// iPXE names itself in its user class, though not in the form of RFC 3004. It can run the script on any machine.
	if bytes.Contains(request.Options.Get(dhcpv4.OptionUserClassInformation), []byte("iPXE")) {
		return p.Script, nil
	}
	archs := request.ClientArch()
	if len(archs) == 0 {
		return "", errors.New("does not say what machine it is")
	}
	// RFC 4578, 2.1, allows several types; the first is the current one. The RFC swaps the types 7 and 9 compared to
	// IANA's registry and all firmware, so both mean the same here.
	machine, overHTTP := "", false
	switch archs[0] {
	case iana.INTEL_X86PC:
		if p.BIOS == "" {
			return "",
				errors.New("a BIOS machine, but there is no boot program for BIOS here: pass iPXE's undionly.kpxe or " +
					"PXELINUX")
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
	case overHTTP && class == classHTTP && machine == "amd64" && p.Medium != "":
		return p.Medium, nil
	case machine == "" || machine != p.Arch:
		return "",
			fmt.Errorf("a machine of type %d (%v), but there is nothing here for this type", uint16(archs[0]), archs[0])
	case p.UKI == "":
		return "", fmt.Errorf("an EFI machine, but there is no %s here", UKIName)
	case overHTTP != (class == classHTTP):
		return "", fmt.Errorf("contradicts itself: it says %s, but machine type %v", class, archs[0])
	case overHTTP:
		return p.UKI, nil
	}
	return UKIName, nil
}
