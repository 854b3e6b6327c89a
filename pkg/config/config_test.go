package config

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// memory is a Store in memory. Load returns err if it is set.
type memory struct {
	data []byte
	err  error
}

func (m *memory) Load() ([]byte, error) {
	if m.err == nil && m.data == nil {
		return nil, fs.ErrNotExist
	}
	return m.data, m.err
}

func (m *memory) Save(b []byte) error {
	m.data, m.err = b, nil
	return nil
}

func (m *memory) Clear() error {
	m.data = nil
	return nil
}

// digest is that of some file.
var digest = strings.Repeat("0a", 32)

// oneSection returns a network file with one section.
func oneSection(name string, kind netconf.Kind, section string, entries ...netconf.Entry) netconf.File {
	return netconf.File{Name: name, Kind: kind, Sections: []netconf.Section{{Name: section, Entries: entries}}}
}

func TestLoadArguments(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       Config
		warnings   []string // a part of each warning
	}{
		// The examples of the README.
		{name: "recommended", line: `quiet wyr.arg=loglevel=3 wyr.img=CONTAINER`,
			want: Config{Image: "CONTAINER", Args: []string{"loglevel=3"}}},
		{name: "two arguments", line: `wyr.img=x wyr.arg="quiet log-buf-len=1M" wyr.arg=print-fatal-signals=1`,
			want: Config{Image: "x", Args: []string{"quiet log-buf-len=1M", "print-fatal-signals=1"}}},
		{name: "chain load", line: `wyr.img=registry.example/wyrcan/wyrcan wyr.arg=wyr.img=registry.example/wyrcan/debian`,
			want: Config{Image: "registry.example/wyrcan/wyrcan", Args: []string{"wyr.img=registry.example/wyrcan/debian"}}},
		{name: "chain load, quoted for the last kernel", line: `wyr.img=w wyr.arg=wyr.img=d wyr.arg=wyr.arg="a b"`,
			want: Config{Image: "w", Args: []string{"wyr.img=d", `wyr.arg="a b"`}}},
		{name: "chain load does not change this boot", line: `wyr.img=w wyr.arg="wyr.efi=write wyr.img=d"`,
			want: Config{Image: "w", Args: []string{"wyr.efi=write wyr.img=d"}}},
		{name: "efi", line: `wyr.img=x wyr.efi=write`, want: Config{Image: "x", EFI: EFIWrite}},

		{name: "efi without a question", line: `wyr.img=x wyr.efi=write,yes`,
			want: Config{Image: "x", EFI: EFIWrite, EFIYes: true}},
		{name: "a question again", line: `wyr.img=x wyr.efi=clear,yes wyr.efi=clear`, want: Config{Image: "x", EFI: EFIClear},
			warnings: []string{`"clear" takes the place of "clear,yes"`}},
		{name: "a file", line: `wyr.config=https://server.example/${mac}.conf wyr.fail=halt`,
			want: Config{File: "https://server.example/${mac}.conf", Fail: "halt"}},
		{name: "a file by TFTP", line: `wyr.config=tftp://10.0.0.1/a#sha256=` + digest,
			want: Config{File: "tftp://10.0.0.1/a#sha256=" + digest}},
		{name: "an image beside a file", line: `wyr.config=https://server.example/x wyr.img=x`, want: Config{Image: "x"},
			warnings: []string{"wyr.config is ignored: wyr.img stands beside it"}},
		{name: "files, bad", line: `wyr.img=x wyr.config wyr.config=http://h/x wyr.config=tftp://h/x wyr.config=ftp://h/x ` +
			`wyr.config=https://me:hunter2@h/x wyr.config=/etc/x wyr.config=http://h/x#sha256=12 wyr.config=https://h/${disk}`,
			want: Config{Image: "x"},
			warnings: []string{"needs a value", "can change what comes by http", "can change what comes by tftp",
				"do not come by ftp", "leave the login out", "not a URL", "64 hexadecimal digits", "there is no ${disk}"}},
		{name: "variables stay", line: `wyr.img=registry.example/${uuid}:${arch} wyr.arg=host=${hostname}`,
			want: Config{Image: "registry.example/${uuid}:${arch}", Args: []string{"host=${hostname}"}}},

		{name: "firmware's own arguments", line: `wyrcan.kernel BOOT_IMAGE=/k initrd=\initrd wyr.img=x root=/dev/sda`,
			want: Config{Image: "x"}},
		{name: "iPXE's file name, a kernel", line: `wyrcan.kernel wyr.img=x`, want: Config{Image: "x"}},
		{name: "iPXE's file name, a UKI", line: `wyrcan.efi wyr.img=x`, want: Config{Image: "x"}},
		{name: "iPXE's file name with a query", line: `wyrcan.kernel?job=images wyr.img=x`, want: Config{Image: "x"}},
		{name: "first and misspelt", line: `wyr.image=y wyr.img=x`, want: Config{Image: "x"},
			warnings: []string{"wyr.img is"}},
		{name: "aliases", line: `wyrcan.img=x wyrcan.arg=a wyrcan.net.lan.Match.Name=e0 wyrcan.efi=clear ` +
			`wyrcan.root=initramfs wyrcan.debug=shell wyrcan.net.keep=yes`,
			want: Config{Image: "x", Args: []string{"a"}, EFI: EFIClear, Root: "initramfs", Debug: "shell", NetKeep: true,
				Network: []netconf.File{oneSection("lan", netconf.Network, "Match", netconf.Entry{Key: "Name", Value: "e0"})}}},
		{name: "behind the double dash", line: `quiet -- wyr.img=x`, want: Config{Image: "x"}},
		{name: "empty values", line: `wyr.img=x wyr.arg= wyr.efi= wyr.root= wyr.debug= wyr.net.keep= wyr.fail= wyr.deadline=`,
			want: Config{Image: "x"}},
		{name: "not ours", line: `wyr.img=x wyrd.img=y wyr_img=z img=w wyr arg=a`, want: Config{Image: "x"}},

		{name: "last image wins", line: `wyr.img=x wyrcan.img=y`, want: Config{Image: "y"},
			warnings: []string{`"y" takes the place of "x"`}},
		{name: "same image twice", line: `wyr.img=x wyr.img=x`, want: Config{Image: "x"}},
		{name: "empty image does not undo one", line: `wyr.img=x wyr.img=`, want: Config{Image: "x"},
			warnings: []string{"wyr.img= is ignored: it names no image"}},
		{name: "last option wins", line: `wyr.img=x wyr.efi=write wyr.efi=clear`, want: Config{Image: "x", EFI: EFIClear},
			warnings: []string{`"clear" takes the place of "write"`}},
		{name: "verity", line: `wyr.img=x wyr.root=squashfs wyr.verity=on`,
			want: Config{Image: "x", Root: "squashfs", Verity: "yes"}},
		{name: "no verity", line: `wyr.img=x wyr.verity=0`, want: Config{Image: "x", Verity: "no"}},
		{name: "verity undone", line: `wyr.img=x wyr.verity=yes wyr.verity=`, want: Config{Image: "x"},
			warnings: []string{"wyr.verity is given more than once"}},
		{name: "booted by another Wyrcan", line: `wyr.roothash=0123 wyr.img=x`, want: Config{Image: "x"}},
		{name: "option undone", line: `wyr.img=x wyr.root=initramfs wyr.root=`, want: Config{Image: "x"},
			warnings: []string{`"" takes the place of "initramfs"`}},
		{name: "insecure", line: `wyr.img=x wyr.insecure=10.0.0.1:5000 wyr.insecure=registry.lab ` +
			`wyr.insecure=[2001:db8::1]:5000 wyrcan.insecure=registry.lab`,
			want: Config{Image: "x", Insecure: []string{"10.0.0.1:5000", "registry.lab", "[2001:db8::1]:5000"}}},
		{name: "fail and deadline", line: `wyr.img=x wyr.fail=poweroff wyr.deadline=10min`,
			want: Config{Image: "x", Fail: "poweroff", Deadline: 10 * time.Minute}},
		{name: "a deadline in seconds", line: `wyr.img=x wyr.fail=shell wyrcan.deadline=90`,
			want: Config{Image: "x", Fail: "shell", Deadline: 90 * time.Second}},
		{name: "a deadline of two units", line: `wyr.img=x wyr.fail=halt wyr.deadline=1h30m`,
			want: Config{Image: "x", Fail: "halt", Deadline: 90 * time.Minute}},
		{name: "deadline, bad", line: `wyr.img=x wyr.deadline=soon wyr.deadline=0 wyr.deadline=-5m wyr.deadline=500ms ` +
			`wyr.deadline=99999h wyr.deadline=99999999999999999999 wyr.deadline wyr.deadlin=5s`,
			want: Config{Image: "x"},
			warnings: []string{`"soon" is no time`, `"0" is no time`, `"-5m" is no time`, `"500ms" is no time`,
				`"99999h" is no time`, `is no time from a second to a year`, "needs a value", "wyr.deadline is the nearest"}},
		{name: "insecure, bad", line: `wyr.img=x wyr.insecure wyr.insecure=http://a wyr.insecure=a/b wyr.insecure=a:0 ` +
			`wyr.insecure=a:b wyr.insecure=* wyr.insecure=a:99999 wyr.insecure=[a] wyr.insecure=::1 wyr.insecure=a,b`,
			want: Config{Image: "x"},
			warnings: []string{"needs a value", `"http://a" is not a registry`, `"a/b"`, `"a:0"`, `"a:b"`, `"*"`,
				`"a:99999"`, `"[a]"`, `"::1"`, `"a,b"`}},
		{name: "reaching registries", line: `wyr.img=x wyr.mirror=m.lab:5000 wyr.mirror=docker.io=a.lab,b.lab/hub ` +
			`wyr.proxy=http://proxy.lab:3128 wyr.noproxy=registry.lab,.corp,10.0.0.0/8 wyr.noproxy=* ` +
			`wyr.ntp=ntp.lab,10.0.0.1 wyr.ntp=[2001:db8::1]:123,2001:db8::2,ntp.lab`,
			want: Config{Image: "x", Mirrors: []string{"m.lab:5000", "docker.io=a.lab,b.lab/hub"},
				Proxy: "http://proxy.lab:3128", NoProxy: []string{"registry.lab", ".corp", "10.0.0.0/8", "*"},
				NTP: []string{"ntp.lab", "10.0.0.1", "[2001:db8::1]:123", "2001:db8::2"}}},
		{name: "reaching registries, bad", line: `wyr.img=x wyr.mirror=http://m wyr.mirror=a=b=c wyr.mirror=a/b=m ` +
			`wyr.mirror=a, wyr.proxy=proxy:3128 wyr.proxy=socks5://p:1 wyr.proxy=http://me:secret@p:1 ` +
			`wyr.proxy=http://p:1/x wyr.ntp=a/b wyr.ntp=a,b:0 wyr.noproxy="a b"`,
			want: Config{Image: "x"},
			warnings: []string{`"http://m" is not a mirror`, `"b=c" is not a mirror`, `"a/b" is not a registry`,
				`"" is not a mirror`,
				"not the URL of a proxy", "not the URL of a proxy", "put it into auth.json", "more than the proxy",
				`"a/b" is not a server`, `"b:0" is not a server`, `"a b" is not a host`}},
		{name: "keep", line: `wyr.img=x wyr.net.keep=no wyr.net.keep=1`, want: Config{Image: "x", NetKeep: true},
			warnings: []string{`"1" takes the place of "no"`}},
		{name: "no record", line: `wyr.img=x wyr.record=no`, want: Config{Image: "x", NoRecord: true}},
		{name: "no record, otherwise", line: `wyr.img=x wyrcan.record=off`, want: Config{Image: "x", NoRecord: true}},
		{name: "a record", line: `wyr.img=x wyr.record=yes`, want: Config{Image: "x"}},
		{name: "a record by default", line: `wyr.img=x wyr.record=`, want: Config{Image: "x"}},
		{name: "the kernel stays", line: `wyr.img=x wyr.kernel=keep`, want: Config{Image: "x", Kernel: "keep"}},
		{name: "the kernel stays not", line: `wyr.img=x wyr.kernel=keep wyr.kernel=`, want: Config{Image: "x"},
			warnings: []string{"wyr.kernel is given more than once"}},
		{name: "no microcode", line: `wyr.img=x wyrcan.microcode=no`, want: Config{Image: "x", NoMicrocode: true}},
		{name: "microcode by default", line: `wyr.img=x wyr.microcode=yes`, want: Config{Image: "x"}},
		{name: "a kernel, bad", line: `wyr.img=x wyr.kernel=Keep wyr.kernel wyr.microcode=never`, want: Config{Image: "x"},
			warnings: []string{`"Keep" is not the name of an image`, "wyr.kernel=VALUE",
				"wyr.microcode: yes, no"}},
		{name: "bad values", line: `wyr.img=x wyr.efi=wipe wyr.root=disk wyr.debug=1 wyr.net.keep=perhaps wyr.fail=cry ` +
			`wyr.record=none`,
			want: Config{Image: "x"},
			warnings: []string{`"wipe" is none of the values of wyr.efi: write, clear`, "wyr.root: auto, tmpfs, squashfs, erofs, initramfs",
				"wyr.debug: shell", "wyr.net.keep: yes", "wyr.fail: reboot, poweroff, shell, halt", "wyr.record: yes, no"}},
		{name: "no value", line: `wyr.img=x wyr.img wyr.arg wyr.efi wyr.net.lan.Match.Name`, want: Config{Image: "x"},
			warnings: []string{"wyr.img=VALUE", "wyr.arg=VALUE", "wyr.efi=VALUE", "wyr.net.lan.Match.Name=VALUE"}},
		{name: "misspelt", line: `wyr.img=x wyr.image=y wyr.args=a wyr.IMG=z wyr.efi.write=1 ` +
			`wyrcan.rot=initramfs wyr.=1`, want: Config{Image: "x"},
			warnings: []string{"wyr.image=y is ignored: there is no such argument; wyr.img is", "wyr.arg is", "wyr.img is",
				"no such argument", "wyr.root is", "no such argument"}},

		{name: "network", line: `wyr.img=x wyr.net.10-lan.Match.Name=eth0 wyr.net.netdev.v_5.VLAN.Id=5 ` +
			`wyr.net.10-lan.Network.DNS="1.1.1.1 9.9.9.9" wyr.net.10-lan.Match.Type=ether ` +
			`wyr.net.network.10-lan.Network.DNS=::1 wyr.net.10-lan.Network.Domains= wyr.net.link.10-lan.Link.Name=lan0`,
			want: Config{Image: "x", Network: []netconf.File{
				{Name: "10-lan", Kind: netconf.Network, Sections: []netconf.Section{
					{Name: "Match", Entries: []netconf.Entry{{Key: "Name", Value: "eth0"}, {Key: "Type", Value: "ether"}}},
					{Name: "Network", Entries: []netconf.Entry{{Key: "DNS", Value: "1.1.1.1 9.9.9.9"}, {Key: "DNS", Value: "::1"},
						{Key: "Domains"}}},
				}},
				oneSection("v_5", netconf.NetDev, "VLAN", netconf.Entry{Key: "Id", Value: "5"}),
				oneSection("10-lan", netconf.Link, "Link", netconf.Entry{Key: "Name", Value: "lan0"}),
			}}},
		{name: "file named like a kind", line: `wyr.img=x wyr.net.link.Match.Name=eth0`,
			want: Config{Image: "x", Network: []netconf.File{oneSection("link", netconf.Network, "Match",
				netconf.Entry{Key: "Name", Value: "eth0"})}}},
		{name: "numbered sections", line: `wyr.img=x wyr.net.a.Route3.Gateway=c wyr.net.a.Route.Gateway=a ` +
			`wyr.net.a.Route2.Gateway=b wyr.net.a.Route3.Metric=3 wyr.net.a.DHCPv4.UseDNS=no wyr.net.a.Match2.Name=e`,
			want: Config{Image: "x", Network: []netconf.File{{Name: "a", Kind: netconf.Network, Sections: []netconf.Section{
				{Name: "Route", Entries: []netconf.Entry{{Key: "Gateway", Value: "c"}, {Key: "Metric", Value: "3"}}},
				{Name: "Route", Entries: []netconf.Entry{{Key: "Gateway", Value: "a"}}},
				{Name: "Route", Entries: []netconf.Entry{{Key: "Gateway", Value: "b"}}},
				{Name: "DHCPv4", Entries: []netconf.Entry{{Key: "UseDNS", Value: "no"}}},
				{Name: "Match2", Entries: []netconf.Entry{{Key: "Name", Value: "e"}}},
			}}}}},
		{name: "bad network", line: "wyr.img=x wyr.net.lan=dhcp wyr.net.lan.Network=dhcp wyr.net.a.b.c.d.e=1 " +
			"wyr.net.net.lan.Match.Name=e wyr.net.../x.Match.Name=e wyr.net.l/n.Match.Name=e" +
			" wyr.net..Match.Name=e wyr.net.lan.SR-IOV.VF=1 wyr.net.lan.Match.=e wyr.net.lan.Match.Name=\"a\nb\" " +
			"wyr.net.lan.Match.Name=a\\ wyr.net." + strings.Repeat("n", 250) + ".Match.Name=e",
			want: Config{Image: "x"},
			warnings: []string{"KIND", "KIND", "KIND", `"net" is no kind of file`, "KIND", `"l/n" is no file name`,
				`"" is no file name`, `"SR-IOV" is no section`, `"" is no key`, "does not fit on a line", "backslash", "too long"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, err := Load(cmdline.Parse(tt.line))
			got := found.Config
			if err != nil {
				t.Fatalf("Load(%q): %v", tt.line, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Load(%q) (-want +got):\n%s", tt.line, diff)
			}
			compareWarnings(t, found.Warnings, tt.warnings)
			again, err := Load(got.Arguments())
			if diff := cmp.Diff(got, again.Config); diff != "" || err != nil || len(again.Warnings) > 0 {
				t.Errorf("Load(%q) = %v, %v (-first +again):\n%s", got.Arguments(), again.Warnings, err, diff)
			}
		})
	}
}

