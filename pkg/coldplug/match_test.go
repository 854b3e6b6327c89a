package coldplug

import (
	"path"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"a", "", false},
		{"*", "", true},
		{"*", "a/b", true},
		{"pci:v00008086d000010D3sv*sd*bc*sc*i*", "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00", true},
		{"pci:v00008086d000010D3sv*sd*bc*sc*i*", "pci:v00008086d000010D4sv00008086sd0000A01Fbc02sc00i00", false},
		{"pci:v*d*sv*sd*bc0Csc03i30*", "pci:v00001B36d0000000Dsv00001AF4sd00001100bc0Csc03i30", true},
		{"usb:v0B95p772Bd*dc*dsc*dp*ic*isc*ip*in*", "usb:v0B95p772Bd0001dcFFdscFFdp00icFFiscFFip00in00", true},
		{"usb:v0BDAp8152d*dc*dsc*dp*ic02isc06ip00in*", "usb:v0BDAp8152d2000dc00dsc00dp00icFFiscFFip00in00", false},
		{"usb:v1234p5678d[0-9]*", "usb:v1234p5678d0100dc", true},
		{"usb:v1234p5678d[0-1]*", "usb:v1234p5678d2100dc", false},
		{"x[!0-9]y", "xay", true},
		{"x[!0-9]y", "x5y", false},
		{"x[]]y", "x]y", true},
		{"x[a-]y", "x-y", true},
		{"x[y", "x[y", true},
		{`x\*y`, "x*y", true},
		{`x\*y`, "xzy", false},
		{"acpi*:VMBUS:*", "acpi:VMBUS:", true},
		{"acpi*:VMBUS:*", "acpi:PNP0C0A:", false},
		{"platform:Fixed-MDIO-bus", "platform:Fixed_MDIO_bus", true},
		{"mdio:0000000000011100110010010001????", "mdio:00000000000111001100100100010110", true},
		{"a*b*c", "aXbYc", true},
		{"a*b*c", "aXbY", false},
		{"a*aab", "aaaab", true},
	} {
		if got := match(tt.pattern, tt.name); got != tt.want {
			t.Errorf("match(%q, %q) = %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}

// TestMatchTime would not end with a matcher that backtracks to every star.
func TestMatchTime(t *testing.T) {
	if match(strings.Repeat("a*", 2000)+"b", strings.Repeat("a", 10000)) {
		t.Error("a match, want none")
	}
}

// FuzzMatch compares match with path.Match, except where they differ on purpose: in
// path.Match a star stops at a slash, sets are stricter, and hyphen and underscore
// differ.
func FuzzMatch(f *testing.F) {
	f.Add("pci:v*d*sv*", "pci:v00008086d000010D3sv00008086")
	f.Add("a*?b", "aXYb")
	f.Add("x[0-9]y", "x5y")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := match(pattern, name)
		for _, r := range pattern + name {
			if r >= 0x80 || strings.ContainsRune(`/-_[]\`, r) {
				return
			}
		}
		if want, err := path.Match(pattern, name); err == nil && got != want {
			t.Errorf("match(%q, %q) = %v, want %v", pattern, name, got, want)
		}
	})
}

func FuzzParseUevent(f *testing.F) {
	f.Add([]byte("add@/devices/x\x00ACTION=add\x00DEVPATH=/devices/x\x00MODALIAS=usb:v1\x00"))
	f.Add([]byte("libudev\x00\xfe\xed\xca\xfe=@\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for key := range parseUevent(b) {
			if strings.ContainsAny(key, "=\x00") {
				t.Errorf("parseUevent(%q) has the key %q", b, key)
			}
		}
	})
}
