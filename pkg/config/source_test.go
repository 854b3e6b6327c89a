package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
	"gitlab.com/wyrcan/wyrcan/pkg/syscred"
)

// credentials returns a set: each word is PLACE NAME, each value the content.
func credentials(list ...string) syscred.Set {
	var set syscred.Set
	for i := 0; i < len(list); i += 3 {
		set = append(set, syscred.Credential{From: list[i], Name: list[i+1], Data: []byte(list[i+2])})
	}
	return set
}

// vpdOf returns sources of a VPD.
func vpdOf(rw, ro map[string]string) []Source {
	return VPD(func(readOnly bool) (map[string][]byte, error) {
		from := rw
		if readOnly {
			from = ro
		}
		values := make(map[string][]byte)
		for k, v := range from {
			values[k] = []byte(v)
		}
		return values, nil
	})
}

var lan = []netconf.File{oneSection("lan", netconf.Network, "Match", netconf.Entry{Key: "Name", Value: "e 0"})}

// TestPlaces has each place that may name an image, right and wrong.
func TestPlaces(t *testing.T) {
	type texts = map[string]string
	const url = "https://h/x"
	boot := func(text string) []Source { return vpdOf(texts{"Boot0001": text}, nil) }
	for _, tt := range []struct {
		name     string
		line     string
		sources  []Source
		want     Config
		told     string
		warnings []string // a part of each
		err      string   // a part of the text of ErrNoImage
	}{
		{name: "credentials", sources: Credentials(credentials("SMBIOS", "wyr.auth", "{}", "SMBIOS", "wyr.img", " r/x \n",
			"SMBIOS", "wyr.arg", "quiet a=b\n\n  c\n", "SMBIOS", "wyr.net", `wyr.net.lan.Match.Name="e 0"`)),
			want: Config{Image: "r/x", Args: []string{"quiet a=b", "c"}, Network: lan},
			told: "wyr.img, wyr.arg, wyr.net from the system credentials in SMBIOS"},
		{name: "a network without the prefix", sources: Credentials(credentials("fw_cfg", "wyr.img", "x",
			"fw_cfg", "wyr.net", "# ours\nlan.Match.Name=\"e 0\" keep=yes\nwyr.img=other\n")),
			want:     Config{Image: "x", Network: lan, NetKeep: true},
			warnings: []string{"the system credentials in fw_cfg: wyr.net is ignored: wyr.img is no argument about"}},
		{name: "a whole text", sources: Credentials(credentials("SMBIOS", "wyr.config",
			"# a comment\r\nwyr.img=x wyr.arg=\"a b\"\r\n\twyr.fail=halt\nwyr.insecure=h:1\nquiet\nwyr.foo=1\n")),
			want:     Config{Image: "x", Args: []string{"a b"}, Fail: "halt", Insecure: []string{"h:1"}},
			told:     "wyr.img, wyr.arg, wyr.insecure, wyr.fail from the system credentials in SMBIOS",
			warnings: []string{"the system credentials in SMBIOS: wyr.foo=1 is ignored"}},
		{name: "an unclosed quote ends with its line", sources: Credentials(credentials("SMBIOS", "wyr.config",
			"wyr.arg=\"a b\nwyr.img=x")), want: Config{Image: "x", Args: []string{"a b"}}},
		{name: "a text with the URL of a file", sources: Credentials(credentials("SMBIOS", "wyr.config",
			"wyr.config="+url+" wyr.fail=halt")), want: Config{File: url, Fail: "halt"},
			told: "wyr.config, wyr.fail from the system credentials in SMBIOS"},
		{name: "a URL as the text", sources: Credentials(credentials("SMBIOS", "wyr.config",
			"http://h/x?a=b#sha256="+digest+"\n")), want: Config{File: "http://h/x?a=b#sha256=" + digest}},
		{name: "an unsafe URL as the text", sources: Credentials(credentials("SMBIOS", "wyr.config", "http://h/x")),
			warnings: []string{"wyr.config is ignored: whoever is between"}, err: "no container image"},
		{name: "an image beside a text", sources: Credentials(credentials("SMBIOS", "wyr.config", "wyr.img=x wyr.arg=a",
			"SMBIOS", "wyr.img", "y")), want: Config{Image: "y", Args: []string{"a"}},
			warnings: []string{`"y" takes the place of "x"`}},
		{name: "never mixed", sources: Credentials(credentials("/.extra/credentials/wyr.arg.cred", "wyr.arg", "a",
			"fw_cfg", "wyr.img", "x", "fw_cfg", "wyr.img", "y", "SMBIOS", "wyr.net", "lan.Match.Name=e0")),
			want: Config{Image: "x"}, told: "wyr.img from the system credentials in fw_cfg",
			warnings: []string{"in the system credentials in /.extra/credentials are ignored: it names no image"}},
		{name: "files of systemd-stub", sources: Credentials(credentials("/.extra/credentials/wyr.arg.cred", "wyr.arg", "a",
			"/.extra/credentials/wyr.img.cred", "wyr.img", "x")), want: Config{Image: "x", Args: []string{"a"}}},
		{name: "bad values, then a good one", sources: append(Credentials(credentials("a", "wyr.img", "two words",
			"b", "wyr.img", "x\ny", "c", "wyr.img", "x\x00", "d", "wyr.img", "r/${disk}", "e", "wyr.img", "",
			"f", "wyr.img", "r/${mac", "g", "wyr.img", strings.Repeat("x", 2000), "h", "wyr.config", "\x00\xff",
			"i", "wyr.img", "\xff", "j", "wyr.config", strings.Repeat("x", maxText+1))),
			boot(`{"type":"wyrcan","image":"z"}`)...),
			want: Config{Image: "z"}, told: "wyr.img from RW_VPD, entry Boot0001",
			warnings: []string{"b: wyr.img is ignored: it has more than one line", "c: wyr.img is ignored: it has a zero byte",
				"h: wyr.config is ignored: it has a zero byte", "j: wyr.config is ignored: it has more than 64 KiB",
				`in a: "two words" is not the name`, "in d: \"r/${disk}\" is not the name of an image: there is no ${disk}",
				"in f: \"r/${mac\" is not the name of an image: a ${ has no }", "in g: the name of an image has at most",
				"in i: \"\\xff\" is not the name"}},

		{name: "VPD", sources: vpdOf(texts{"wyr_img": "x\n", "wyr_arg": "a\nb", "wyr_net": `lan.Match.Name="e 0"`,
			"Boot0000": `{"type":"wyrcan","image":"y"}`}, texts{"wyr_img": "z"}),
			want: Config{Image: "x", Args: []string{"a", "b"}, Network: lan},
			told: "wyr.img, wyr.arg, wyr.net from RW_VPD"},
		{name: "VPD, keys with dots", sources: vpdOf(texts{"wyr.img": "x", "wyr.config": "wyr.fail=halt"}, nil),
			want: Config{Image: "x", Fail: "halt"}},
		{name: "VPD, read-only", sources: vpdOf(texts{"wyr_arg": "a"}, texts{"wyr_img": "z"}), want: Config{Image: "z"},
			told: "wyr.img from RO_VPD", warnings: []string{"wyr.arg and wyr.net in RW_VPD are ignored"}},
		{name: "VPD, entries", sources: vpdOf(texts{"Boot0003": `{"type":"wyrcan","image":"three"}`,
			"Boot0001": `{"type":"netboot","image":"one"}`, "Boot2": `{"type":"wyrcan","image":"no"}`,
			"Boot000A": `{"type":"wyrcan","image":"no"}`,
			"Boot0002": `{"type":"wyrcan","image":"two","args":["a b","c"],"network":{"lan.network":{"Match":{"Name":"e 0"}}}}`},
			nil), want: Config{Image: "two", Args: []string{"a b", "c"}, Network: lan},
			told: "wyr.img, wyr.arg, wyr.net from RW_VPD, entry Boot0002"},
		{name: "VPD, an entry with texts", sources: boot(
			`{"type":"wyrcan","image":"x","args":"a","network":["lan.Match.Name=\"e 0\""]}`),
			want: Config{Image: "x", Args: []string{"a"}, Network: lan}},
		{name: "VPD, bad entries", sources: vpdOf(texts{"Boot0001": `{`, "Boot0002": `{"type":"wyrcan","image":7}`,
			"Boot0003": `{"type":"wyrcan","image":"x","args":{}}`, "Boot0004": `{"type":"wyrcan","image":"x","network":7}`,
			"Boot0005": `{"type":"wyrcan","image":"x","network":{"../a.network":{}, "a.b": {"c": {"d": "e"}}}}`,
			"Boot0006": `[]`, "Boot0007": `{"type":7}`, "Boot0008": `{"type":"wyrcan"}`,
			"Boot0009": strings.Repeat("[", maxStored+1)}, texts{"wyr_img": "x"}), want: Config{Image: "x"},
			warnings: []string{"Boot0001: unexpected end", "Boot0002: json", "Boot0003: args:", "Boot0004: network:",
				"Boot0005: network:", "Boot0006: json", "Boot0009: it has more than 64 KiB"}},
		{name: "VPD, unreadable", sources: VPD(func(bool) (map[string][]byte, error) { return nil, errors.New("broken") }),
			err: "cannot use the configuration in RW_VPD: broken"},

		{name: "DHCP, a boot file", line: "wyr.fail=halt wyr.net.lan.Match.Name=\"e 0\"",
			sources: Leases([]DHCP{{From: "A", BootFile: "pxelinux.0"}, {From: "B", BootFile: "oci://r/x:1"}}),
			want:    Config{Image: "r/x:1", Fail: "halt", Network: lan},
			told:    "wyr.img from B; wyr.net, wyr.fail from the command line"},
		{name: "DHCP, options", line: "wyr.arg=mine", sources: Leases([]DHCP{{From: "A", BootFile: "oci://r/y", Image: "r/x",
			Args: []string{"a b", "c"}}}), want: Config{Image: "r/x", Args: []string{"a b", "c"}},
			warnings: []string{"wyr.arg on the command line are ignored"}},
		{name: "DHCP, bad boot files", sources: Leases([]DHCP{{From: "A", BootFile: "oci://"},
			{From: "B", BootFile: "oci://A B"}, {From: "C", BootFile: "oci://x\nwyr.insecure=y"}}),
			warnings: []string{"C: wyr.img is ignored: it has more than one line"}, err: `in B: "A B" is not the name`},
		{name: "DHCP loosens nothing", sources: Leases([]DHCP{{From: "A", Config: "wyr.img=r/x wyr.arg=a wyr.insecure=r " +
			"wyr.efi=write,yes wyr.debug=shell wyr.fail=shell wyr.net.a.Match.Name=b wyr.net.keep=yes wyr.proxy=http://p:1 " +
			"wyr.mirror=m wyr.ntp=n wyrcan.root=initramfs wyr.record=no wyr.deadline=1h"}}),
			want: Config{Image: "r/x", Args: []string{"a"}}, warnings: []string{
				"A: wyr.insecure is ignored: DHCP may only name the image and its arguments", "wyr.efi is", "wyr.debug is",
				"wyr.fail is", "wyr.net.a.Match.Name is", "wyr.net.keep is", "wyr.proxy is", "wyr.mirror is", "wyr.ntp is",
				"wyrcan.root is", "2 more like these"}[:11]},
		{name: "DHCP, a file", sources: Leases([]DHCP{{From: "A", Config: url}}), want: Config{File: url},
			told: "wyr.config from A"},
		{name: "DHCP says nothing", line: "wyr.arg=a", sources: Leases([]DHCP{{From: "A", Args: []string{"a"}}}),
			want: Config{Args: []string{"a"}}, err: "no container image"},

		{name: "the command line comes first", line: "wyr.img=x", sources: boot(`{`), want: Config{Image: "x"},
			told: "wyr.img from the command line"},
		{name: "a file of the command line comes first", line: "wyr.config=" + url, sources: boot(
			`{"type":"wyrcan","image":"y"}`), want: Config{File: url}, told: "wyr.config from the command line"},
		{name: "options of the command line", line: "wyr.fail= wyr.deadline=1h wyr.arg=a", sources: Credentials(credentials(
			"SMBIOS", "wyr.config", "wyr.img=x wyr.fail=halt wyr.record=no")),
			want:     Config{Image: "x", NoRecord: true, Deadline: time.Hour},
			told:     "wyr.img, wyr.record from the system credentials in SMBIOS; wyr.deadline from the command line",
			warnings: []string{"so they come from the system credentials in SMBIOS with x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Load(cmdline.Parse(tt.line), tt.sources...)
			if diff := cmp.Diff(tt.want, got.Config); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			compareWarnings(t, got.Warnings, tt.warnings)
			if tt.told != "" && got.Told() != tt.told {
				t.Errorf("Told() = %q, want %q", got.Told(), tt.told)
			}
			if (err != nil) != (tt.err != "") ||
				err != nil && !(errors.Is(err, ErrNoImage) && strings.Contains(err.Error(), tt.err)) {
				t.Errorf("Load: %v, want %q", err, tt.err)
			}
		})
	}
}

