package network

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// Boot is what a DHCP server says about what to boot. All of it comes from one answer.
type Boot struct {
	Server   string   // "DHCP server 10.0.2.2"
	BootFile string   // oci://REFERENCE; other boot files are for other boot loaders
	Image    string   // the value of wyr.img=
	Args     []string // the values of wyr.arg=
	Config   string   // the value of wyr.config=
	More     []string // wyr.kernel=, wyr.init= and wyr.overlay=, with their values
}

// Empty reports whether the server says nothing about what to boot.
func (b *Boot) Empty() bool {
	return b.BootFile == "" && b.Image == "" && len(b.Args) == 0 && b.Config == "" && len(b.More) == 0
}

// texts returns what the server says, as the arguments that would say the same.
func (b *Boot) texts() []string {
	var out []string
	add := func(label string, values ...string) {
		for _, v := range values {
			if v != "" {
				out = append(out, printable.Line(label+v))
			}
		}
	}
	add("boot file ", b.BootFile)
	add("wyr.img=", b.Image)
	add("wyr.arg=", b.Args...)
	add("wyr.config=", b.Config)
	add("", b.More...)
	return out
}

const (
	// maxBootText is the longest text that is read: a kernel takes no longer command line (COMMAND_LINE_SIZE).
	maxBootText = 2048
	maxBootArgs = 16

	bootScheme = "oci://"
	ourPrefix  = "wyr."
)

// belongs reports whether an argument belongs to an image and has no field of its own.
func belongs(key string) bool {
	return key == "wyr.kernel" || key == "wyr.init" || key == "wyr.overlay"
}

// bootReader collects what one answer says about what to boot.
type bootReader struct {
	boot  Boot
	wrong []string // what is wrong with it, for the person at the console
}

// file takes in a boot file. Every server of a rack that boots over the network names one, for PXE clients for
// example, so only one that says itself that it is an image counts.
func (r *bootReader) file(name string) {
	name = strings.TrimRight(name, "\x00") // RFC 2132 section 2: a server may send them
	if len(name) < len(bootScheme) || !strings.EqualFold(name[:len(bootScheme)], bootScheme) || r.boot.BootFile != "" {
		return
	}
	switch reference := name[len(bootScheme):]; {
	case reference == "":
		r.refuse("the boot file", name, "names no image")
	case r.fits("the boot file", name):
		r.boot.BootFile = bootScheme + reference
	}
}

// coded is the text of a vendor's option with its code.
type coded struct {
	code int
	text string
}

// arguments takes in a vendor's options in the order of their codes: dnsmasq sends them in the reverse order of its
// configuration, and of two equal arguments a kernel takes the last.
func (r *bootReader) arguments(list []coded) {
	sort.SliceStable(list, func(i, j int) bool { return list[i].code < list[j].code })
	for _, a := range list {
		r.argument(a.text)
	}
}

// argument takes in a text of a vendor's or a site's option. Servers send such options for other purposes too, so only
// a text that begins with the name of one of Wyrcan's arguments counts.
func (r *bootReader) argument(text string) {
	text = strings.TrimRight(text, "\x00")
	if !strings.HasPrefix(text, ourPrefix) || !r.fits("the argument", text) {
		return
	}
	key, value, _ := strings.Cut(text, "=")
	if inner, is := strings.CutPrefix(value, `"`); is { // written as on a command line
		value = strings.TrimSuffix(inner, `"`)
	}
	switch {
	case value == "":
		r.refuse("the argument", text, "has no value")
	case key == "wyr.img":
		r.boot.Image = value
	case key == "wyr.config":
		r.boot.Config = value
	case key != "wyr.arg" && !belongs(key):
		r.refuse("the argument", text, "cannot come from DHCP")
	case len(r.boot.Args)+len(r.boot.More) == maxBootArgs:
		r.refuse("the argument", text, fmt.Sprintf("is more than %d", maxBootArgs))
	case belongs(key):
		r.boot.More = append(r.boot.More, key+"="+value)
	default:
		r.boot.Args = append(r.boot.Args, value)
	}
}

