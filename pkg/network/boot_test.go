package network

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"gitlab.com/wyrcan/wyrcan/integration/network/raw"
)

// inOption4 returns the text as an option with this code, in hexadecimal.
func inOption4(code uint8, text string) string {
	var out string
	for first := true; first || text != ""; first = false { // RFC 3396: a long one is split
		n := min(len(text), 255)
		out += fmt.Sprintf("%02x%02x%x", code, n, text[:n])
		text = text[n:]
	}
	return out
}

// inVendor4 returns texts as options within option 43, with the codes 1, 2 and so on, in hexadecimal.
func inVendor4(t testing.TB, texts ...string) string {
	var inner string
	for i, text := range texts {
		inner += inOption4(uint8(1+i), text)
	}
	return inOption4(43, string(unhex(t, inner)))
}

// TestBoot4 checks what counts of what a DHCPv4 server says about what to boot.
func TestBoot4(t *testing.T) {
	const image = "registry.example/debian:13"
	long := "registry.example/" + strings.Repeat("x", 300)
	many := make([]string, maxBootArgs+2)
	for i := range many {
		many[i] = fmt.Sprintf("wyr.arg=%d", i)
	}
	var sixteen []string
	for i := range maxBootArgs {
		sixteen = append(sixteen, fmt.Sprint(i))
	}
	for _, tt := range []struct {
		name                 string
		options, file, sname string
		want                 Boot
		wrong                string // a part of each sentence, with | between them
	}{
		{name: "nothing", options: "0104ffffff00"},
		{name: "boot file", options: inOption4(67, "oci://"+image), want: Boot{BootFile: "oci://" + image}},
		{name: "boot file with zeros", options: inOption4(67, "oci://"+image+"\x00\x00"),
			want: Boot{BootFile: "oci://" + image}},
		{name: "in capitals", options: inOption4(67, "OCI://"+image), want: Boot{BootFile: "oci://" + image}},
		{name: "with a placeholder", options: inOption4(67, "oci://registry.example/${mac}"),
			want: Boot{BootFile: "oci://registry.example/${mac}"}},
		{name: "split", options: inOption4(67, "oci://"+long), want: Boot{BootFile: "oci://" + long}},
		{name: "in the header", file: fmt.Sprintf("%x", "oci://"+image), want: Boot{BootFile: "oci://" + image}},
		{name: "the whole header", file: fmt.Sprintf("%x", "oci://"+strings.Repeat("x", 122)),
			want: Boot{BootFile: "oci://" + strings.Repeat("x", 122)}},
		{name: "option before header", options: inOption4(67, "oci://"+image), file: fmt.Sprintf("%x", "oci://other"),
			want: Boot{BootFile: "oci://" + image}},
		{name: "header where the option is for PXE", options: inOption4(67, "pxelinux.0"),
			file: fmt.Sprintf("%x", "oci://"+image), want: Boot{BootFile: "oci://" + image}},
		{name: "in overloaded fields", options: "340103" + inOption4(67, "oci://"), file: inOption4(67, image[:9]),
			sname: inOption4(67, image[9:]), want: Boot{BootFile: "oci://" + image}},
		{name: "an overloaded header is no boot file", options: "340101 ff", file: fmt.Sprintf("%x", "oci://"+image)},

		// What servers send to PXE clients.
		{name: "PXELINUX", options: inOption4(67, "pxelinux.0") + inOption4(66, "tftp.example")},
		{name: "EFI", options: inOption4(67, "wyrcan.efi"), file: fmt.Sprintf("%x", "wyrcan.efi")},
		{name: "HTTP boot", options: inOption4(60, "HTTPClient") + inOption4(67, "http://server.example/wyrcan.efi")},
		{name: "a name like ours", options: inOption4(67, "oci:/"+image)},
		{name: "ours within another", options: inOption4(67, "http://server.example/oci://"+image)},
		{name: "PXE menu", options: inOption4(60, "PXEClient") +
			"2b15 060108 0807 0000 01 0a090001 0a04 00505845 ff ff ff"},
		{name: "an ACS", options: inVendor4(t, "https://acs.example/", "wyrcan")},
		{name: "a controller", options: "2b06 0104 0a090009"},
		{name: "access points", options: "2b06 f104 0a090009"},
		{name: "a site's own", options: inOption4(224, "building 7") + inOption4(225, "\x01\x02")},

		{name: "vendor options",
			options: inVendor4(t, "wyr.img="+image, "wyr.arg=quiet loglevel=3", "wyr.config=https://server.example/c"),
			want:    Boot{Image: image, Args: []string{"quiet loglevel=3"}, Config: "https://server.example/c"}},
		{name: "arguments in order", options: inVendor4(t, "wyr.arg=b", "wyr.img="+image, "wyr.arg=a", "wyr.arg=b"),
			want: Boot{Image: image, Args: []string{"b", "a", "b"}}},
		{name: "in the order of the codes", options: inOption4(43, "\x03\x09wyr.arg=c\x01\x09wyr.arg=a\x02\x09wyr.arg=b"+
			"\x01\x09wyr.arg=A"), want: Boot{Args: []string{"a", "A", "b", "c"}}},
		{name: "the last image", options: inVendor4(t, "wyr.img=other", "wyr.img="+image), want: Boot{Image: image}},
		{name: "with quotes", options: inVendor4(t, `wyr.arg="quiet loglevel=3"`, `wyr.arg=a="b c"`),
			want: Boot{Args: []string{"quiet loglevel=3", `a="b c"`}}},
		{name: "with zeros", options: inVendor4(t, "wyr.img="+image+"\x00", "wyr.arg=quiet\x00"),
			want: Boot{Image: image, Args: []string{"quiet"}}},
		{name: "padding and end", options: inOption4(43, "\x00\x00\x05\x09wyr.img=a\x00\xff\x06\x09wyr.img=b"),
			want: Boot{Image: "a"}},
		{name: "split vendor options", options: inVendor4(t, "wyr.arg="+strings.Repeat("a", 200),
			"wyr.arg="+strings.Repeat("b", 200), "wyr.img="+image),
			want: Boot{Image: image, Args: []string{strings.Repeat("a", 200), strings.Repeat("b", 200)}}},
		{name: "beside others", options: inVendor4(t, "\x0a\x09\x00\x01", "wyr.img="+image), want: Boot{Image: image}},
		{name: "plain text", options: inOption4(43, "wyr.img="+image), want: Boot{Image: image}},
		{name: "cut off", options: inOption4(43, "\x01\x09wyr.img=a\x02\x09wyr.img"), want: Boot{Image: "a"}},
		{name: "site-specific", options: inOption4(226, "wyr.config=https://server.example/c") +
			inOption4(224, "wyr.img="+image) + inOption4(225, "wyr.arg=quiet"),
			want: Boot{Image: image, Args: []string{"quiet"}, Config: "https://server.example/c"}},
		{name: "all at once", options: inOption4(67, "oci://"+image) + inVendor4(t, "wyr.arg=quiet"),
			want: Boot{BootFile: "oci://" + image, Args: []string{"quiet"}}},

		{name: "what belongs to an image", options: inVendor4(t, "wyr.img="+image, "wyr.overlay=registry.example/b:1",
			"wyr.kernel=registry.example/kernel", "wyr.overlay=registry.example/a", "wyr.init=/bin/init"),
			want: Boot{Image: image, More: []string{"wyr.overlay=registry.example/b:1",
				"wyr.kernel=registry.example/kernel", "wyr.overlay=registry.example/a", "wyr.init=/bin/init"}}},
		{name: "no image", options: inOption4(67, "oci://"), wrong: "names no image"},
		{name: "no value", options: inVendor4(t, "wyr.img=", "wyr.arg"), wrong: "has no value|has no value"},
		{name: "a policy", options: inVendor4(t, "wyr.policy=/x", "wyr.key=/y", "wyr.insecure=*", "wyr.img="+image),
			want: Boot{Image: image}, wrong: "cannot come from DHCP|cannot come from DHCP|cannot come from DHCP"},
		{name: "a name that begins like ours", options: inVendor4(t, "wyr.image=a"), wrong: "cannot come from DHCP"},
		{name: "lines", options: inOption4(67, "oci://a\nwyr.insecure=*") + inVendor4(t, "wyr.arg=a\nwyr.policy=/x"),
			wrong: `"oci://a wyr.insecure=*" of DHCP server 10.9.0.1 has characters|cannot be printed`},
		{name: "escapes", options: inOption4(67, "oci://a\x1b[2J"), wrong: `the boot file "oci://a [2J" of DHCP server`},
		{name: "a zero within", options: inVendor4(t, "wyr.img=a\x00b"), wrong: "cannot be printed"},
		{name: "invalid UTF-8", options: inVendor4(t, "wyr.img=a\xff"), wrong: "cannot be printed"},
		{name: "writing backwards", options: inVendor4(t, "wyr.img=a\u202eb"), wrong: "cannot be printed"},
		{name: "too long", options: inOption4(67, "oci://"+strings.Repeat("x", maxBootText)),
			wrong: "is longer than 2048 bytes"},
		{name: "too long for an argument", options: inOption4(224, "wyr.arg="+strings.Repeat("x", maxBootText)),
			wrong: "is longer than 2048 bytes"},
		{name: "as long as can be", options: inOption4(224, "wyr.arg="+strings.Repeat("x", maxBootText-8)),
			want: Boot{Args: []string{strings.Repeat("x", maxBootText-8)}}},
		{name: "too many", options: inVendor4(t, many...), want: Boot{Args: sixteen},
			wrong: "is more than 16|is more than 16"},
		{name: "a bad one does not hide the header", options: inOption4(67, "oci://a\n"),
			file: fmt.Sprintf("%x", "oci://"+image), want: Boot{BootFile: "oci://" + image}, wrong: "cannot be printed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := parse4(message4(t, tt.options, tt.file, tt.sname))
			if err != nil {
				t.Fatal(err)
			}
			lease := readLease4(p)
			tt.want.Server = "DHCP server 10.9.0.1"
			if diff := cmp.Diff(tt.want, lease.boot); diff != "" {
				t.Errorf("what to boot (-want +got):\n%s", diff)
			}
			checkWrong(t, lease.wrong, tt.wrong)
		})
	}
}

