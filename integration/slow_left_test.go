//go:build slow

package integration

import (
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// TestSlowLeft leaves images in the memory of more machines: one image after the other, so that each has the memory of
// the one before; one that is so large that memory becomes scarce when it is loaded; and above 4 GiB, under EFI.
func TestSlowLeft(t *testing.T) {
	t.Parallel()
	t.Run("again and again", func(t *testing.T) {
		t.Parallel()
		m := vm.Machine{Memory: "1G", CPUs: 2, Kernel: vm.Unpacked(t), Long: true}
		leave(t, m, 200<<20, "leave", "leave", "leave", "leave", "plain")
	})
	t.Run("scarce", func(t *testing.T) {
		t.Parallel()
		m := vm.Machine{Memory: "512M", CPUs: 1, Kernel: vm.Unpacked(t), Long: true}
		leave(t, m, 148<<20+12345, "leave", "plain")
	})
	t.Run("EFI", func(t *testing.T) {
		t.Parallel()
		m := vm.Machine{Memory: "5G", CPUs: 1, QEMU: newNVRAM(t).efi(), Long: true}
		leave(t, m, 700<<20+1, "leave", "leave", "plain")
	})
}
