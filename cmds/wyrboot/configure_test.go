package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/vpd"

	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/network"
)

// nvram is a config.Store.
type nvram struct {
	data   []byte
	writes int
}

func (n *nvram) Load() ([]byte, error) {
	if n.data == nil {
		return nil, fs.ErrNotExist
	}
	return n.data, nil
}

func (n *nvram) Save(b []byte) error { n.data = b; n.writes++; return nil }
func (n *nvram) Clear() error        { n.data = nil; n.writes++; return nil }

// bare returns a wyrboot on a machine that has nothing but these files and this command line, and a function that
// returns what has been said.
func bare(t *testing.T, line string, files map[string]string) (*cmd, func() string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write("sys/class/tty/console/active", "screen\n")
	screen := write("dev/screen", "")
	c := &cmd{console: console.Open(dir), cmdline: write("cmdline", line+"\n"), store: new(nvram),
		root: fstest.MapFS{}, vpd: &vpd.Reader{VpdDir: filepath.Join(dir, "vpd")}}
	c.trouble = &console.Trouble{Out: c.console, Sayf: c.sayf, Prefix: "wyrboot: "}
	root := fstest.MapFS{}
	for name, text := range files {
		if rest, ok := strings.CutPrefix(name, "vpd/"); ok {
			write("vpd/"+rest, text)
			continue
		}
		root[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o400}
	}
	c.root = root
	c.system, _ = c.systemCredentials(t.Context())
	return c, func() string {
		t.Helper()
		c.console.Flush(time.Second)
		b, err := os.ReadFile(screen)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

// oemStrings returns the raw form of an SMBIOS table of type 11.
func oemStrings(texts ...string) string {
	return "\x0b\x05\x00\x00\x01" + strings.Join(texts, "\x00") + "\x00\x00"
}

const (
	fwcfg  = "sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials/"
	smbios = "sys/firmware/dmi/entries/11-0/raw"
)

// TestConfigure has every place that may name an image, and all of them in the order of their strength.
func TestConfigure(t *testing.T) {
	files := map[string]string{
		".extra/credentials/wyr.img.cred":        "stub",
		".extra/global_credentials/wyr.img.cred": "global",
		fwcfg + "wyr.config/raw":                 "wyr.img=fwcfg wyr.fail=halt",
		smbios: oemStrings("io.systemd.credential:wyr.img=smbios",
			"io.systemd.credential:wyr.arg=a b"),
		"vpd/rw/wyr_img":  "rw",
		"vpd/rw/Boot0002": `{"type": "wyrcan", "image": "entry", "args": ["x"]}`,
		"vpd/ro/wyr_img":  "ro",
	}
	for _, tt := range []struct {
		line  string
		words []string
		nvram string
		gone  []string // the files that this machine and the following ones do not have
		want  config.Config
		told  string
	}{
		{line: "wyr.img=line", words: []string{"wyr.arg=b c"}, nvram: `{"image":"nvram"}`,
			want: config.Config{Image: "line", Args: []string{"b c"}}, told: "wyr.img, wyr.arg from the command line"},
		{words: []string{"wyr.img=word"}, nvram: `{"image":"nvram"}`, want: config.Config{Image: "word"},
			told: "wyr.img from the command line"},
		{nvram: `{"image":"nvram"}`, want: config.Config{Image: "nvram"}, told: "wyr.img from NVRAM"},
		{nvram: "garbage", want: config.Config{Image: "stub"},
			told: "wyr.img from the system credentials in /.extra/credentials"},
		{gone: []string{".extra/credentials/wyr.img.cred"}, want: config.Config{Image: "global"},
			told: "wyr.img from the system credentials in /.extra/global_credentials"},
		{gone: []string{".extra/global_credentials/wyr.img.cred"}, want: config.Config{Image: "fwcfg", Fail: "halt"},
			told: "wyr.img, wyr.fail from the system credentials in fw_cfg"},
		{gone: []string{fwcfg + "wyr.config/raw"}, line: "wyr.record=no",
			want: config.Config{Image: "smbios", Args: []string{"a b"}, NoRecord: true},
			told: "wyr.img, wyr.arg from the system credentials in SMBIOS; wyr.record from the command line"},
		{gone: []string{smbios}, want: config.Config{Image: "rw"}, told: "wyr.img from RW_VPD"},
		{gone: []string{"vpd/rw/wyr_img"}, want: config.Config{Image: "entry", Args: []string{"x"}},
			told: "wyr.img, wyr.arg from RW_VPD, entry Boot0002"},
		{gone: []string{"vpd/rw/Boot0002"}, want: config.Config{Image: "ro"}, told: "wyr.img from RO_VPD"},
		{gone: []string{"vpd/ro/wyr_img"}},
	} {
		for _, name := range tt.gone {
			delete(files, name)
		}
		c, said := bare(t, "quiet "+tt.line, files)
		c.words = tt.words
		if tt.nvram != "" {
			c.store = &nvram{data: []byte(tt.nvram)}
		}
		if err := c.configure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, c.config); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.told, diff)
		}
		if (c.missing == nil) != (tt.want.Image != "") || c.missing != nil && !errors.Is(c.missing, config.ErrNoImage) {
			t.Errorf("%s: missing = %v", tt.told, c.missing)
		}
		if text := said(); tt.told != "" && !strings.Contains(text, "wyrboot: configuration: "+tt.told+"\n") ||
			tt.nvram == "garbage" && !strings.Contains(text, "cannot use the configuration in NVRAM") {
			t.Errorf("said %q, want %q", text, tt.told)
		}
	}
}

