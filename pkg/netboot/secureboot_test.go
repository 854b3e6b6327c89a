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

	"gitlab.com/wyrcan/wyrcan/pkg/grub"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// withShim adds the signed chain to a site.
func withShim(t *testing.T, s Site) Site {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		GRUBName: "MZ grub", MokManagerName: "MZ mok", ShimName: string(testUKI(t)),
	} {
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
	const menu = `  linux /wyrcan.kernel quiet wyr.img=registry.example/debian 'wyr.arg=a b'
  initrd /wyrcan.initrd
`
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
	for _, want := range []string{"UEFI HTTP boot: http://127.0.0.1:", "/wyrcan.efi", "UEFI PXE: ", ", file shimx64.efi"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("%q is not in\n%s", want, l)
		}
	}
}

// withMedium adds a medium to a site, with a kernel behind the file that GRUB reads.
func withMedium(t *testing.T, s Site) (_ Site, original string) {
	t.Helper()
	menu, err := grub.Entry{Kernel: "/kernel", Initrd: "/initrd", Cmdline: "console=tty0", Timeout: 5}.Padded()
	if err != nil {
		t.Fatal(err)
	}
	original = strings.Repeat("\x00", 40<<10) + menu + strings.Repeat("kernel! ", 100<<10)
	s.Files[MediumName] = filepath.Join(t.TempDir(), MediumName)
	if err := os.WriteFile(s.Files[MediumName], []byte(original), 0o644); err != nil {
		t.Fatal(err)
	}
	return s, original
}

// The medium is served with the site's command line, whole and in parts.
func TestMedium(t *testing.T) {
	s, original := withMedium(t, site(t))
	web, _, l := start(t, s)
	response, got := nettest.Ask(t, "GET", web+"/wyrcan.iso", "")
	if len(got) != len(original) || response.Header.Get("Content-Type") != "application/vnd.efi-iso" {
		t.Fatalf("%s, %d bytes, want %d", response.Status, len(got), len(original))
	}
	want, err := grub.Entry{Kernel: "/kernel", Initrd: "/initrd", Cmdline: testLine}.Padded()
	if err != nil {
		t.Fatal(err)
	}
	const at = 40 << 10
	if !strings.Contains(want, "'wyr.arg=a b'") || string(got[at:at+grub.Room]) != want ||
		string(got[:at])+string(got[at+grub.Room:]) != original[:at]+original[at+grub.Room:] {
		t.Errorf("GRUB reads %.300s", got[at:])
	}
	for _, part := range []struct{ header, want string }{
		{"bytes=40900-40999", string(got[40900:41000])}, {"bytes=49100-49199", string(got[49100:49200])},
	} {
		if _, b := nettest.Ask(t, "GET", web+"/wyrcan.iso", "", "Range", part.header); string(b) != part.want {
			t.Errorf("%s: %q, want %q", part.header, b, part.want)
		}
	}
	if !strings.Contains(l.String(), "/wyrcan.iso") {
		t.Errorf("the medium is not announced in\n%s", l)
	}
	s.Files[MediumName] = s.Files[KernelName]
	if err := Serve(t.Context(), Options{Site: s, HTTP: "127.0.0.1:0", Logf: t.Logf}); err == nil ||
		!strings.Contains(err.Error(), "not the medium of make SECUREBOOT=1") {
		t.Errorf("a kernel as the medium: Serve = %v", err)
	}
}

// A proxy names the medium to machines that boot over HTTP. GRUB would not find its files after PXE by a proxy.
func TestProxyMedium(t *testing.T) {
	s, _ := withMedium(t, withShim(t, site(t)))
	p, l := proxy(t), new(nettest.Log)
	(&Options{Site: s, Logf: l.Printf}).proxyMedium(p, "http://192.0.2.1/")
	if !strings.Contains(l.String(), "names shimx64.efi as the file and 192.0.2.1 as the next server") {
		t.Errorf("it said\n%s", l)
	}
	for _, c := range []struct {
		class string
		arch  iana.Arch
		want  string
	}{
		{web, iana.EFI_X86_64_HTTP, "http://192.0.2.1/wyrcan.iso"}, {pxe, iana.EFI_X86_64, "wyrcan.efi"},
		{pxe, iana.EFI_BC, "wyrcan.efi"}, {pxe, iana.INTEL_X86PC, "undionly.kpxe"},
	} {
		reply, about := p.answer(message(t, dhcpv4.MessageTypeDiscover, client(c.class, c.arch)...), false)
		if reply == nil || reply.BootFileNameOption() != c.want {
			t.Errorf("%s %v: %v, %s, want %s", c.class, c.arch, reply, about, c.want)
		}
	}
	if r, about := p.answer(message(t, dhcpv4.MessageTypeDiscover, client(web, iana.EFI_ARM64_HTTP)...), false); r != nil {
		t.Errorf("an arm64 machine is told %v, %s", r, about)
	}
	p.UKI, p.Arch = "", "" // without one there is still the medium for HTTP, and nothing for PXE
	if r, _ := p.answer(message(t, dhcpv4.MessageTypeDiscover, client(web, iana.EFI_X86_64_HTTP)...), false); r == nil {
		t.Error("no answer for HTTP without a unified kernel image")
	}
	if r, about := p.answer(message(t, dhcpv4.MessageTypeDiscover, client(pxe, iana.EFI_X86_64)...), false); r != nil {
		t.Errorf("PXE is told %v, %s", r, about)
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