// No warning shows a login that somebody has put into a URL.
func TestWarningsHideLogins(t *testing.T) {
	found, _ := Load(cmdline.Parse("wyr.config=https://me:hunter2@h/x wyr.proxy=http://me:hunter2@h:1"))
	if text := strings.Join(found.Warnings, " "); len(found.Warnings) != 2 || strings.Contains(text, "hunter2") {
		t.Errorf("warnings %q", text)
	}
}

func compareWarnings(t *testing.T, got, parts []string) {
	t.Helper()
	if len(got) != len(parts) {
		t.Fatalf("warnings %q, want %d of them: %q", got, len(parts), parts)
	}
	for i, part := range parts {
		if !strings.Contains(got[i], part) {
			t.Errorf("warning %q, want one with %q", got[i], part)
		}
	}
}

func TestLoadSources(t *testing.T) {
	const nvram = `{"network":{"lan.network":{"Match":{"Name":"e9"}}},"cmdline":["a","b c"],"image":"stored",` +
		`"root":"initramfs","net.keep":true,"insecure":["10.0.0.1:5000"],"fail":"halt","deadline":"10m0s"}`
	stored := Config{Image: "stored", Args: []string{"a", "b c"}, Root: "initramfs", NetKeep: true,
		Insecure: []string{"10.0.0.1:5000"}, Fail: "halt", Deadline: 10 * time.Minute,
		Network: []netconf.File{oneSection("lan", netconf.Network, "Match", netconf.Entry{Key: "Name", Value: "e9"})}}
	with := func(change func(*Config)) Config { c := stored; change(&c); return c }

	for _, tt := range []struct {
		name, line string
		store      *memory
		want       Config
		warnings   []string
		err        string // a part of the text of ErrNoImage, "" for no error
	}{
		{name: "NVRAM", store: &memory{data: []byte(nvram)}, want: stored},
		{name: "the command line comes first", line: "wyr.img=x", store: &memory{data: []byte(nvram)},
			want: Config{Image: "x"}},
		{name: "unreadable NVRAM is not even read", line: "wyr.img=x", store: &memory{err: fs.ErrInvalid},
			want: Config{Image: "x"}},
		{name: "empty image on the command line", line: "wyr.img=", store: &memory{data: []byte(nvram)}, want: stored,
			warnings: []string{"names no image"}},
		{name: "options of this boot", line: "wyr.debug=shell wyr.efi=clear", store: &memory{data: []byte(nvram)},
			want: with(func(c *Config) { c.Debug, c.EFI = "shell", EFIClear })},
		{name: "another end", line: "wyr.fail=shell wyr.deadline=", store: &memory{data: []byte(nvram)},
			want: with(func(c *Config) { c.Fail, c.Deadline = "shell", 0 })},
		{name: "another registry is insecure", line: "wyr.insecure=registry.lab", store: &memory{data: []byte(nvram)},
			want: with(func(c *Config) { c.Insecure = []string{"registry.lab"} })},
		{name: "no registry is insecure", line: "wyr.insecure=", store: &memory{data: []byte(nvram)},
			want: with(func(c *Config) { c.Insecure = nil })},
		{name: "other ways to registries", line: "wyr.mirror=m.lab wyr.proxy=http://p:1 wyr.noproxy=a wyr.ntp=n",
			store: &memory{data: []byte(nvram)}, want: with(func(c *Config) {
				c.Mirrors, c.Proxy, c.NoProxy, c.NTP = []string{"m.lab"}, "http://p:1", []string{"a"}, []string{"n"}
			})},
		{name: "options undone", line: "wyr.root= wyr.net.keep=no", store: &memory{data: []byte(nvram)},
			want: with(func(c *Config) { c.Root, c.NetKeep = "", false })},
		{name: "no record of this boot", line: "wyr.record=no", store: &memory{data: []byte(nvram)},
			want: with(func(c *Config) { c.NoRecord = true })},
		{name: "a record of this boot", line: "wyr.record=1",
			store: &memory{data: []byte(`{"network":{},"cmdline":[],"image":"y","norecord":true}`)},
			want:  Config{Image: "y"}},
		{name: "never mixed", line: "wyr.arg=z wyr.net.lan.Match.Name=e0", store: &memory{data: []byte(nvram)}, want: stored,
			warnings: []string{"wyr.arg and wyr.net on the command line are ignored"}},
		{name: "nothing", store: &memory{}, err: "no container image"},
		{name: "no image in NVRAM", store: &memory{data: []byte(`{"network":{},"cmdline":["a"],"image":null}`)},
			err: "no container image"},
		{name: "garbage in NVRAM", line: "wyr.efi=clear wyr.foo=1", store: &memory{data: []byte("\xff\xfe")},
			want:     Config{EFI: EFIClear},
			warnings: []string{"wyr.foo"}, err: "in NVRAM: it is not UTF-8"},
		{name: "NVRAM fails", store: &memory{err: errors.New("device error")}, err: "in NVRAM: device error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Load(cmdline.Parse(tt.line), NVRAM(tt.store))
			if diff := cmp.Diff(tt.want, got.Config); diff != "" {
				t.Errorf("Load(%q) (-want +got):\n%s", tt.line, diff)
			}
			compareWarnings(t, got.Warnings, tt.warnings)
			switch {
			case tt.err == "" && err != nil:
				t.Errorf("Load(%q): %v", tt.line, err)
			case tt.err != "" && (!errors.Is(err, ErrNoImage) || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("Load(%q): %v, want ErrNoImage with %q", tt.line, err, tt.err)
			}
		})
	}
}

