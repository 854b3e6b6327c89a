package netboot

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/pin/tftp/v3"

	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// withShim adds the signed chain to a site.
func withShim(t *testing.T, s Site) Site {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{GRUBName: "MZ grub", MokManagerName: "MZ mok", ShimName: string(testUKI(t))} {
		s.Files[name] = filepath.Join(dir, name)
		if err := os.WriteFile(s.Files[name], []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Firmware is told to fetch shim, which finds GRUB beside itself. GRUB finds its configuration by the names that it
// asks for, with the site's command line in GRUB's quotes.
func TestSecure(t *testing.T) {
	web, tftpAt, l := start(t, withShim(t, site(t)))
	const menu = `  linux /wyrcan.kernel quiet wyr.img=registry.example/debian 'wyr.arg=a b'` + "\n  initrd /wyrcan.initrd\n"
	for _, name := range []string{"grub/grub.cfg", "/grub/grub.cfg", "grub/x86_64-efi/grub.cfg"} {
		if r, b := nettest.Ask(t, "GET", web+"/"+name, ""); r.StatusCode != 200 || !strings.Contains(string(b), menu) {
			t.Errorf("GET %s: %s,\n%s", name, r.Status, b)
		}
	}
	for name, want := range map[string]string{"//grubx64.efi": "MZ grub", "mmx64.efi": "MZ mok"} {
		if _, b := nettest.Ask(t, "GET", web+"/"+name, ""); string(b) != want {
			t.Errorf("GET %s: %q", name, b)
		}
	}
	client, err := tftp.NewClient(tftpAt)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	from, err := client.Receive("//grubx64.efi", "octet")
	if err == nil {
		_, err = from.WriteTo(&b)
	}
	if err != nil || b.String() != "MZ grub" {
		t.Errorf("TFTP: %q, %v", &b, err)
	}
	for _, want := range []string{"UEFI HTTP boot: http://127.0.0.1:", "/shimx64.efi", "UEFI PXE: ", ", file shimx64.efi"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("%q is not in\n%s", want, l)
		}
	}
}

// A proxy names shim to machines that boot over HTTP. GRUB would not find its files after PXE by a proxy.
func TestProxyShim(t *testing.T) {
	p := proxy(t)
	o := &Options{Site: withShim(t, site(t)), Logf: t.Logf}
	if err := o.proxyShim(p, "http://192.0.2.1/"); err != nil || p.Arch != "amd64" {
		t.Fatal(err)
	}
	for _, c := range []struct {
		class string
		arch  iana.Arch
		want  string
	}{
		{web, iana.EFI_X86_64_HTTP, "http://192.0.2.1/shimx64.efi"}, {pxe, iana.EFI_X86_64, "wyrcan.efi"},
		{pxe, iana.EFI_BC, "wyrcan.efi"}, {pxe, iana.INTEL_X86PC, "undionly.kpxe"},
	} {
		reply, about := p.answer(message(t, dhcpv4.MessageTypeDiscover, client(c.class, c.arch)...), false)
		if reply == nil || reply.BootFileNameOption() != c.want {
			t.Errorf("%s %v: %v, %s, want %s", c.class, c.arch, reply, about, c.want)
		}
	}
	p.UKI = "" // without one there is still a program for HTTP, and none for PXE
	if r, _ := p.answer(message(t, dhcpv4.MessageTypeDiscover, client(web, iana.EFI_X86_64_HTTP)...), false); r == nil {
		t.Error("no answer for HTTP without a unified kernel image")
	}
	if r, about := p.answer(message(t, dhcpv4.MessageTypeDiscover, client(pxe, iana.EFI_X86_64)...), false); r != nil {
		t.Errorf("PXE is told %v, %s", r, about)
	}
	o.Files[ShimName] = o.Files[KernelName]
	if err := o.proxyShim(p, ""); err == nil {
		t.Error("a kernel without a PE header was taken for shim")
	}
}

// The usual port is not in a URL.
func TestURLOf(t *testing.T) {
	for port, want := range map[int]string{80: "http://192.0.2.1", 8080: "http://192.0.2.1:8080"} {
		if got := urlOf(netip.MustParseAddr("192.0.2.1"), &net.TCPAddr{Port: port}); got != want {
			t.Errorf("port %d: %s, want %s", port, got, want)
		}
	}
}

// What GRUB cannot pass to a kernel is refused with the signed chain, which needs GRUB, and told without it.
func TestNotForGRUB(t *testing.T) {
	s := site(t)
	s.Cmdline = `wyr.arg=wyr.arg="a b"`
	web, _, l := start(t, s)
	if r, _ := nettest.Ask(t, "GET", web+"/grub/grub.cfg", ""); r.StatusCode != 404 ||
		!strings.Contains(l.String(), "there is no grub/grub.cfg: GRUB cannot pass the argument") {
		t.Errorf("GET grub.cfg: %s, and it said\n%s", r.Status, l)
	}
	at := Options{HTTP: "127.0.0.1:0", Logf: t.Logf}
	at.Site = withShim(t, s)
	if err := Serve(t.Context(), at); err == nil || !strings.Contains(err.Error(), "GRUB cannot pass the argument") {
		t.Errorf("Serve = %v", err)
	}
	at.Site = withShim(t, site(t))
	delete(at.Site.Files, GRUBName)
	if err := Serve(t.Context(), at); err == nil || !strings.Contains(err.Error(), "no grubx64.efi") {
		t.Errorf("without GRUB: Serve = %v", err)
	}
}

// GRUB's own names for its configuration, and none besides.
func TestGRUBConfigNames(t *testing.T) {
	for name, want := range map[string]bool{"grub/grub.cfg": true, "grub/x86_64-efi/grub.cfg": true, "grub.cfg": false,
		"grub/a/b/grub.cfg": false, "grub/x86_64-efi/normal.mod": false, "boot/grub/grub.cfg": false} {
		if got := isGRUBConfig(name); got != want {
			t.Errorf("isGRUBConfig(%q) = %v", name, got)
		}
	}
}
