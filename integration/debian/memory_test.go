package debian

import (
	"fmt"
	"regexp"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// BenchmarkMemory finds the smallest machine that boots the Debian completely, in steps of 16 MiB: with each kernel that
// Wyrcan may have, in each form of the root. Each machine must either have all files with their contents, or refuse
// with a message of wyrboot. Anything else is a failure.
func BenchmarkMemory(b *testing.B) {
	registry := imagetest.Serve(b)
	ref := registry.Push(b, "debian", debian(b))
	for _, k := range kernels {
		for _, root := range []string{"tmpfs", "squashfs", "erofs"} {
			b.Run(k.name+", "+root, func(b *testing.B) {
				for b.Loop() {
					const step = 16
					small, large := 128/step, 1024/step // refused, complete
					for large-small > 1 {
						m := (small + large) / 2
						if boots(b, k.machine(b), m*step, arguments(ref)+" wyr.root="+root) {
							large = m
						} else {
							small = m
						}
					}
					b.ReportMetric(float64(large*step), "MiB")
				}
			})
		}
	}
}

// boots reports whether a machine with that much memory boots the image completely.
func boots(b *testing.B, machine vm.Machine, mib int, cmdline string) bool {
	b.Helper()
	machine.Memory, machine.Cmdline = fmt.Sprint(mib, "M"), cmdline
	log := machine.Start(b).Until(over, patience)
	refused := regexp.MustCompile(`(?m)^wyrboot: .*(too little|not enough) memory.*$`)
	if refusal := refused.FindString(log); refusal != "" {
		b.Logf("-m %d: %s", mib, refusal)
		return false
	}
	complete(b, log)
	lines(b, log, map[string]bool{`^report: systemd is running$`: true})
	return true
}
