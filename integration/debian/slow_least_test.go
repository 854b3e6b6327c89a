//go:build slow

package debian

import (
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestSlowLeast boots an image that is larger than the machine's memory, whose files stay packed, with the least memory
// that is promised. With less it is refused, with the numbers.
func TestSlowLeast(t *testing.T) {
	t.Parallel()
	registry := imagetest.Serve(t)
	cmdline := arguments(registry.Push(t, "debian", debian(t))) + " wyr.root=squashfs"
	for _, k := range kernels {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			m := k.machine(t)
			m.Memory, m.Long, m.Cmdline = k.least, true, cmdline
			log := m.Start(t).Until(over, patience)
			mounted(t, log)
			lines(t, log, map[string]bool{
				`^wyrboot: memory is tight: reading the layers twice`:                  true,
				`^wyrboot: kernel \S+, initrd of \S+ MB \(beside SquashFS of \S+ MB\)`: true,
			})
		})
		t.Run(k.name+" refuses", func(t *testing.T) {
			t.Parallel()
			m := k.machine(t)
			m.Memory, m.Long, m.Cmdline = k.refuses, true, cmdline
			log := m.Start(t).Until(over, patience)
			lines(t, log, map[string]bool{
				`^wyrboot: .*too little memory: .*\d+ MiB.*\d+ MiB.*; use a smaller image or add memory$`: true,
				`^wyrboot: starts kernel|^witness: `:                                                      false,
			})
			if strings.Contains(log, "Kernel panic") {
				t.Error("the machine has died")
			}
		})
	}
}
