//go:build slow

package debian

import (
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestSlowRelease boots a whole container with the kernel and the modules of another release of Debian than the
// container's, and with firmware in the initrd. The card's driver is one of its modules.
func TestSlowRelease(t *testing.T) {
	t.Parallel()
	ref := imagetest.Serve(t).Push(t, "debian", debian(t))
	log := vm.Machine{
		Kernel: vm.Artefact(t, "trixie/wyrcan.kernel"), Initrd: vm.Artefact(t, "trixie/wyrcan.initrd"),
		NICs: []string{vm.UserNIC("e1000e")}, Memory: "1G", CPUs: 1, Long: true,
		Cmdline: arguments(ref),
	}.Start(t).Until(over, patience)
	complete(t, log)
	lines(t, log, map[string]bool{
		`Linux version 6\.12\.`:                                               true,
		`^wyrboot: driver e1000e loaded`:                                      true,
		`^wyrboot: eth0 \(e1000e.*10\.0\.2\.15/24`:                            true,
		`^wyrboot: cannot load driver|disagrees about version|Unknown symbol`: false,
	})
}
