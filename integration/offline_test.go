package integration

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestNoCard boots a machine without a network card: it says so and reboots by itself. Its first line names Wyrcan and
// its version.
func TestNoCard(t *testing.T) {
	t.Parallel()
	v := vm.Machine{
		Kernel:  vm.Unpacked(t),
		CPUs:    1,
		NICs:    []string{"none"},
		Cmdline: "wyr.img=registry.example/absent",
	}.Start(t)
	v.Wait(`^wyrboot: Wyrcan \S+, the container bootloader$`, bootTime)
	v.Wait(`^wyrboot: .*https://gitlab\.com/wyrcan/wyrcan$`, stepTime)
	v.Never(`u-root`)
	v.Wait(`^wyrboot: this machine has no network card; .*QEMU: -nic user`, stepTime)
	v.Wait(`^wyrboot: the machine reboots in 60 s unless a network interface appears; press Enter to reboot now$`,
		stepTime)
	v.Idle()
	v.Exit(stepTime + time.Minute)
	v.Never(`wyrboot: still waiting for the network`)
}

// TestNoDriver gives the machine a card without a driver in its initrd and, when it has given up, another card on USB.
func TestNoDriver(t *testing.T) {
	t.Parallel()
	registry := imagetest.Serve(t)
	ref := fromGuest(registry.Push(t, "bootable", imagetest.Image(t, initLayer(t))))
	monitor := filepath.Join(t.TempDir(), "monitor")
	v := vm.Machine{
		Kernel: vm.Unpacked(t),
		NICs:   []string{"none"},
		QEMU: []string{"-device", "rocker,name=switch", "-device", "qemu-xhci", "-netdev", "user,id=late",
			"-monitor", "unix:" + monitor + ",server=on,wait=off"},
		Cmdline: "wyr.img=" + ref + " wyr.insecure=10.0.2.2",
	}.Start(t)
	v.Wait(`^wyrboot: this initrd has no driver for the network controller 1b36:0006 at \S+$`, bootTime+stepTime)
	v.Wait(`^wyrboot: there is no network interface: this initrd has no driver for the network controller 1b36:0006 `+
		`at .*make KERNEL=FILE MODULES=DIR`, stepTime)
	v.Wait(`^wyrboot: the machine reboots in 60 s unless a network interface appears`, stepTime)
	command(t, monitor, "device_add usb-net,netdev=late")
	v.Wait(`^wyrboot: image `, 50*time.Second) // earlier than it would reboot by itself
	if !strings.Contains(v.Said(), "wyrboot: a network interface has appeared, the boot goes on") {
		t.Error("the machine does not report the new interface")
	}
}

// TestNoFile has a network file for another machine's card.
func TestNoFile(t *testing.T) {
	t.Parallel()
	v := vm.Machine{
		Kernel: vm.Unpacked(t),
		CPUs:   1,
		Cmdline: "wyr.img=registry.example/absent wyr.net.lan.Match.MACAddress=02:00:00:00:00:01 " +
			"wyr.net.lan.Network.DHCP=yes",
	}.Start(t)
	v.Wait(`^wyrboot: no network link can reach out: eth0 \(virtio_net, \S+\): no \.network file fits it; `+
		`set the wyr\.net arguments right`, bootTime+stepTime)
	rebootsOnEnter(t, v)
}

// command sends a command to QEMU's monitor at a socket.
func command(t *testing.T, monitor, line string) {
	t.Helper()
	c, err := net.Dial("unix", monitor)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintln(c, line)
	answer := ""
	// The first prompt, and the one after the answer.
	for b := make([]byte, 4096); strings.Count(answer, "(qemu) ") < 2; {
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("QEMU's monitor ended after %q: %v", answer, err)
		}
		answer += string(b[:n])
	}
	if strings.Contains(answer, "Error") {
		t.Fatalf("QEMU's monitor answers %q", answer)
	}
}