func TestLoadWithoutStore(t *testing.T) {
	if _, err := Load(nil); err != ErrNoImage {
		t.Errorf("Load(nil): %v, want %v", err, ErrNoImage)
	}
}

func TestHelpNamesAll(t *testing.T) {
	for _, name := range known() {
		if !strings.Contains(Help, "wyr."+name+"=") {
			t.Errorf("Help does not explain wyr.%s", name)
		}
	}
}

// FuzzLoad checks for any command line that Load does not panic, that no file name leaves its directory, and that Load
// returns the same configuration for the configuration's own arguments.
func FuzzLoad(f *testing.F) {
	f.Add(`wyr.img=x wyr.arg="a b" wyr.net.link.lan.Route2.Name="a b" wyr.net.keep=yes wyr.insecure=a:1 wyr.efi=write ` +
		`wyr.rot=1 wyr.deadline=5m wyr.fail=halt`)
	f.Add(`"wyr.arg=a" wyrcan.net...=1 wyr.net.network.a.Address.Address=1 wyr.net.a.Address9.Address=2 wyr. wyr.img`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Load(cmdline.Parse(text))
		if err != nil && !errors.Is(err, ErrNoImage) {
			t.Fatalf("Load(%q): %v", text, err)
		}
		for _, n := range c.Network {
			if !fs.ValidPath(n.Name) || strings.Contains(n.Name, "/") || strings.Contains(n.Name, ".") {
				t.Errorf("Load(%q): file name %q", text, n.Name)
			}
		}
		again, _ := Load(c.Arguments())
		if diff := cmp.Diff(c.Config, again.Config); diff != "" || len(again.Warnings) > 0 {
			t.Errorf("Load(%q) as arguments: %q (-first +again):\n%s", text, again.Warnings, diff)
		}
	})
}