// checkWrong compares sentences with a part of each.
func checkWrong(t *testing.T, got []string, want string) {
	t.Helper()
	var parts []string
	if want != "" {
		parts = strings.Split(want, "|")
	}
	ok := len(got) == len(parts)
	for i := 0; ok && i < len(got); i++ {
		ok = strings.Contains(got[i], parts[i])
	}
	if !ok {
		t.Errorf("it says %q, want %q", got, parts)
	}
}

// inOption6 returns the text as an option with this code, in hexadecimal.
func inOption6(code uint16, text string) string {
	return fmt.Sprintf("%04x%04x%x", code, len(text), text)
}

// inVendor6 returns texts as options of a vendor.
func inVendor6(t testing.TB, number string, texts ...string) string {
	inner := number
	for i, text := range texts {
		inner += inOption6(uint16(1+i), text)
	}
	return inOption6(17, string(unhex(t, inner)))
}

// TestBoot6 checks what counts of what a DHCPv6 server says about what to boot.
func TestBoot6(t *testing.T) {
	const (
		image = "registry.example/debian:13"
		ours  = "0000ab11"
	)
	for _, tt := range []struct {
		name, options string
		want          Boot
		wrong         string
	}{
		{name: "nothing"},
		{name: "boot file", options: inOption6(59, "oci://"+image), want: Boot{BootFile: "oci://" + image}},
		{name: "for PXE", options: inOption6(59, "tftp://[2001:db8::1]/wyrcan.efi")},
		{name: "for HTTP boot", options: inOption6(16, string(unhex(t, "00000157 000a"))+"HTTPClient") +
			inOption6(59, "http://server.example/wyrcan.efi")},
		{name: "vendor options", options: inVendor6(t, ours, "wyr.img="+image, "wyr.arg=quiet loglevel=3",
			"wyr.arg=a", "wyr.config=https://server.example/c"),
			want: Boot{Image: image, Args: []string{"quiet loglevel=3", "a"}, Config: "https://server.example/c"}},
		{name: "of another vendor", options: inVendor6(t, "00000157", "wyr.img="+image)},
		{name: "of another vendor and ours", options: inVendor6(t, "00000157", "wyr.img=a") +
			inVendor6(t, ours, "wyr.img="+image), want: Boot{Image: image}},
		{name: "in two options", options: inVendor6(t, ours, "wyr.img="+image) + inVendor6(t, ours, "wyr.arg=a"),
			want: Boot{Image: image, Args: []string{"a"}}},
		{name: "in the order of the codes", options: inOption6(17, string(unhex(t, ours+inOption6(258, "wyr.arg=c")+
			inOption6(3, "wyr.arg=b")+inOption6(1, "wyr.arg=a")))), want: Boot{Args: []string{"a", "b", "c"}}},
		{name: "cut off", options: inOption6(17, string(unhex(t, ours+inOption6(1, "wyr.img=a")+"00020009"))+"wyr"),
			want: Boot{Image: "a"}},
		{name: "no number", options: inOption6(17, "\x00\x00\xab")},
		{name: "a policy", options: inVendor6(t, ours, "wyr.policy=/x"), wrong: "cannot come from DHCP"},
		{name: "lines", options: inOption6(59, "oci://a\nb"), wrong: "DHCPv6 server 02:00:00:00:01:01 has characters"},
		{name: "too long", options: inOption6(59, "oci://"+strings.Repeat("x", maxBootText))},
		{name: "too long for an argument", options: inVendor6(t, ours, "wyr.arg="+strings.Repeat("x", maxBootText)),
			wrong: "is longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := parse6(unhex(t, "07 010203"+ids6+"0003 0028 00000001 00000000 00000000"+good6+tt.options))
			if err != nil {
				t.Fatal(err)
			}
			lease := readLease6(m, time.Now())
			tt.want.Server = "DHCPv6 server 02:00:00:00:01:01"
			if diff := cmp.Diff(tt.want, lease.boot); diff != "" {
				t.Errorf("what to boot (-want +got):\n%s", diff)
			}
			checkWrong(t, lease.wrong, tt.wrong)
			if len(lease.addresses) != 1 {
				t.Errorf("the lease has the addresses %v", lease.addresses)
			}
		})
	}
}

