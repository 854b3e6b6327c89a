//go:build slow

package integration

import (
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// TestSlowLeft leaves images in the memory of more machines: one image after the other, so that each has the memory of
// the one before; one that is larger than half of the memory; one that the running kernel copies; and above 4 GiB,
// under EFI, with page tables of five levels.
func TestSlowLeft(t *testing.T) {
	t.Parallel()
	t.Run("again and again", func(t *testing.T) {
		t.Parallel()
		m := vm.Machine{Memory: "1G", Kernel: vm.Unpacked(t), Long: true}
		leave(t, m, 200<<20, "leave", "leave", "copy", "leave", "plain")
	})
	t.Run("more than half", func(t *testing.T) {
		t.Parallel()
		m := vm.Machine{Memory: "512M", CPUs: 1, Kernel: vm.Unpacked(t), Long: true}
		leave(t, m, 240<<20+12345, "leave", "plain")
	})
	t.Run("EFI", func(t *testing.T) {
		t.Parallel()
		m := vm.Machine{Memory: "5G", CPUs: 1, QEMU: newNVRAM(t).efi(), Long: true}
		leave(t, m, 700<<20+1, "leave", "leave", "plain")
	})
	t.Run("five levels", func(t *testing.T) {
		t.Parallel()
		m := vm.Machine{Memory: "512M", CPUs: 1, Kernel: vm.Unpacked(t), Long: true}
		m.QEMU = []string{"-cpu", "max,-cx16,la57=on"}
		said := leave(t, m, 90<<20, "leave", "plain")
		// The first kernel was entered where it has four, because it is not packed. So the first jump is one from four
		// levels to five, and the second begins with five.
		if n := strings.Count(said, "keeper: its page tables have five levels\n"); n != 2 {
			t.Errorf("%d kernels had page tables of five levels, want 2", n)
		}
	})
}