// What was wrong with the sources that are known at once is still said when DHCP names no image either.
func TestSearchLater(t *testing.T) {
	found, err := Load(nil, vpdOf(map[string]string{"Boot0001": "{"}, nil)...)
	if !errors.Is(err, ErrNoImage) {
		t.Fatal(err)
	}
	if _, err := found.Search(Leases(nil)...); !errors.Is(err, ErrNoImage) || !strings.Contains(err.Error(), "Boot0001") {
		t.Errorf("Search: %v", err)
	}
	found, err = found.Search(Leases([]DHCP{{From: "A", BootFile: "oci://x"}})...)
	if err != nil || found.Image != "x" {
		t.Errorf("Search: %+v, %v", found.Config, err)
	}
	compareWarnings(t, found.Warnings, []string{"Boot0001"})
}

func TestWithFile(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		image      string
		args       []string
		warnings   []string
		err        string
	}{
		{name: "image and arguments", text: "# rack 7\nwyr.img=r/x:${mac}\nwyr.arg=a wyr.arg=\"b c\"\n", image: "r/x:${mac}",
			args: []string{"a", "b c"}},
		{name: "nothing loosens trust", text: "wyr.img=r/x wyr.insecure=r wyr.fail=shell wyr.config=https://h/y " +
			"wyr.net.a.Match.Name=b wyr.efi=write,yes wyr.mirror=m", image: "r/x",
			warnings: []string{"wyr.insecure is ignored: this file may only", "wyr.fail is", "wyr.config is", "wyr.net.a",
				"wyr.efi is", "wyr.mirror is"}},
		{name: "no image", text: "<html>404</html>", err: "names no image"},
		{name: "empty", err: "names no image"},
		{name: "no text", text: "wyr.img=x\x00", err: "zero byte"},
		{name: "too long", text: strings.Repeat("#", maxText+1), err: "64 KiB"},
		{name: "no name", text: "wyr.img=NO/NAME", err: `"NO/NAME" is not the name of an image`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, err := Load(cmdline.Parse("wyr.config=https://h/x wyr.fail=halt wyr.insecure=q"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := found.WithFile([]byte(tt.text))
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("WithFile: %v, want %q", err, tt.err)
			}
			if err != nil {
				return
			}
			want := Config{Image: tt.image, Args: tt.args, Fail: "halt", Insecure: []string{"q"}}
			if diff := cmp.Diff(want, got.Config); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			compareWarnings(t, got.Warnings, tt.warnings)
			const told = "wyr.insecure, wyr.fail from the command line"
			if text := got.Told(); !strings.Contains(text, "wyr.img") || !strings.Contains(text, told) ||
				!strings.Contains(text, " from the file of wyr.config (from the command line)") {
				t.Errorf("Told() = %q", text)
			}
		})
	}
}

