package debian

import (
	"fmt"
	"regexp"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// BenchmarkMemory finds the smallest machine that boots the Debian completely, in steps of 16 MiB: with each kernel that
// Wyrcan may have, in each form of the root. It begins with what wyrcan check says, and goes from there until one step
// boots and the one below is refused. Each machine must either have all files with their contents, or refuse with a
// message of wyrboot. Anything else is a failure.
func BenchmarkMemory(b *testing.B) {
	registry := imagetest.Serve(b)
	ref := registry.Push(b, "debian", debian(b))
	_, least := checked(b, ref)
	for _, k := range kernels {
		for _, root := range []string{"tmpfs", "squashfs", "erofs"} {
			b.Run(k.name+", "+root, func(b *testing.B) {
				const step = 16
				boots := func(mib int64) bool {
					return boots(b, k.machine(b), mib, arguments(ref)+" wyr.root="+root)
				}
				for b.Loop() {
					mib := (least[root]>>20 + step - 1) / step * step
					if boots(mib) {
						for boots(mib - step) {
							mib -= step
						}
					} else {
						for mib += step; !boots(mib); {
							mib += step
						}
					}
					b.ReportMetric(float64(mib), "MiB")
				}
			})
		}
	}
}

// boots reports whether a machine with that much memory boots the image completely.
func boots(b *testing.B, machine vm.Machine, mib int64, cmdline string) bool {
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
