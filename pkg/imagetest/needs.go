package imagetest

import (
	"os"
	"os/exec"
	"testing"
)

// NeedsPrograms skips a test of "go test -short" where a program that it runs is not installed. Without -short such a
// test goes on and fails: make installs all of them.
func NeedsPrograms(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil && testing.Short() {
			t.Skipf("-short: %v", err)
		}
	}
}

// NeedsRoot ends a test that somebody else than root runs: it fails for the reason, but "go test -short" skips it.
func NeedsRoot(t testing.TB, reason string) {
	t.Helper()
	switch {
	case os.Geteuid() == 0:
	case testing.Short():
		t.Skip("-short: " + reason)
	default:
		t.Fatal(reason)
	}
}
