package config

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

func TestJSON(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config Config
		data   string
	}{
		// The first three are what Wyrcan 2.1 writes.
		{"2.1, image only", Config{Image: "r/x:1"}, `{"network":{},"cmdline":[],"image":"r/x:1"}`},
		{"2.1, arguments", Config{Image: "x", Args: []string{"quiet a=b", "c"}},
			`{"network":{},"cmdline":["quiet a=b","c"],"image":"x"}`},
		{"2.1, network", Config{Image: "x", Args: []string{"a"}, Network: []netconf.File{
			{Name: "lan", Kind: netconf.Network, Sections: []netconf.Section{
				{Name: "Network", Entries: []netconf.Entry{{Key: "DHCP", Value: "yes"}, {Key: "DNS", Value: "1.1.1.1 ::1"}}},
				{Name: "Match", Entries: []netconf.Entry{{Key: "Name", Value: "e*"}}},
			}},
			oneSection("lan", netconf.Link, "Match", netconf.Entry{Key: "MACAddress", Value: "00:11:22:33:44:55"}),
		}}, `{"network":{"lan.network":{"Network":{"DHCP":"yes","DNS":"1.1.1.1 ::1"},"Match":{"Name":"e*"}},` +
			`"lan.link":{"Match":{"MACAddress":"00:11:22:33:44:55"}}},"cmdline":["a"],"image":"x"}`},
		{"more than one value", Config{Image: "x", Network: []netconf.File{
			oneSection("a", netconf.Network, "Network", netconf.Entry{Key: "DNS", Value: "1"}, netconf.Entry{Key: "DNS"},
				netconf.Entry{Key: "DNS", Value: "2"}, netconf.Entry{Key: "NTP", Value: "3"}),
		}}, `{"network":{"a.network":{"Network":{"DNS":["1","","2"],"NTP":"3"}}},"cmdline":[],"image":"x"}`},
		{"more than one section", Config{Image: "x",
			Network: []netconf.File{{Name: "a", Kind: netconf.Network, Sections: []netconf.Section{
				{Name: "Route", Entries: []netconf.Entry{{Key: "Gateway", Value: "1"}}},
				{Name: "Match", Entries: []netconf.Entry{{Key: "Name", Value: "e"}}},
				{Name: "Route", Entries: []netconf.Entry{{Key: "Gateway", Value: "2"}}},
			}}}}, `{"network":{"a.network":{"Route":{"Gateway":"1"},"Match":{"Name":"e"},"Route2":{"Gateway":"2"}}},` +
			`"cmdline":[],"image":"x"}`},
		{"ours", Config{Image: "x", Root: "initramfs", NetKeep: true, Insecure: []string{"a:1", "b"}},
			`{"network":{},"cmdline":[],"image":"x","root":"initramfs","net.keep":true,"insecure":["a:1","b"]}`},
		{"a root that stays an image", Config{Image: "x", Root: "squashfs"},
			`{"network":{},"cmdline":[],"image":"x","root":"squashfs"}`},
		{"no record", Config{Image: "x", NoRecord: true},
			`{"network":{},"cmdline":[],"image":"x","norecord":true}`},
		{"the hand-over", Config{Image: "x", Kernel: "keep", NoMicrocode: true},
			`{"network":{},"cmdline":[],"image":"x","kernel":"keep","nomicrocode":true}`},
		{"ways to registries", Config{Image: "x", Mirrors: []string{"a=b,c"}, Proxy: "http://p:1", NoProxy: []string{"d"},
			NTP: []string{"e"}}, `{"network":{},"cmdline":[],"image":"x","mirror":["a=b,c"],"proxy":"http://p:1",` +
			`"noproxy":["d"],"ntp":["e"]}`},
		{"the end of a boot", Config{Image: "x", Fail: "poweroff", Deadline: 90 * time.Second},
			`{"network":{},"cmdline":[],"image":"x","fail":"poweroff","deadline":"1m30s"}`},
		{"a file", Config{File: "https://h/${mac}"},
			`{"network":{},"cmdline":[],"image":"","config":"https://h/${mac}"}`},
		{"quotes", Config{Image: "x", Args: []string{`a="b c"`, "é\t\\"}},
			`{"network":{},"cmdline":["a=\"b c\"","é\t\\"],"image":"x"}`},
		{"nothing", Config{}, `{"network":{},"cmdline":[],"image":""}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := tt.config.Marshal()
			if err != nil || string(data) != tt.data {
				t.Errorf("Marshal() = %s, %v, want %s", data, err, tt.data)
			}
			got, err := Unmarshal([]byte(tt.data))
			if diff := cmp.Diff(tt.config, got); diff != "" || err != nil {
				t.Errorf("Unmarshal(%s): %v (-want +got):\n%s", tt.data, err, diff)
			}
		})
	}
}

func TestMarshalLeavesOut(t *testing.T) {
	data, err := Config{Image: "x", EFI: EFIWrite, EFIYes: true, Debug: "shell", Fail: "shell"}.Marshal()
	if want := `{"network":{},"cmdline":[],"image":"x"}`; err != nil || string(data) != want {
		t.Errorf("Marshal() = %s, %v, want %s", data, err, want)
	}
}

func TestUnmarshalAccepts(t *testing.T) {
	for _, tt := range []struct {
		data string
		want Config
	}{
		{` {"image":"x"} ` + "\n", Config{Image: "x"}}, // Wyrcan 1 had no network
		{`{"network":{},"cmdline":[],"image":null}`, Config{}},
		{`{"network":null,"cmdline":null}`, Config{}},
		{`{"network":{"a.link":{},"b.link":{"Link":{}},"c.link":{"Link":{"Name":[]}}},"image":"x"}`, Config{Image: "x"}},
		{`{"image":"x","cmdline":["","a"],"later":{"version":[1]}}`, Config{Image: "x", Args: []string{"a"}}},
		{`{"image":"x","version":"v0.2.0"}`, Config{Image: "x"}},
		{`{"image":"x","config":"https://h/x"}`, Config{Image: "x"}},
		{`{"image":"x","version":[0,2]}`, Config{Image: "x"}}, // it decides nothing, in whatever form
		{`{"image":"x","network":{"a.link":{"Link":{"Name":"1"}},"a.link":{"Link":{"Name":"2"}}}}`,
			Config{Image: "x", Network: []netconf.File{oneSection("a", netconf.Link, "Link",
				netconf.Entry{Key: "Name", Value: "1"}, netconf.Entry{Key: "Name", Value: "2"})}}},
	} {
		got, err := Unmarshal([]byte(tt.data))
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("Unmarshal(%s): %v (-want +got):\n%s", tt.data, err, diff)
		}
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	network := func(s string) string { return fmt.Sprintf(`{"image":"x","network":%s}`, s) }
	for _, tt := range []struct{ data, want string }{
		{"", "unexpected end"},
		{"\x00\x00\x00", "invalid character"},
		{"\xff\xff\xff\xff", "not UTF-8"},
		{`"x"`, "cannot unmarshal"},
		{`{"image":"x"`, "unexpected end"},
		{`{"image":"x"}{"image":"y"}`, "after top-level value"},
		{`{"image":7}`, "number"},
		{`{"image":"x","cmdline":"a"}`, "cmdline"},
		{`{"image":"x","root":"disk"}`, "root"},
		{`{"image":"x","fail":"shell"}`, "fail"},
		{`{"image":"x","fail":"cry"}`, "fail"},
		{`{"image":"x","kernel":"Drop"}`, "kernel"},
		{`{"image":"x","deadline":"soon"}`, "deadline"},
		{`{"config":"http://h/x"}`, "config: whoever is between"},
		{`{"image":"x","deadline":"-1h"}`, "deadline"},
		{network(`[]`), "not an object"},
		{network(`{"a.network":"x"}`), "not an object"},
		{network(`{"a.network":{"Match":"x"}}`), "not an object"},
		{network(`{"a.network":{"Match":{"Name":7}}}`), "a.network: [Match] Name"},
		{network(`{"a.network":{"Match":{"Name":[["x"]]}}}`), "a.network: [Match] Name"},
		{network(`{"a":{"Match":{"Name":"x"}}}`), `"" is no kind`},
		{network(`{"a.service":{"Service":{"ExecStart":"x"}}}`), `"service" is no kind`},
		{network(`{"../../init.network":{"Match":{"Name":"x"}}}`), `"./../init.network" is no kind`},
		{network(`{"/etc/x.network":{"Match":{"Name":"x"}}}`), `"/etc/x" is no file name`},
		{network(`{"a.network":{"Match]\n[X":{"Name":"x"}}}`), "is no section name"},
		{network(`{"a.network":{"Match":{"Name=x\nType":"x"}}}`), "is no key"},
		{network(`{"a.network":{"Match":{"Name":"x\n[Link]"}}}`), "does not fit on a line"},
		{`{"image":"` + strings.Repeat("x", maxStored) + `"}`, "at most 65536"},
		{strings.Repeat("[", 50000), "exceeded max depth"},
		{network(strings.Repeat(`{"a":`, 12000)), "exceeded max depth"},
	} {
		got, err := Unmarshal([]byte(tt.data))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Unmarshal(%.80q): %v, want an error with %q", tt.data, err, tt.want)
		}
		if diff := cmp.Diff(Config{}, got); diff != "" {
			t.Errorf("Unmarshal(%.80q) failed but returned a configuration (-want +got):\n%s", tt.data, diff)
		}
	}
}

func TestMarshalRefuses(t *testing.T) {
	for _, tt := range []struct {
		config Config
		want   string
	}{
		{Config{Image: "x", Args: []string{"a=\xff"}}, `wyr.arg="a=\xff" cannot be stored`},
		{Config{Image: "\xff"}, "not UTF-8"},
		{Config{Network: []netconf.File{oneSection("a/b", netconf.Link, "Link", netconf.Entry{Key: "Name"})}},
			"is no file name"},
		{Config{Network: []netconf.File{oneSection("a", "service", "Link", netconf.Entry{Key: "Name"})}}, "is no kind"},
		{Config{Args: []string{strings.Repeat("x", maxStored)}}, "at most 65536"},
	} {
		if data, err := tt.config.Marshal(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.80v.Marshal() = %.80s, %v, want an error with %q", tt.config, data, err, tt.want)
		}
	}
}

// FuzzUnmarshal checks that Marshal can write whatever Unmarshal accepts, and always writes the same bytes.
func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{
		`{"network":{"lan.network":{"Network":{"DNS":["1","2"]},"Route2":{"Gateway":"x"},"Route":{}}},"cmdline":["a b"],` +
			`"image":"x","root":"initramfs","net.keep":true,"insecure":["[2001:db8::1]:5000"],` +
			`"fail":"halt","deadline":"1h"}`,
		`{"network":null,"cmdline":null,"image":null}`, "\xff", `{"image":"\ud800"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Unmarshal(data)
		if err != nil {
			return
		}
		first, err := c.Marshal()
		if err != nil {
			t.Fatalf("Unmarshal(%q) = %v, Marshal: %v", data, c, err)
		}
		c, err = Unmarshal(first)
		if err != nil {
			t.Fatalf("Unmarshal(%q): %v", first, err)
		}
		if second, err := c.Marshal(); err != nil || !bytes.Equal(first, second) {
			t.Errorf("Marshal() = %s, then %s, %v", first, second, err)
		}
	})
}

// TestValuesAreStored stores each value of the options that are stored.
func TestValuesAreStored(t *testing.T) {
	for _, o := range options {
		for _, v := range o.values {
			if o.name == "efi" || o.name == "debug" || v == "shell" {
				continue // of one boot alone
			}
			want := Config{Image: "x"}
			o.set(&want, v)
			data, err := want.Marshal()
			if err != nil {
				t.Errorf("wyr.%s=%s: %v", o.name, v, err)
				continue
			}
			if got, err := Unmarshal(data); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("wyr.%s=%s is stored as %s, which is %+v, %v", o.name, v, data, got, err)
			}
		}
	}
}
