package tools

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTurns has make run all tests with two jobs, as .ci/run does, with a program in place of go test. The tests must
// take turns, because machines of two runs are too many for a host. Those of test-slow must run though others have
// failed.
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
	// What these depend on is as it is, but for the tests: make builds nothing.
	rules := s.run(t, "sh", "-c", "make -pRrq : || :")
	for _, target := range []string{"test-unit", "test-machines", "test-slow"} {
		rule := regexp.MustCompile(`(?m)^` + target + `: (.*)$`).FindStringSubmatch(rules)
		if rule == nil {
			t.Fatalf("make has no rule for %s", target)
		}
		for _, file := range strings.Fields(rule[1]) {
			if !strings.HasPrefix(file, "test") {
				args = append(args, "-o", file)
			}
		}
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