func TestExpand(t *testing.T) {
	m := Machine{MAC: "52:54:00:AB:cd:ef", UUID: "4c4c4544-0042", Serial: " 12/34 ", Hostname: "Node7.lab init=/bin/sh",
		Arch: "amd64"}
	for text, want := range map[string]string{
		"":                  "",
		"plain $ {mac} }":   "plain $ {mac} }",
		"${mac}":            "52-54-00-AB-cd-ef",
		"a${uuid}b${arch}c": "a4c4c4544-0042bamd64c",
		"${serial}":         "12-34",
		"host=${hostname}":  "host=Node7.lab-init--bin-sh",
		"$${mac}":           "${mac}",
		"$$${mac}":          "$${mac}",
		"$${mac}${arch}$${": "${mac}amd64${",
		"$$":                "$$",
	} {
		if got, err := expand(text, m.value); got != want || err != nil {
			t.Errorf("expand(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"${disk}":      "there is no ${disk}; there are ${mac}, ${uuid}, ${serial}, ${hostname}, ${arch}",
		"${}":          "there is no ${}",
		"${MAC}":       "there is no ${MAC}",
		"${mac":        "has no }",
		"${\x1b[2J}":   "there is no ${[2J}",
		"${ma${arch}}": "there is no ${ma${arch}",
	} {
		if got, err := expand(text, m.value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("expand(%q) = %q, %v, want an error with %q", text, got, err, want)
		}
	}
	for _, bare := range []Machine{{}, {Serial: "..."}, {Serial: strings.Repeat("x", 256)}} {
		if got, err := expand("${serial}", bare.value); err == nil || !strings.Contains(err.Error(), "${serial}") {
			t.Errorf("%+v: %q, %v", bare, got, err)
		}
	}
}

func TestFor(t *testing.T) {
	m := Machine{MAC: "52:54:00:AB:cd:ef", Hostname: "Node7"}
	c := Config{Image: "r/${hostname}:${mac}", Args: []string{"a", "ip=x host=${hostname}"}}
	got, err := c.For(m)
	want := Config{Image: "r/node7:52-54-00-ab-cd-ef", Args: []string{"a", "ip=x host=Node7"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("For = %v (-want +got):\n%s", err, diff)
	}
	if c.Args[1] != "ip=x host=${hostname}" {
		t.Error("For changes its receiver")
	}
	for _, c := range []Config{{Image: "r/${uuid}"}, {Image: "r", Args: []string{"${uuid}"}}} {
		if _, err := c.For(m); err == nil || !strings.Contains(err.Error(), "no value for ${uuid}") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	l, err := Config{File: "https://h/${hostname}/${mac}.conf"}.Location(m)
	if err != nil || l.String() != "https://h/Node7/52-54-00-AB-cd-ef.conf" {
		t.Errorf("Location = %v, %v", l, err)
	}
	if _, err := (Config{File: "https://h/${uuid}"}).Location(m); err == nil || !strings.Contains(err.Error(), "${uuid}") {
		t.Errorf("Location: %v", err)
	}
}

// usable fails the test if a source with content of strangers has led to something that no argument could lead to.
func usable(t *testing.T, f Found, err error) {
	t.Helper()
	if (err == nil) != f.Named() || err != nil && !errors.Is(err, ErrNoImage) {
		t.Fatalf("%+v: %v", f.Config, err)
	}
	if err == nil && f.Image != "" {
		if err := checkImage(f.Image); err != nil {
			t.Errorf("image %q: %v", f.Image, err)
		}
	}
	for _, a := range f.Args {
		if strings.ContainsAny(a, "\n\x00") {
			t.Errorf("argument %q", a)
		}
	}
	f.Told()
}

// FuzzPlaces has any content in credentials and in the VPD.
func FuzzPlaces(f *testing.F) {
	f.Add("r/x:1", "a\nb", `lan.Match.Name="e 0" keep=yes`, "# x\nwyr.img=y wyr.fail=halt",
		`{"type":"wyrcan","image":"x","args":["a"],"network":{"lan.network":{"Match":{"Name":["e0","e1"]}}}}`)
	f.Add("\x00", "", "wyr.img=x", "https://h/x", `{"type":"wyrcan","image":"x","network":"lan.Match.Name=e0"}`)
	f.Fuzz(func(t *testing.T, img, arg, net, config, entry string) {
		found, err := Load(nil, append(Credentials(credentials("a", "wyr.img", img, "a", "wyr.arg", arg, "a", "wyr.net", net,
			"b", "wyr.config", config)), vpdOf(map[string]string{"Boot0001": entry}, map[string]string{"wyr_net": net,
			"wyr_img": img, "wyr_arg": arg})...)...)
		usable(t, found, err)
		for _, n := range found.Network {
			if strings.ContainsAny(n.Name, "/.\n") {
				t.Errorf("file name %q", n.Name)
			}
		}
	})
}

// FuzzLease checks that nothing in a lease, or in a file that is fetched, gives more than an image and its arguments.
func FuzzLease(f *testing.F) {
	f.Add("oci://r/x:1", "r/y", "a", "wyr.insecure=x wyr.arg=b", "wyr.img=x wyr.efi=write wyr.overlay=a")
	f.Add("oci://\n", "", "\n", "http://h/x#sha256="+digest, "# x\nwyrcan.img=${mac} wyrcan.config=y")
	f.Fuzz(func(t *testing.T, boot, img, arg, config, file string) {
		lease := DHCP{From: "A", BootFile: boot, Image: img, Args: []string{arg}, Config: config}
		found, err := Load(nil, Leases([]DHCP{lease})...)
		usable(t, found, err)
		given := func() Config {
			return Config{Image: found.Image, Args: found.Args, Kernel: found.Kernel, Init: found.Init,
				Overlays: found.Overlays}
		}
		want := given()
		want.File = found.File
		if diff := cmp.Diff(want, found.Config); diff != "" {
			t.Errorf("a lease gives more than an image:\n%s", diff)
		}
		found, err = Load([]cmdline.Arg{{Key: "x"}, {Key: "wyr.config", Value: "https://h/x", HasValue: true}})
		if err != nil {
			t.Fatal(err)
		}
		if found, err = found.WithFile([]byte(file)); err != nil {
			return
		}
		usable(t, found, nil)
		if diff := cmp.Diff(given(), found.Config); diff != "" {
			t.Errorf("a file gives more than an image:\n%s", diff)
		}
	})
}

// FuzzExpand checks that values add no characters to a text but those of names, and that escaped texts come back.
func FuzzExpand(f *testing.F) {
	f.Add("r/${mac}:$${x}", "52:54 a/../b")
	f.Add("${hostname}${", "${mac}\x00é")
	f.Fuzz(func(t *testing.T, text, value string) {
		m := Machine{MAC: value, UUID: value, Serial: value, Hostname: value, Arch: value}
		if v, err := m.value("mac"); err == nil && (!isWord(v, "._-") || len(v) > len(value)) {
			t.Errorf("%q stands for %q", v, value)
		}
		if got, err := expand(text, m.value); err == nil && !strings.Contains(text, "${") && got != text {
			t.Errorf("expand(%q) = %q", text, got)
		}
		if _, err := (Config{Image: text, Args: []string{text}, File: text}).For(m); err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
		if got, err := expand(strings.ReplaceAll(text, "${", "$${"), m.value); err != nil || got != text {
			t.Errorf("%q escaped comes back as %q, %v", text, got, err)
		}
	})
}
