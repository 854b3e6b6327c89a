package debian

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// BenchmarkMemory finds the smallest machine that boots the Debian completely, in steps of 16 MiB, for each form of the
// root. Each machine must either have all files with their contents, or refuse with a message of wyrboot. Anything else
// is a failure.
func BenchmarkMemory(b *testing.B) {
	registry := imagetest.Serve(b)
	ref := strings.Replace(registry.Push(b, "debian", debian(b)), "127.0.0.1:", "10.0.2.2:", 1)
	for _, root := range []string{"tmpfs", "squashfs", "erofs"} {
		b.Run(root, func(b *testing.B) {
			for b.Loop() {
				const step = 16
				small, large := 128/step, 1024/step // refused, complete
				for large-small > 1 {
					m := (small + large) / 2
					if boots(b, m*step, ref, root) {
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

// boots reports whether a machine with that much memory boots the image completely.
func boots(b *testing.B, mib int, ref, root string) bool {
	b.Helper()
	log := vm.Machine{
		Memory:  fmt.Sprint(mib, "M"),
		Cmdline: "panic=-1 " + vm.Boot(ref) + " wyr.root=" + root + " wyr.arg=console=ttyS0 wyr.arg=panic=-1",
	}.Start(b).Until(over, patience)
	refused := regexp.MustCompile(`(?m)^wyrboot: .*(too little|not enough) memory.*$`)
	if refusal := refused.FindString(log); refusal != "" {
		b.Logf("%s with -m %d: %s", root, mib, refusal)
		return false
	}
	complete(b, log)
	lines(b, log, map[string]bool{`^report: systemd is running$`: true})
	return true
}
