package netboot

import (
	"cmp"
	"context"
	"debug/pe"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Options says what Serve serves, and where.
type Options struct {
	Site
	HTTP string // the address for HTTP: ":80", "192.0.2.1:8080"
	TFTP string // the address for TFTP; empty: no TFTP
	DHCP string // the interface on which to answer boot clients, such as "eth1"; empty: no proxyDHCP
	BIOS string // the name of the file for BIOS machines; empty: none
	Logf func(format string, args ...any)

	wait time.Duration // before a TFTP packet is repeated; 0: waitTime
}

// Serve serves the site until ctx ends, and then returns nil. It fails at once if it cannot listen or a file is
// missing.
func Serve(ctx context.Context, o Options) error {
	if err := o.check(o.Logf); err != nil {
		return err
	}
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp4", o.HTTP)
	if err != nil {
		return listenError("HTTP", o.HTTP, err)
	}
	defer l.Close()
	group, ctx := errgroup.WithContext(ctx)

	if o.TFTP != "" {
		conn, err := listen.ListenPacket(ctx, "udp4", o.TFTP)
		if err != nil {
			return listenError("TFTP", o.TFTP, err)
		}
		group.Go(func() error { return o.newTFTP(cmp.Or(o.wait, waitTime), o.Logf).serve(ctx, conn.(*net.UDPConn)) })
		o.Logf("tftp: serving at %s", conn.LocalAddr())
	}
	if o.DHCP != "" {
		if err := o.serveDHCP(ctx, group, l.Addr()); err != nil {
			return err
		}
	}
	context.AfterFunc(ctx, func() { l.Close() })
	group.Go(func() error { return ServeHTTP(l, o.handler(o.Logf)) })
	o.announce(l.Addr())
	return group.Wait()
}

// serveDHCP starts a Proxy on both of its ports in group.
func (o *Options) serveDHCP(ctx context.Context, group *errgroup.Group, web net.Addr) error {
	if _, port, err := net.SplitHostPort(o.TFTP); err != nil || port != "69" {
		return fmt.Errorf("PXE clients find TFTP at port 69 and at no other: it cannot be at %q together with DHCP",
			o.TFTP)
	}
	address, err := addressOf(o.DHCP)
	if err != nil {
		return err
	}
	url := urlOf(address, web) + "/"
	p := &Proxy{Server: address, Script: url + ScriptName, BIOS: o.BIOS, Has: o.hasFile, Logf: o.Logf}
	if name := o.Files[UKIName]; name != "" {
		p.UKI = url + UKIName
		if p.Arch, err = machineOf(name); err != nil {
			return err
		}
	}
	o.proxyMedium(p, url)
	for _, port := range []int{dhcpv4.ServerPort, proxyPort} {
		conn, err := server4.NewIPv4UDPConn(o.DHCP, &net.UDPAddr{Port: port})
		if err != nil {
			return fmt.Errorf("cannot listen for DHCP on %s: %w; this needs root, and no other DHCP server on this "+
				"machine",
				o.DHCP, err)
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		group.Go(func() error { return p.Serve(conn, port == proxyPort) })
	}
	o.Logf("dhcp: telling boot clients on %s to fetch from %s; their addresses come from another DHCP server", o.DHCP,
		address)
	return nil
}

// announce logs where the files are, for a person to type or to put into the configuration of a DHCP server.
func (o *Options) announce(web net.Addr) {
	at := web.(*net.TCPAddr)
	addresses := []netip.Addr{at.AddrPort().Addr().Unmap()}
	if addresses[0].IsUnspecified() {
		addresses = o.Addresses()
	}
	for _, a := range addresses {
		url := urlOf(a, web)
		o.Logf("iPXE: chain %s/%s", url, ScriptName)
		if o.MachineDir != "" {
			o.Logf("iPXE of a machine with a file of its own: chain %s/%s${uuid}/%s", url, machinePrefix, ScriptName)
		}
		pxe, web := o.programs()
		if web != "" {
			o.Logf("UEFI HTTP boot: %s/%s", url, web)
		}
		if web != "" && o.MachineDir != "" {
			o.Logf("UEFI HTTP boot of a machine with a file of its own: %s/%sUUID/%s", url, machinePrefix, web)
		}
		if o.TFTP != "" && pxe != "" {
			o.Logf("UEFI PXE: next server %s, file %s", a, pxe)
		}
		if o.TFTP != "" && o.BIOS != "" {
			o.Logf("BIOS PXE: next server %s, file %s", a, o.BIOS)
		}
	}
}

// urlOf returns the URL of this server at an address, without the port that HTTP has anyway.
func urlOf(a netip.Addr, web net.Addr) string {
	if port := web.(*net.TCPAddr).Port; port != 80 {
		return "http://" + netip.AddrPortFrom(a, uint16(port)).String()
	}
	return "http://" + a.String()
}

// Addresses returns the IPv4 addresses at which machines can reach this one: the address of the interface for DHCP, or
// the address for HTTP, or all addresses.
func (o *Options) Addresses() []netip.Addr {
	if a, err := addressOf(o.DHCP); o.DHCP != "" && err == nil {
		return []netip.Addr{a}
	}
	if a, err := netip.ParseAddrPort(o.HTTP); err == nil && !a.Addr().IsUnspecified() && !a.Addr().IsLoopback() {
		return []netip.Addr{a.Addr().Unmap()}
	}
	var addresses []netip.Addr
	all, _ := net.InterfaceAddrs() // only for messages: an error does not matter
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			addresses = append(addresses, netip.AddrFrom4([4]byte(n.IP.To4())))
		}
	}
	return addresses
}

// addressOf returns the first IPv4 address of an interface.
func addressOf(name string) (netip.Addr, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("there is no interface %q", name)
	}
	addresses, err := i.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("cannot find the address of %s: %w", name, err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			return netip.AddrFrom4([4]byte(n.IP.To4())), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("interface %s has no IPv4 address for machines to fetch from", name)
}

// machineOf returns the architecture of an EFI program, as GOARCH names it.
func machineOf(name string) (string, error) {
	f, err := pe.Open(name)
	if err != nil {
		return "", fmt.Errorf("%s is not an EFI program: %w", name, err)
	}
	defer f.Close()
	switch f.Machine {
	case pe.IMAGE_FILE_MACHINE_AMD64:
		return "amd64", nil
	case pe.IMAGE_FILE_MACHINE_ARM64:
		return "arm64", nil
	}
	return "", fmt.Errorf("%s is for machine type %#x, which Wyrcan does not know", name, f.Machine)
}

// listenError explains why listening failed, and what to do.
func listenError(what, at string, err error) error {
	advice := "want [ADDRESS]:PORT, such as :8080 or 192.0.2.1:8080, and the address must be one of this machine"
	switch {
	case errors.Is(err, unix.EACCES):
		advice = "ports below 1024 are only for root: use sudo, or another port"
	case errors.Is(err, unix.EADDRINUSE):
		advice = "another program on this machine has that port: stop it, or use another port"
	}
	return fmt.Errorf("cannot serve %s at %q: %w; %s", what, at, err, advice)
}