// TestHostnameOfLease checks the name that a server gives to the machine.
func TestHostnameOfLease(t *testing.T) {
	for _, tt := range []struct{ four, six, want string }{
		{inOption4(12, "rack7"), "", "rack7"},
		{inOption4(12, "rack7\x00"), "", "rack7"},
		{inOption4(12, "rack7.example.net"), inOption6(39, "\x00\x05rack8\x00"), "rack7.example.net"},
		{"", inOption6(39, "\x00\x05rack8\x07example\x00"), "rack8.example"},
		{"", inOption6(39, "\x00\x05rack8"), "rack8"},
		{inOption4(12, "rack\n7"), inOption6(39, "\x00\x05rack8"), "rack8"},
		{inOption4(12, strings.Repeat("x", 254)), "", ""},
		{"", inOption6(39, "\x00"), ""},
		{"", inOption6(39, "\x00\x06rack\n8"), ""},
		{"", inOption6(39, "\x00\x3frack8"), ""},
	} {
		l := testLink(t, "[Network]\nDHCP=yes\n")
		p, err := parse4(message4(t, tt.four, "", ""))
		if err != nil {
			t.Fatal(err)
		}
		m, err := parse6(unhex(t, "07 010203"+ids6+tt.six))
		if err != nil {
			t.Fatal(err)
		}
		l.lease4, l.lease6 = readLease4(p), readLease6(m, time.Now())
		if got := l.state(time.Now()).Hostname; got != tt.want {
			t.Errorf("%s and %s: the name is %q, want %q", tt.four, tt.six, got, tt.want)
		}
		l.conf.DHCPv4.UseHostname, l.conf.DHCPv6.UseHostname = false, false
		if got := l.state(time.Now()).Hostname; got != "" {
			t.Errorf("%s and %s: the name is %q, which the file does not want", tt.four, tt.six, got)
		}
	}
}

