//go:build slow

package network_test

import (
	"slices"
	"testing"
)

// TestSlowGuest runs the cases of TestOracle that need devices which this host's kernel lacks. They run in a virtual
// machine with the distribution's kernel and the host's programs: this test, wyrnet and systemd-networkd.
func TestSlowGuest(t *testing.T) {
	t.Parallel()
	needRoot(t, "qemu-system-x86_64", "depmod")
	var cases []string
	for _, c := range oracleCases {
		if slices.ContainsFunc(c.needs, func(kind string) bool { return !hasKind(t, kind) }) {
			cases = append(cases, c.name)
		}
	}
	if len(cases) == 0 {
		t.Skip("this host's kernel has all kinds of devices: TestOracle has run all cases")
	}
	passInGuest(t, "TestOracle", cases)
}
