package network

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Options: client and server identifiers, and an address with its lifetimes.
const (
	ids6  = "0001 000a 00030001020000000001 0002 000a 00030001020000000101"
	good6 = "0005 0018 20010db8000000000000000000000150 00000708 00000e10"
)

// TestParse6 checks that malformed options are skipped and the others read.
func TestParse6(t *testing.T) {
	for _, tt := range []struct {
		name, options string
		addresses     []string
		dns           []string
	}{
		{"plain", ids6 + "0003 0028 00000001 00000000 00000000" + good6 +
			"0017 0010 20010db8000000000000000000000053", []string{"2001:db8::150"}, []string{"2001:db8::53"}},
		{"name servers cut off", ids6 + "0003 0028 00000001 00000000 00000000" + good6 +
			"0017 000f 20010db80000000000000000000000", []string{"2001:db8::150"}, nil},
		{"name server of nothing", ids6 + "0003 0028 00000001 00000000 00000000" + good6 + "0017 0000",
			[]string{"2001:db8::150"}, nil},
		{"beyond the message", ids6 + "0003 0028 00000001 00000000 00000000" + good6 +
			"0017 0020 20010db8000000000000000000000053", []string{"2001:db8::150"}, nil},
		{"a bad domain", ids6 + "0018 0003 ff6162" + "0003 0028 00000001 00000000 00000000" + good6,
			[]string{"2001:db8::150"}, nil},
		{"a bad status", ids6 + "000d 0001 00" + "0003 0028 00000001 00000000 00000000" + good6,
			[]string{"2001:db8::150"}, nil},
		{"a bad address beside a good one", ids6 + "0003 0030 00000001 00000000 00000000 0005 0004 20010db8" + good6,
			[]string{"2001:db8::150"}, nil},
		{"a bad status of the addresses", ids6 + "0003 002d 00000001 00000000 00000000 000d 0001 00" + good6,
			[]string{"2001:db8::150"}, nil},
		{"an association cut off", ids6 + "0003 0008 00000001 00000000", nil, nil},
		{"an address that is none",
			ids6 + "0003 0028 00000001 00000000 00000000 0005 0018 ff020000000000000000000000000001 00000708 " +
				"00000e10", nil, nil},
		{"an address of the link",
			ids6 + "0003 0028 00000001 00000000 00000000 0005 0018 fe800000000000000000000000000001 00000708 " +
				"00000e10", nil, nil},
		{"an address for no time",
			ids6 + "0003 0028 00000001 00000000 00000000 0005 0018 20010db8000000000000000000000150 00000000 " +
				"00000000", nil, nil},
		{"preferred longer than valid",
			ids6 + "0003 0028 00000001 00000000 00000000 0005 0018 20010db8000000000000000000000150 00000e11 " +
				"00000e10", nil, nil},
		{"a prefix alone", ids6 + "0003 0012 00000001 00000000 00000000 000d 0002 0002" +
			"0019 0029 00000001 00000000 00000000 001a 0019 00000708 00000e10 30 20010db8000f00000000000000000000" +
			"0017 0010 20010db8000000000000000000000053", nil, []string{"2001:db8::53"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := parse6(unhex(t, "07 010203"+tt.options))
			if err != nil || m.client == "" || m.server == "" {
				t.Fatalf("%+v, %v", m, err)
			}
			lease := readLease6(m, time.Now())
			var addresses []string
			for _, a := range lease.addresses {
				addresses = append(addresses, a.addr.String())
			}
			if diff := cmp.Diff(tt.addresses, addresses); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.dns, texts(lease.dns)); diff != "" {
				t.Errorf("name servers (-want +got):\n%s", diff)
			}
		})
	}
	for _, s := range []string{"", "07", "070102", "0c 00 20010db8000000000000000000000001", "0d 00 01"} {
		if _, err := parse6(unhex(t, s)); err == nil {
			t.Errorf("%s is a message", s)
		}
	}
}

// TestTimes6 checks when a lease is extended: RFC 8415 sections 14.2 and 21.4.
func TestTimes6(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name, t1, t2, preferred, valid string
		renew, rebind, end             int // in seconds; 0: never
	}{
		{"left to the client", "00000000", "00000000", "00000064", "000000c8", 50, 80, 200},
		{"as given", "0000000a", "00000014", "00000064", "000000c8", 10, 20, 200},
		{"wrong order", "0000001e", "00000014", "00000064", "000000c8", 20, 20, 200},
		{"T2 after the end", "0000000a", "000000c8", "00000064", "000000c8", 10, 80, 200},
		{"T1 after the end", "000000f0", "00000000", "00000064", "000000c8", 50, 80, 200},
		{"never", "ffffffff", "ffffffff", "00000064", "000000c8", 0, 0, 0},
		{"without end", "00000000", "00000000", "ffffffff", "ffffffff", 0, 0, 0},
		{"deprecated", "00000000", "00000000", "00000000", "000000c8", 100, 160, 200},
	} {
		m, err := parse6(unhex(t, "07 010203"+ids6+"0003 0028 00000001"+tt.t1+tt.t2+"0005 0018 "+
			"20010db8000000000000000000000150"+tt.preferred+tt.valid))
		if err != nil {
			t.Fatal(err)
		}
		l := readLease6(m, now)
		after := func(m time.Time) int {
			if m.IsZero() {
				return 0
			}
			return int(m.Sub(now).Seconds())
		}
		if after(l.renew) != tt.renew || after(l.rebind) != tt.rebind || after(l.expires) != tt.end {
			t.Errorf("%s: extended after %d and %d s, ends after %d; want %d, %d, %d", tt.name, after(l.renew),
				after(l.rebind), after(l.expires), tt.renew, tt.rebind, tt.end)
		}
	}
}

// FuzzParse6 checks that no packet crashes the parser, and that a lease has its times in order and only addresses of
// hosts.
func FuzzParse6(f *testing.F) {
	for _, options := range []string{"", ids6, ids6 + "0003 0028 00000001 00000000 00000000" + good6,
		ids6 + "0018 0003 ff6162 0038 0004 00010000", "0003 0010 00000001 00000000 00000000 0005 0000"} {
		f.Add(unhex(f, "07 010203"+options))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse6(b)
		if err != nil {
			return
		}
		now := time.Now()
		l := readLease6(m, now)
		if !l.renew.IsZero() && (l.rebind.Before(l.renew) || l.expires.Before(l.rebind) || l.renew.Before(now)) {
			t.Errorf("extended at %v and %v, ends at %v", l.renew, l.rebind, l.expires)
		}
		for _, a := range l.addresses {
			if !a.addr.Is6() || a.addr.IsUnspecified() || a.addr.IsMulticast() || a.addr == netip.IPv6Loopback() {
				t.Errorf("address %v", a.addr)
			}
		}
		status(m)
		noBinding(m)
	})
}
