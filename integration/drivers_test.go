package integration

import (
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestDrivers gives the machine cards of many kinds; eight is the maximum. Only the last
// one reaches the registry, but the drivers of all must load.
func TestDrivers(t *testing.T) {
	t.Parallel()
	registry := imagetest.Serve(t)
	ref := fromGuest(registry.Push(t, "bootable", imagetest.Image(t, initLayer(t))))

	cards := []struct{ model, driver string }{
		{"e1000", "e1000"}, {"e1000e", "e1000e"}, {"vmxnet3", "vmxnet3"}, {"pcnet", "pcnet32"}, {"rtl8139", "8139cp"},
		{"i82559er", "e100"}, {"tulip", "tulip"},
	}
	m := vm.Machine{Kernel: vm.Unpacked(t), CPUs: 1, Cmdline: vm.Boot(ref)}
	for _, card := range cards {
		m.NICs = append(m.NICs, "hubport,hubid=1,model="+card.model)
	}
	m.NICs = append(m.NICs, vm.UserNIC("virtio-net-pci"))
	v := m.Start(t)
	v.Wait(`^wyrboot: stage drivers`, bootTime)
	v.Step(t, "dead links", func(*testing.T) {
		v.Wait(`^wyrboot: \S+ \(virtio_net.*10\.0\.2\.15/24`, stepTime)
		v.Wait(`^wyrboot: image `, stepTime)
	})

	said := v.Said()
	for _, card := range cards {
		if !strings.Contains(said, "wyrboot: driver "+card.driver+" loaded") {
			t.Errorf("driver %s of the %s card was not loaded", card.driver, card.model)
		}
	}
	v.Never(`wyrboot: cannot load driver`)
}

// TestLateCard has a single card, on USB. It appears after the first scan of the
// hardware, when two drivers of its bus have loaded.
func TestLateCard(t *testing.T) {
	t.Parallel()
	registry := imagetest.Serve(t)
	ref := fromGuest(registry.Push(t, "bootable", imagetest.Image(t, initLayer(t))))

	v := vm.Machine{
		Kernel: vm.Unpacked(t),
		CPUs:   1,
		NICs:   []string{"none"},
		QEMU: []string{"-device", "qemu-xhci", "-netdev", "user,id=usb", "-device", "usb-net,netdev=usb",
			"-device", "usb-kbd"},
		Cmdline: vm.Boot(ref),
	}.Start(t)
	v.Wait(`^wyrboot: driver cdc_ether loaded`, bootTime)
	v.Wait(`^wyrboot: \S+ \(cdc_ether.*10\.0\.2\.15/24`, stepTime)
	v.Wait(`^wyrboot: image `, stepTime)
	if !strings.Contains(v.Said(), "wyrboot: driver usbhid loaded") {
		t.Error("the USB keyboard got no driver")
	}
}