// TestToldWhatToBoot checks that a link's state and its line have what the servers say, and what the servers are told
// about the client.
func TestToldWhatToBoot(t *testing.T) {
	kernel := func() *fakeKernel {
		k := leases(1)()
		k.dhcp4.file = "oci://registry.example/debian"
		inner := string(unhex(t, inOption4(1, "wyr.arg=quiet")+inOption4(2, "wyr.policy=/x")))
		k.dhcp4.options = append(k.dhcp4.options,
			dhcpv4.OptGeneric(dhcpv4.OptionVendorSpecificInformation, []byte(inner)))
		k.dhcp6.on, k.dhcp6.valid = true, 4*time.Hour
		k.dhcp6.options = []dhcpv6.Option{dhcpv6.OptBootFileURL("oci://registry.example/six")}
		k.router.ra = &raw.RA{Flags: managed, Lifetime: 1800}
		return k
	}
	inBubble(t, kernel, nil, func(t *testing.T, m *testManager, k *fakeKernel) {
		m.mustUp(time.Minute)
		pass(10 * time.Second)
		want := []Boot{
			{Server: "DHCP server 10.0.0.1", BootFile: "oci://registry.example/debian", Args: []string{"quiet"}},
			{Server: "DHCPv6 server 02:00:00:00:01:01", BootFile: "oci://registry.example/six"},
		}
		if diff := cmp.Diff(want, m.State()[0].Boot); diff != "" {
			t.Errorf("what to boot (-want +got):\n%s", diff)
		}
		for _, line := range []string{"boot file oci://registry.example/debian, wyr.arg=quiet",
			"boot file oci://registry.example/six",
			`eth0: the argument "wyr.policy=/x" of DHCP server 10.0.0.1 cannot come from DHCP, it is ignored`} {
			if m.says(line) != 1 {
				t.Errorf("%q is not said once: %q", line, m.said)
			}
		}
		pass(2 * time.Hour) // renewals say the same again
		if m.says("boot file") != 2 || m.says("wyr.policy") != 1 {
			t.Errorf("after renewals it says %q", m.said)
		}
		k.dhcp4.set(func(s *fakeServer4) { s.file, s.options = "", nil }) // or nothing, as with Windows' server
		pass(time.Hour)
		if diff := cmp.Diff(want, m.State()[0].Boot); diff != "" {
			t.Errorf("what to boot after a renewal without it (-want +got):\n%s", diff)
		}
		if k.dhcp4.class != "Wyrcan" || fmt.Sprintf("%q", k.dhcp6.classes) != `["Wyrcan"]` {
			t.Errorf("the servers hear of the classes %q and %q", k.dhcp4.class, k.dhcp6.classes)
		}
		k.cable(1, false)
		pass(5 * time.Second)
		if got := m.State()[0].Boot; got != nil {
			t.Errorf("without the cable there is still %+v", got)
		}
	})
}

