package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

// stackLine has an image of each kind, and an init.
const stackLine = "wyr.img=r/x:1 wyr.kernel=r/kernel:${arch} wyr.init=/bin/sh wyr.overlay=r/a wyr.overlay=r/b@sha256:" +
	"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a wyr.overlay=r/a"

func stackConfig() Config {
	return Config{Image: "r/x:1", Kernel: "r/kernel:${arch}", Init: "/bin/sh",
		Overlays: []string{"r/a", "r/b@sha256:" + digest, "r/a"}}
}

// TestStackArguments has the images of a stack from each place that may name an image, and stores them.
func TestStackArguments(t *testing.T) {
	want := stackConfig()
	data, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(stackLine, " ", "\n")
	boot := func(answer DHCP) []Source { return Leases([]DHCP{answer}) }
	for name, c := range map[string]struct {
		line    string
		sources []Source
	}{
		"the command line": {stackLine, nil},
		"NVRAM":            {"", []Source{NVRAM(&memory{data: data})}},
		"a credential":     {"", Credentials(credentials("SMBIOS", "wyr.config", text))},
		"VPD":              {"", vpdOf(map[string]string{"wyr_config": text}, nil)},
		"an entry BootNNNN": {"", vpdOf(map[string]string{"Boot0001": `{"type": "wyrcan", "image": "r/x:1", ` +
			`"kernel": "r/kernel:${arch}", "init": "/bin/sh", "overlay": ["r/a", "r/b@sha256:` + digest + `", "r/a"]}`}, nil)},
		"DHCP, each one by itself": {"", boot(DHCP{Image: "r/x:1", More: strings.Fields(stackLine)[1:]})},
		"DHCP, a text":             {"", boot(DHCP{Config: text})},
		"DHCP, and a boot file": {"", boot(DHCP{
			BootFile: "oci://r/x:1", Config: strings.Replace(text, "wyr.img=r/x:1", "", 1),
		})},
	} {
		f, err := Load(cmdline.Parse(c.line), c.sources...)
		if diff := cmp.Diff(want, f.Config); diff != "" || err != nil || len(f.Warnings) > 0 {
			t.Errorf("%s: %v, warnings %q, want what is +:\n%s", name, err, f.Warnings, diff)
		}
		again, err := Load(f.Arguments())
		if diff := cmp.Diff(want, again.Config); diff != "" || err != nil {
			t.Errorf("%s, as arguments: %v\n%s", name, err, diff)
		}
	}
}

// TestStackFile has them from the file of wyr.config. The command line counts before it.
func TestStackFile(t *testing.T) {
	f, err := Load(cmdline.Parse("wyr.overlay=r/mine"), Credentials(credentials("SMBIOS", "wyr.config",
		"wyr.config=https://h/x\nwyr.init=/old\nwyr.kernel=/k"))...)
	if err != nil {
		t.Fatal(err)
	}
	f, err = f.WithFile([]byte("wyr.img=r/x\nwyr.init=/new\nwyr.overlay=r/a\nwyr.insecure=h\n"))
	want := Config{Image: "r/x", Kernel: "/k", Init: "/new", Overlays: []string{"r/mine"}}
	if diff := cmp.Diff(want, f.Config); diff != "" || err != nil {
		t.Errorf("WithFile = %v\n%s", err, diff)
	}
	const told = "wyr.img, wyr.init from the file of wyr.config (from the system credentials in SMBIOS); " +
		"wyr.overlay from the command line; wyr.kernel from the system credentials in SMBIOS"
	if f.Told() != told {
		t.Errorf("Told = %q, want %q", f.Told(), told)
	}
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "wyr.insecure is ignored") {
		t.Errorf("warnings %q, want one about wyr.insecure", f.Warnings)
	}
	for _, text := range []string{"wyr.img=r/x\nwyr.overlay=No", "wyr.img=r/x\nwyr.overlay=${disk}"} {
		if _, err := f.WithFile([]byte(text)); err == nil {
			t.Errorf("WithFile(%q) accepts it", text)
		}
	}
}

// TestStackWrong has names that cannot be one. What a person at the command line has named is not left out; another
// place gives way to the next one.
func TestStackWrong(t *testing.T) {
	f, err := Load(cmdline.Parse("wyr.img=x wyr.overlay=No wyr.kernel=\"/a b\" wyr.init=sh wyr.overlay=" +
		strings.Repeat("a", maxImage+1)))
	if diff := cmp.Diff(Config{Image: "x", Overlays: []string{"No"}}, f.Config); diff != "" || err != nil {
		t.Errorf("Load = %v\n%s", err, diff)
	}
	for i, want := range []string{"wyr.kernel", `"sh" is not a path: want /PATH`, "at most 1024 characters"} {
		if i >= len(f.Warnings) || !strings.Contains(f.Warnings[i], want) {
			t.Errorf("warnings %q, want %q", f.Warnings, want)
		}
	}
	for _, stored := range []string{`"overlay":["No"]`, `"kernel":"No"`, `"kernel":"/a b"`, `"init":"sh"`} {
		data := `{"network":{},"cmdline":[],"image":"x",` + stored + `}`
		if f, err := Load(nil, NVRAM(&memory{data: []byte(data)})); !errors.Is(err, ErrNoImage) {
			t.Errorf("with %s stored: Load = %+v, %v", stored, f.Config, err)
		}
	}
	f, err = Load(cmdline.Parse("wyr.overlay= wyr.kernel="), NVRAM(&memory{data: []byte(
		`{"network":{},"cmdline":[],"image":"x","overlay":["a"],"kernel":"k"}`)}))
	if diff := cmp.Diff(Config{Image: "x"}, f.Config); diff != "" || err != nil {
		t.Errorf("what the command line takes away stays: %v\n%s", err, diff)
	}
}

// TestStackFor has the names of this machine in all names of images, and in no path.
func TestStackFor(t *testing.T) {
	m := Machine{UUID: "AB-1", Arch: "amd64"}
	c, err := Config{Image: "x", Kernel: "r/k:${arch}", Overlays: []string{"r/${uuid}", "r/a"}}.For(m)
	if diff := cmp.Diff(Config{Image: "x", Kernel: "r/k:amd64", Overlays: []string{"r/ab-1", "r/a"}}, c); diff != "" ||
		err != nil {
		t.Errorf("For = %v\n%s", err, diff)
	}
	if c, err := (Config{Image: "x", Kernel: "/${arch}"}).For(m); c.Kernel != "/${arch}" || err != nil {
		t.Errorf("For = %+v, %v", c, err)
	}
	for _, c := range []Config{{Image: "x", Kernel: "r/${mac}"}, {Image: "x", Overlays: []string{"${mac}"}}} {
		if got, err := c.For(m); err == nil {
			t.Errorf("For of %+v = %+v", c, got)
		}
	}
	for kernel, want := range map[string][2]string{
		"": {}, "keep": {}, "keep:latest": {"", "keep:latest"}, "/k": {"/k", ""}, "r/k": {"", "r/k"},
	} {
		c := Config{Kernel: kernel}
		if c.KernelPath() != want[0] || c.KernelImage() != want[1] {
			t.Errorf("wyr.kernel=%s is the path %q and the image %q", kernel, c.KernelPath(), c.KernelImage())
		}
	}
}