// fits reports whether a text can be used.
func (r *bootReader) fits(what, text string) bool {
	switch {
	case len(text) > maxBootText:
		r.refuse(what, text, fmt.Sprintf("is longer than %d bytes", maxBootText))
	case !plain(text):
		r.refuse(what, text, "has characters that cannot be printed")
	default:
		return true
	}
	return false
}

// plain reports whether a terminal shows every character of a text from outside.
func plain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool { return !printable.Mark(c) })
}

func (r *bootReader) refuse(what, text, why string) {
	if len(r.wrong) < 3 { // a server may send hundreds
		r.wrong = append(r.wrong, fmt.Sprintf("%s %q of %s %s, it is ignored", what, printable.Line(text),
			r.boot.Server, why))
	}
}

// siteOptions4 are the options in which a server without vendor options can send arguments: RFC 3942 leaves 224 to 254
// to each site.
var siteOptions4 = []dhcpv4.OptionCode{
	dhcpv4.GenericOptionCode(224), dhcpv4.GenericOptionCode(225), dhcpv4.GenericOptionCode(226),
}

// boot4 reads what an acknowledgement says about what to boot.
func boot4(ack *dhcpv4.DHCPv4) *bootReader {
	r := &bootReader{boot: Boot{Server: "DHCP server " + server4(ack).String()}}
	r.file(string(ack.Options.Get(dhcpv4.OptionBootfileName)))
	r.file(ack.BootFileName) // the field of the header, which BOOTP has
	vendor := ack.Options.Get(dhcpv4.OptionVendorSpecificInformation)
	r.argument(string(vendor)) // servers that cannot encapsulate send plain text
	var arguments []coded
	eachOption4(vendor, func(code uint8, value []byte) {
		arguments = append(arguments, coded{int(code), string(value)})
	})
	r.arguments(arguments)
	for _, code := range siteOptions4 {
		r.argument(string(ack.Options.Get(code)))
	}
	return r
}

// enterprise is the number of systemd in IANA's list. systemd-networkd sends its vendor class for DHCPv6 under this
// number, whatever class the file names; Wyrcan has no number of its own.
const enterprise = 43793

// boot6 reads what a reply says about what to boot.
func boot6(m *message6) *bootReader {
	r := &bootReader{boot: Boot{Server: "DHCPv6 server " + serverName(m)}}
	r.file(m.Options.BootFileURL())
	var arguments []coded
	for _, vendor := range m.Options.VendorOpts() {
		if vendor.EnterpriseNumber != enterprise {
			continue
		}
		for _, o := range vendor.VendorOpts {
			arguments = append(arguments, coded{int(o.Code()), string(o.ToBytes())})
		}
	}
	r.arguments(arguments)
	return r
}

// parseVendor6 reads the options of a vendor (RFC 8415 section 21.17) up to the first that is truncated; nil if there
// is no vendor's number.
func parseVendor6(b []byte) *dhcpv6.OptVendorOpts {
	const header = 4
	if len(b) < header {
		return nil
	}
	vendor := &dhcpv6.OptVendorOpts{EnterpriseNumber: binary.BigEndian.Uint32(b)}
	eachOption6(b[header:], func(code dhcpv6.OptionCode, data []byte) {
		vendor.VendorOpts.Add(&dhcpv6.OptionGeneric{OptionCode: code, OptionData: data})
	})
	return vendor
}

// boots returns what the servers of a link say about what to boot, the DHCPv4 server first.
func (h *heard) boots() []Boot {
	var out []Boot
	if h.lease4 != nil {
		out = append(out, h.lease4.boot)
	}
	if h.lease6 != nil {
		out = append(out, h.lease6.boot)
	}
	return slices.DeleteFunc(out, func(b Boot) bool { return b.Empty() })
}
