package debian

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// morph makes the files with which a boot loader starts an image, for a machine with so much memory, and returns the
// machine.
func morph(t testing.TB, ref, root, memory string) vm.Machine {
	t.Helper()
	dir := t.TempDir()
	kernel, initrd, line := filepath.Join(dir, "kernel"), filepath.Join(dir, "initrd"), filepath.Join(dir, "cmdline")
	out, err := exec.Command(vm.Artefact(t, "wyrcan"), "morph", "-root", root, "-m", memory, ref, "-kernel", kernel,
		"-initrd", initrd, "-cmdline", line, "-arg", "console=ttyS0 panic=-1").CombinedOutput()
	if err != nil {
		t.Fatalf("wyrcan morph = %v: %s", err, out)
	}
	cmdline, err := os.ReadFile(line)
	if err != nil {
		t.Fatal(err)
	}
	return vm.Machine{Kernel: kernel, Initrd: initrd, Memory: memory, Long: true,
		Cmdline: strings.TrimSpace(string(cmdline))}
}

// BenchmarkRoot compares the forms of a root, in turn: how long the kernel takes to the first process, by its own clock,
// and how much memory is in use when the system runs.
func BenchmarkRoot(b *testing.B) {
	ref := imagetest.Serve(b).Push(b, "debian", debian(b))
	number := func(log, pattern string) float64 {
		found := regexp.MustCompile("(?m)" + pattern).FindStringSubmatch(log)
		if found == nil {
			b.Fatalf("the machine did not say %q", pattern)
		}
		n, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	for b.Loop() {
		for _, root := range []string{"tmpfs", "squashfs"} {
			m := morph(b, ref, root, "640M")
			m.CPUs = 2
			log := m.Start(b).Until(over, patience)
			complete(b, log)
			b.ReportMetric(number(log, `^\[ *(\d+\.\d+)\] Run /init as init process`), root+"-s")
			used := number(log, `^report: memory: MemTotal: +(\d+) kB`) - number(log, `^report: memory: MemAvailable: +(\d+) kB`)
			b.ReportMetric(used/1024, root+"-MiB")
		}
	}
}
