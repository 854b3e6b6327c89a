package tools

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTurns has make run all tests with two jobs, as .ci/run does, with a program in place of go test. The tests must
// take turns, because machines of two runs are too many for a host. Those of test-slow must run where others have failed.
func TestTurns(t *testing.T) {
	get(t, "../Makefile")
	s := newScratch(t)
	said, program := filepath.Join(t.TempDir(), "said"), filepath.Join(t.TempDir(), "gotest")
	put(t, said, "")
	put(t, program, "#!/bin/sh\necho begin >>"+said+"\nsleep 3\necho \"end $*\" >>"+said+"\nexit 1\n")
	put(t, filepath.Join(string(s), "tools/need"), "#!/bin/sh\n")
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"-s", "-k", "-j2", "GOTEST=" + program, "test", "test-slow"}
	// What make would have to build is as it is.
	for _, built := range strings.Fields("all other lint trixie reproduced payload out/wyrcan.demo out/debian.oci " +
		"out/payload/coreboot.rom out/kexec-tools/kexec") {
		args = append(args, "-o", built)
	}
	make := exec.Command("make", args...)
	make.Dir = string(s)
	make.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	if out, err := make.CombinedOutput(); err == nil || !strings.Contains(string(out), "test-slow] Error 1") {
		t.Errorf("make with tests that fail: %v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(get(t, said))), "\n")
	for i, line := range lines {
		if want := []string{"begin", "end "}[i%2]; !strings.HasPrefix(line, want) {
			t.Fatalf("tests ran at the same time: %q", lines)
		}
	}
	// The unit tests have failed, so those of machines do not run; those of test-slow do.
	if all := strings.Join(lines, "\n"); len(lines) != 4 || !strings.Contains(all, "^TestSlow") ||
		!strings.Contains(all, "wyrcan/pkg/image") {
		t.Errorf("these tests ran: %q", lines)
	}
}
