package integration

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestPatience shows one machine several failures that may pass. It waits and retries, and boots in the end. The kernel
// of the container is a unified kernel image.
func TestPatience(t *testing.T) {
	t.Parallel()
	registry := imagetest.Serve(t)
	const cmdline = "console=ttyS0 loglevel=5 panic=-1"
	kernel := imagetest.Layer{Compression: imagetest.Zstd, Entries: []imagetest.Entry{
		imagetest.Dir("boot"), imagetest.File("boot/wyrcan.kernel", string(unified(t, cmdline))),
	}}
	ref := registry.Push(t, "bootable", imagetest.Image(t, kernel, initLayer(t)))
	digest, err := kernel.Blob(t).Digest()
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(do imagetest.Effect) {
		registry.Heal()
		registry.Fail(imagetest.Fault{Path: digest.String(), Do: do})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	ref = fromGuest(strings.Replace(ref, registry.Host, address, 1))

	monitor := filepath.Join(t.TempDir(), "monitor")
	v := vm.Machine{
		Kernel:  vm.Unpacked(t),
		Long:    true,
		NICs:    []string{vm.UserNIC("virtio-net-pci", "id=lan")},
		QEMU:    []string{"-monitor", "unix:" + monitor + ",server=on,wait=off"},
		Cmdline: vm.Boot(ref) + " wyr.arg=loglevel=6 wyr.arg=demo=once",
	}.Start(t)

	// The only cable is pulled for a while.
	v.Step(t, "no carrier", func(t *testing.T) {
		command(t, monitor, "set_link lan off")
		v.Idle()
		v.Wait(`^wyrboot: still waiting for the network: .*eth0 \(virtio_net, \S+\): `+
			`no carrier, is the cable in`, bootTime+stepTime)
		v.Busy()
		command(t, monitor, "set_link lan on")
	})
	// The registry starts long after the machine's first connection has been refused. The console says the cause once,
	// says what to do about it, and says when the registry answers again. The registry damages the layer: first one bit,
	// then its end. Every attempt must fail.
	v.Step(t, "registry comes up", func(t *testing.T) {
		v.Wait(`^wyrboot: cannot get \S+: cannot reach registry 10\.0\.2\.2:\d+: 10\.0\.2\.2:\d+ refuses the connection; `+
			`check whether the registry runs, and its port in wyr\.img; tries again in \S+ s$`, stepTime)
		time.Sleep(12 * time.Second)
		spoil(imagetest.Flip(4 << 20))
		if l, err = net.Listen("tcp", address); err != nil {
			t.Fatal(err)
		}
		go vm.Forward(l, registry.Host)
		v.Wait(`^wyrboot: registry 10\.0\.2\.2:\d+ answers again after \d+ s, \d+ tries$`, stepTime)
		v.Wait(`^wyrboot: image `, stepTime)
		if n := strings.Count(v.Said(), "refuses the connection"); n > 2 {
			t.Errorf("the console has the cause in %d lines, want one in 30 seconds", n)
		}
		v.Never(`wyrboot: the machine reboots`)
	})
	defer l.Close()
	v.Step(t, "damaged blobs", func(*testing.T) {
		v.Wait(`^wyrboot: cannot get .*their digest is .*; tries again in `, bootTime+stepTime)
		spoil(imagetest.Truncate(1000)) // also of each answer that would go on where it broke
		v.Idle()                        // it pauses after each piece
		v.Wait(`^wyrboot: cannot get .*the download from \S+ broke after .*; tries again`, 2*stepTime)
		v.Busy()
		v.Never(`wyrboot: starts kernel|` + words)
		registry.Heal()
		v.Wait(`^wyrboot: stage pull`, 2*stepTime)
	})
	// A unified kernel image: its kernel, and its command line in front of the arguments, but the container as its initrd.
	v.Step(t, "unified kernel", func(t *testing.T) {
		if line := spoke(t, v); line != cmdline+" loglevel=6 demo=once" {
			t.Errorf("the container's command line is %q", line)
		}
		v.Exit(stepTime)
		v.Never(`Initramfs unpacking failed`)
	})
}
