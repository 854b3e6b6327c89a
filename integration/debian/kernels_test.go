package debian

import (
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// kernels are those that Wyrcan boots with: the distribution's and the payload's.
var kernels = []struct {
	name           string
	machine        func(testing.TB) vm.Machine
	least, refuses string // the memory with which the Debian boots with wyr.root=squashfs, and one with which it does not
}{
	{"the distribution's kernel", ofDistribution, "288M", "208M"},
	{"the payload's kernel", ofPayload, "224M", "160M"},
}

func ofDistribution(t testing.TB) vm.Machine { return vm.Machine{Kernel: vm.Unpacked(t)} }

func ofPayload(t testing.TB) vm.Machine {
	return vm.Machine{Kernel: vm.Artefact(t, "payload/kernel"), Initrd: vm.Artefact(t, "payload/initrd")}
}
