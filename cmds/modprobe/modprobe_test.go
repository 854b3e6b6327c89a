package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		names  []string
		params map[string]string
		quiet  bool
	}{
		{args: []string{"dummy"}, names: []string{"dummy"}},
		{args: []string{"-q", "--", "net-pf-10"}, names: []string{"net-pf-10"}, quiet: true}, // as the kernel starts it
		{args: []string{"ip-vlan", "a=1", "b=2,3"}, names: []string{"ip-vlan"},
			params: map[string]string{"ip_vlan": "a=1 b=2,3"}},
		{args: []string{"-a", "vrf", "tun"}, names: []string{"vrf", "tun"}},
	} {
		c, err := command(append([]string{"modprobe"}, tt.args...))
		if err != nil {
			t.Errorf("command(%q): %v", tt.args, err)
			continue
		}
		if c.quiet != tt.quiet || !cmp.Equal(c.names, tt.names) || !cmp.Equal(c.drivers.Params, tt.params) {
			t.Errorf("command(%q) = %q, %v, quiet %v; want %q, %v, %v", tt.args, c.names, c.drivers.Params, c.quiet,
				tt.names, tt.params, tt.quiet)
		}
	}
	if _, err := command([]string{"modprobe"}); err == nil {
		t.Error("command without a name succeeded")
	}
}

func TestRun(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "lib/modules/6.1.0-test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"modules.dep":     "kernel/drivers/net/dummy.ko:\n",
		"modules.alias":   "alias rtnl-link-dummy dummy\n",
		"modules.builtin": "kernel/net/ipv6/ipv6.ko\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		absent bool
	}{
		{"ipv6", false},
		{"wormhole", true},
		{"rtnl-link-dummy", true}, // the alias is known, but the file does not exist
	} {
		c, err := command([]string{"modprobe", tt.name})
		if err != nil {
			t.Fatal(err)
		}
		c.drivers.Root, c.drivers.Release = root, "6.1.0-test"
		if err := c.run(context.Background()); errors.Is(err, fs.ErrNotExist) != tt.absent {
			t.Errorf("modprobe %s = %v, want missing: %v", tt.name, err, tt.absent)
		}
	}
}
