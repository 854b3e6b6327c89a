//go:build slow

package examples

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestMinimal boots the system without systemd in a network that has DHCP and DNS. It works there, a reboot leads to
// another name and another host key, and the power button ends it.
func TestSlowMinimal(t *testing.T) {
	t.Parallel()
	imagetest.NeedsRoot(t, "for a network of its own")
	clean(t, "minimal-bookworm")
	registry := imagetest.Serve(t)
	registry.Push(t, "minimal", imagetest.Layout(t, vm.Artefact(t, "examples/minimal-bookworm.oci")))
	site := newSite(t, registry.Host)
	monitor := filepath.Join(t.TempDir(), "monitor")
	v := vm.Machine{
		Kernel: vm.Unpacked(t), CPUs: 1, Memory: "256M", Reboots: true, NetNS: site.name, NICs: []string{site.nic},
		QEMU:    []string{"-monitor", "unix:" + monitor + ",server=on,wait=off"},
		Cmdline: "panic=-1 " + vm.Boot(siteAddress+":5000/minimal") + " wyr.arg=console=ttyS0 wyr.arg=panic=-1",
	}.Start(t)

	var names, keys []string
	comesUp := func(t *testing.T) {
		names = append(names, v.Wait(`^(wyrcan-[0-9a-f]{8}) login: `, patience)[1])
		key, _ := site.ssh(t, "true")
		keys = append(keys, key)
		t.Log(site.wants(t, `
			until pidof acpid && ip -6 addr show scope global | grep fd00; do sleep 1; done
			cat /etc/resolv.conf
			wget -q -O - http://registry.example:5000/v2/minimal/manifests/latest
			echo; lsmod; df /run; free -m; hostname; ping -c 1 "$(hostname)"; logread | grep -w -i err; echo no more`,
			`^search wyrcan\.example\nnameserver 10\.79\.0\.1$`,
			`"schemaVersion":2`, // the registry was found by name
			`fd00:79::`,
			`^virtio_net `, // a driver that the image brings
			`^tmpfs .* /run$`,
			`^`+names[len(names)-1]+`$`,
			`1 packets received`,
		))
	}
	v.Step(t, "works", comesUp)
	v.Step(t, "reboot", func(t *testing.T) {
		site.reboot(t, v)
		comesUp(t)
		if names[0] == names[1] || keys[0] == keys[1] {
			t.Errorf("two boots have the names %q and the host keys %q", names, keys)
		}
	})
	v.Step(t, "power button", func(t *testing.T) {
		conn, err := net.Dial("unix", monitor)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("system_powerdown\n")); err != nil {
			t.Fatal(err)
		}
		v.Exit(patience)
	})
	v.Never(`^(/etc/|sh: |can't |init: |mdev: |modprobe: |acpid: )|Kernel panic`)
	if n := strings.Count(v.Said(), "Power down"); n != 1 {
		t.Errorf("the kernel said %d times that it powers down", n)
	}
}
