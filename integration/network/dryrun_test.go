package network_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestDryRun checks what wyrnet -n prints, from files and from a kernel command line, and that it changes nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, 2)
	w.peer(0)
	line := filepath.Join(w.dir, "cmdline")
	const arguments = `quiet wyr.img=example/x wyr.net.lan.Match.Name="lan0 nobody"` +
		` wyr.net.lan.Network.Address=10.9.0.2/24 wyr.net.lan.Network.Bridge=br wyr.net.netdev.br.NetDev.Name=br` +
		` wyr.net.netdev.br.NetDev.Kind=bridge wyr.net.lan.Network.Colour=red`
	if err := os.WriteFile(line, []byte(arguments), 0o644); err != nil {
		t.Fatal(err)
	}
	before := w.snapshot()
	p := w.wyrnet(map[string]string{
		"a.link":      "[Match]\nOriginalName=eth0\n[Link]\nName=lan0\nMTUBytes=many\n",
		"lan.network": "[Match]\nName=*\n[Network]\nDHCP=yes\n",
		"old.network": "[Match]\nName=gone\n",
	}, "-n", "-cmdline", line)
	const want = `a.link: [Link] MTUBytes=many: not a number of bytes, ignored
lan.network: [Network] Colour=red: unknown key, ignored
eth0 (veth, 02:00:00:00:00:01)
  a.link: name lan0
  lan.network: in bridge br, address 10.9.0.2/24
eth1 (veth, 02:00:00:00:00:02)
  no .network file fits it, it is left alone
br (bridge), made by br.netdev
  no .network file fits it, it is left alone
old.network: no link follows it
`
	if diff := cmp.Diff(want, w.online(p, 20*time.Second)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("wyrnet -n has changed (-before +after):\n%s", diff)
	}
	if _, err := os.Stat(w.resolvConf()); err == nil {
		t.Error("wyrnet -n has written resolv.conf")
	}
}