// TestArguments has the arguments that u-root's init makes of uroot.uinitargs= and /etc/uinit.flags.
func TestArguments(t *testing.T) {
	c, said := bare(t, "", nil)
	file := c.cmdline
	err := c.arguments([]string{"wyr.img=x", "-cmdline", file, "wyr.arg=a b", "quiet", "wyrcan.fail=halt"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.configure(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := config.Config{Image: "x", Args: []string{"a b"}, Fail: "halt"}
	if diff := cmp.Diff(want, c.config); diff != "" || c.cmdline != file {
		t.Errorf("cmdline %q (-want +got):\n%s", c.cmdline, diff)
	}
	if text := said(); !strings.Contains(text, `"quiet" of wyrboot is ignored`) {
		t.Errorf("said %q", text)
	}
	// What an initrd was built with gives way to the command line, which begins with the name of a file here.
	c, _ = bare(t, "wyrcan.efi wyr.img=line wyr.arg=last", nil)
	c.words = []string{"wyr.img=word", "wyr.arg=first", "wyr.fail=halt"}
	if err := c.configure(t.Context()); err != nil {
		t.Fatal(err)
	}
	want = config.Config{Image: "line", Args: []string{"first", "last"}, Fail: "halt"}
	if diff := cmp.Diff(want, c.config); diff != "" || len(c.found.Warnings) != 1 {
		t.Errorf("warnings %q (-want +got):\n%s", c.found.Warnings, diff)
	}
	if err := c.arguments([]string{"wyr.img=x", "-nonsense"}); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("arguments: %v", err)
	}
	if err := new(cmd).arguments(nil); err != nil {
		t.Error(err)
	}
}

// TestWithoutQuestion: wyr.efi=write,yes and clear,yes ask nobody. What is stored is what was given, and only if it is
// another configuration.
func TestWithoutQuestion(t *testing.T) {
	store := new(nvram)
	c, said := bare(t, "wyr.img=r/x:${arch} wyr.efi=write,yes", nil)
	c.store = store
	if err := c.configure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if store.writes != 0 || !c.confirmed {
		t.Errorf("before the kernel is loaded: %d writes, confirmed %v", store.writes, c.confirmed)
	}
	if err := c.complete(t.Context(), func() []network.LinkState { return nil }); err != nil {
		t.Fatal(err)
	}
	const want = `{"network":{},"cmdline":[],"image":"r/x:${arch}"}`
	if !c.persist() || string(store.data) != want {
		t.Errorf("NVRAM holds %s, want %s", store.data, want)
	}
	if text := said(); strings.Contains(text, "[yes/no]") || strings.Contains(c.config.Image, "$") {
		t.Errorf("said %q, boots %s", text, c.config.Image)
	}
	c, _ = bare(t, "wyr.img=r/x:${arch} wyr.efi=write,yes", nil)
	c.store = store
	if err := c.configure(t.Context()); err != nil || c.confirmed || c.persist() || store.writes != 1 {
		t.Errorf("the same again: %v, confirmed %v, %d writes", err, c.confirmed, store.writes)
	}
	c, _ = bare(t, "", nil)
	c.store, c.config = store, config.Config{EFI: config.EFIClear, EFIYes: true}
	c.found.Config = c.config
	if !c.askEFI(t.Context()) || store.data != nil {
		t.Errorf("NVRAM holds %s still", store.data)
	}
}

// link returns the state of a link that is up.
func link(name, mac string, boot ...network.Boot) network.LinkState {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		panic(err)
	}
	return network.LinkState{Name: name, MAC: hw, Usable: true, Boot: boot}
}

// TestComplete finds out what takes the network: leases, the file of wyr.config, and the names of the machine.
func TestComplete(t *testing.T) {
	text := "# rack 7\nwyr.img=registry.example/${hostname}:1\nwyr.arg=\"mac=${mac} $${x}\"\n" +
		"wyr.insecure=registry.example\n"
	mux := http.NewServeMux()
	mux.HandleFunc("/4c4c4544.conf", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
	tries := 0
	mux.HandleFunc("/busy", func(w http.ResponseWriter, _ *http.Request) {
		if tries++; tries == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, text)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	url := func(path, content string) string {
		return fmt.Sprintf("%s%s#sha256=%x", server.URL, path, sha256.Sum256([]byte(content)))
	}
	lan := link("eth0", "52:54:00:12:34:56")
	lan.Hostname = "Node 7"
	gives := func(b network.Boot) network.LinkState { l := lan; l.Boot = []network.Boot{b}; return l }
	fromFile := config.Config{Image: "registry.example/node-7:1", Args: []string{"mac=52-54-00-12-34-56 ${x}"}}

	for _, tt := range []struct {
		name, line string
		links      []network.LinkState
		want       config.Config
		said       string
		err        string
	}{
		{name: "nothing to do", line: "wyr.img=x wyr.arg=a", links: []network.LinkState{lan},
			want: config.Config{Image: "x", Args: []string{"a"}}},
		{name: "variables", line: "wyr.img=r/${uuid}:${mac} wyr.arg=host=${hostname}", links: []network.LinkState{lan},
			want: config.Config{Image: "r/4c4c4544:52-54-00-12-34-56", Args: []string{"host=Node-7"}}},
		{name: "a variable without a value", line: "wyr.img=r/${serial}", links: []network.LinkState{lan},
			err: "wyr.img cannot be used: this machine has no value for ${serial}"},
		{name: "a file", line: "wyr.config=" + url("/${uuid}.conf", text), links: []network.LinkState{lan}, want: fromFile,
			said: "wyr.insecure is ignored: this file may only name the image and its arguments"},
		{name: "a server that is busy", line: "wyr.config=" + url("/busy", text), links: []network.LinkState{lan},
			want: fromFile, said: "answers 503 Service Unavailable; tries again in"},
		{name: "an absent file", line: "wyr.config=" + url("/absent", text), links: []network.LinkState{lan},
			err: "/absent (wyr.config): server 127.0.0.1:"},
		{name: "another file", line: "wyr.config=" + url("/${uuid}.conf", "x"), links: []network.LinkState{lan},
			err: "sends another file"},
		{name: "a file that nothing vouches for", line: "wyr.config=" + server.URL, links: []network.LinkState{lan},
			err: "no container image"},
		{name: "a boot file", links: []network.LinkState{gives(network.Boot{Server: "DHCP server 10.0.2.2",
			BootFile: "oci://r/x:${mac}"})}, want: config.Config{Image: "r/x:52-54-00-12-34-56"},
			said: "configuration: wyr.img from DHCP server 10.0.2.2 on eth0\n"},
		{name: "a lease with the URL of a file", links: []network.LinkState{gives(network.Boot{Server: "DHCP server 10.0.2.2",
			Config: url("/4c4c4544.conf", text)})}, want: fromFile,
			said: "configuration: wyr.img, wyr.arg from the file of wyr.config (from DHCP server 10.0.2.2 on eth0)\n"},
		{name: "a stronger source", line: "wyr.img=x", links: []network.LinkState{gives(network.Boot{BootFile: "oci://y"})},
			want: config.Config{Image: "x"}},
		{name: "nothing anywhere", line: "wyr.fail=halt", links: []network.LinkState{lan}, err: "no container image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, said := bare(t, tt.line, map[string]string{"sys/class/dmi/id/product_uuid": "4C4C4544\n"})
			if err := c.configure(t.Context()); err != nil {
				t.Fatal(err)
			}
			err := c.complete(t.Context(), func() []network.LinkState { return tt.links })
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("complete: %v, want %q", err, tt.err)
			}
			if text := said(); !strings.Contains(text, tt.said) {
				t.Errorf("said %q, want %q", text, tt.said)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(tt.want, c.config); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestLeases waits for the lease of another link, but not for long.
func TestLeases(t *testing.T) {
	first, second := link("eth0", "52:54:00:00:00:01"), link("eth1", "52:54:00:00:00:02")
	second.Usable, second.Pending = false, true
	ready := second
	ready.Pending, ready.Boot = false, []network.Boot{{Server: "B", BootFile: "oci://x"}}
	for _, tt := range []struct {
		name  string
		after time.Duration
		want  int
		waits time.Duration
	}{
		{"soon", time.Second, 1, time.Second},
		{"too late", time.Minute, 0, otherLeases},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			list := leases(t.Context(), func() []network.LinkState {
				if time.Since(begin) < tt.after {
					return []network.LinkState{first, second}
				}
				return []network.LinkState{first, ready}
			})
			if d := time.Since(begin); len(list) != tt.want || d < tt.waits || d > tt.waits+time.Second {
				t.Errorf("%s: %v after %v", tt.name, list, d)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begin := time.Now()
	leases(ctx, func() []network.LinkState { return []network.LinkState{second} })
	if d := time.Since(begin); d > time.Second {
		t.Errorf("leases goes on for %v after the end of its context", d)
	}
}

// TestOffers: the link that leads to the registry comes first, and names the machine.
func TestOffers(t *testing.T) {
	side := link("eth0", "52:54:00:00:00:01", network.Boot{Server: "A", BootFile: "oci://a"})
	main := link("eth1", "52:54:00:00:00:02", network.Boot{Server: "B", Image: "b", Args: []string{"c"}, Config: "d"})
	main.Gateways = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	down := main
	down.Name, down.Usable, down.Boot = "eth2", false, nil
	states := []network.LinkState{down, side, main}
	want := []config.DHCP{{From: "B on eth1", Image: "b", Args: []string{"c"}, Config: "d"},
		{From: "A on eth0", BootFile: "oci://a"}}
	if diff := cmp.Diff(want, offers(states)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if l := bootLink(states); l == nil || l.Name != "eth1" {
		t.Errorf("bootLink = %+v", l)
	}
	if l := bootLink([]network.LinkState{down, side}); l == nil || l.Name != "eth0" {
		t.Errorf("bootLink = %+v", l)
	}
	if l := bootLink([]network.LinkState{down}); l != nil {
		t.Errorf("bootLink = %+v", l)
	}
	if !slices.EqualFunc(states, []string{"eth2", "eth0", "eth1"}, func(s network.LinkState, n string) bool {
		return s.Name == n
	}) {
		t.Error("offers sorts the list of its caller")
	}
}

// TestMachine reads what firmware says about the machine, and what it says when it has nothing to say.
func TestMachine(t *testing.T) {
	const uuid, serial = "sys/class/dmi/id/product_uuid", "sys/class/dmi/id/product_serial"
	for _, tt := range []struct {
		files        map[string]string
		uuid, serial string
	}{
		{nil, "", ""},
		{map[string]string{uuid: "4C4C4544-0042\n", serial: " AB 12 \n"}, "4c4c4544-0042", "AB 12"},
		{map[string]string{uuid: "00000000-0000-0000-0000-000000000000\n", serial: "\n"}, "", ""},
		{map[string]string{uuid: "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n"}, "", ""},
		{map[string]string{"sys/firmware/devicetree/base/serial-number": "1000 00\x00"}, "", "1000 00"},
		{map[string]string{serial: strings.Repeat("x", 1<<20)}, "", strings.Repeat("x", 4096)},
	} {
		c, _ := bare(t, "", tt.files)
		m := c.machine(nil)
		if m.UUID != tt.uuid || m.Serial != tt.serial || m.MAC != "" || m.Arch == "" {
			t.Errorf("%v: %.100v", tt.files, m)
		}
	}
}