// TestVendorClass checks that a file decides about the class.
func TestVendorClass(t *testing.T) {
	for _, tt := range []struct{ four, six, class, classes string }{
		{"VendorClassIdentifier=ours\n", "VendorClass=ours more\n", "ours", `["ours" "more"]`},
		{"VendorClassIdentifier=\n", "VendorClass=\n", "", `[]`},
		{"VendorClassIdentifier=ours\nVendorClassIdentifier=\n", "VendorClass=ours\nVendorClass=\n", "", `[]`},
		{"Anonymize=yes\n", "VendorClass=a\nVendorClass=b\n", "", `["a" "b"]`},
		{"", "", "Wyrcan", `["Wyrcan"]`},
	} {
		kernel := func() *fakeKernel {
			k := leases(1)()
			k.dhcp6.on, k.dhcp6.valid = true, 4*time.Hour
			k.router.ra = &raw.RA{Flags: managed, Lifetime: 1800}
			return k
		}
		files := map[string]string{"a.network": "[Match]\nName=eth0\n[Network]\nDHCP=yes\n[DHCPv4]\n" + tt.four +
			"[DHCPv6]\n" + tt.six}
		inBubble(t, kernel, files, func(t *testing.T, m *testManager, k *fakeKernel) {
			m.mustUp(time.Minute)
			pass(10 * time.Second)
			if classes := fmt.Sprintf("%q", k.dhcp6.classes); k.dhcp4.class != tt.class || classes != tt.classes {
				t.Errorf("%s%s: the servers hear of %q and %s, want %q and %s", tt.four, tt.six, k.dhcp4.class, classes,
					tt.class, tt.classes)
			}
		})
	}
}

// FuzzBoot checks that whatever a server says about what to boot is short, of visible characters and in one of the
// expected forms. The four inputs are the three fields of a DHCPv4 message that hold options, and the options of a
// DHCPv6 message.
func FuzzBoot(f *testing.F) {
	for _, tt := range []struct{ options, file, sname, six string }{
		{inOption4(67, "oci://registry.example/debian"), "", "", inOption6(59, "oci://registry.example/debian")},
		{inOption4(67, "pxelinux.0"), fmt.Sprintf("%x", "oci://x"), "", inOption6(39, "\x00\x05rack8")},
		{inVendor4(f, "wyr.img=a", "wyr.arg=b\n", "wyr.policy=c"), "", "",
			inVendor6(f, "0000ab11", "wyr.img=a", "wyr.arg=b")},
		{inOption4(43, "wyr.img=a"), "", "", inOption6(17, "\x00")},
		{inOption4(224, `wyr.arg="a b"`) + inOption4(226, "wyr.config=x"), "", "", ""},
		{"340103", inOption4(67, "oci://a"), inVendor4(f, "wyr.img=a"), ""},
		{"2b06 0104 0a090009" + inOption4(12, "rack7"), "", "", ""},
	} {
		f.Add(unhex(f, tt.options), unhex(f, tt.file), unhex(f, tt.sname), unhex(f, tt.six))
	}
	head4, head6 := message4(f, "", "", ""), unhex(f, "07 010203"+ids6)
	f.Fuzz(func(t *testing.T, options, file, sname, six []byte) {
		b := append(bytes.Clone(head4), options...)
		copy(b[file4:options4-4], file)
		copy(b[sname4:file4], sname)
		var said []Boot
		var wrong, names []string
		if p, err := parse4(b); err == nil && (&dhcp4{}).usable(p) {
			l := readLease4(p)
			said, wrong, names = append(said, l.boot), append(wrong, l.wrong...), append(names, l.hostname)
		}
		if m, err := parse6(append(bytes.Clone(head6), six...)); err == nil {
			l := readLease6(m, time.Now())
			said, wrong, names = append(said, l.boot), append(wrong, l.wrong...), append(names, l.hostname)
		}
		for _, s := range said {
			if s.BootFile != "" && (!strings.HasPrefix(s.BootFile, "oci://") || s.BootFile == "oci://") {
				t.Errorf("the boot file is %q", s.BootFile)
			}
			if len(s.Args) > maxBootArgs {
				t.Errorf("%d arguments", len(s.Args))
			}
			for _, text := range append([]string{s.BootFile, s.Image, s.Config}, s.Args...) {
				if len(text) > maxBootText || !plain(text) {
					t.Errorf("a value is %q", text)
				}
			}
			for _, text := range s.texts() {
				if !plain(text) {
					t.Errorf("it prints %q", text)
				}
			}
		}
		for _, text := range append(wrong, names...) {
			if len(text) > 1024 || !plain(text) {
				t.Errorf("it says %q", text)
			}
		}
		if len(wrong) > 6 {
			t.Errorf("%d sentences", len(wrong))
		}
	})
}
