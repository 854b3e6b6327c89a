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
	for b.Loop() {
		for _, root := range []string{"tmpfs", "squashfs"} {
			m := morph(b, ref, root, "640M")
			m.CPUs = 2
			log := m.Start(b).Until(over, patience)
			complete(b, log)
			b.ReportMetric(number(b, log, `^\[ *(\d+\.\d+)\] Run /init as init process`), root+"-s")
			b.ReportMetric(used(b, log), root+"-MiB")
		}
	}
}

// BenchmarkForms compares the forms of a root on the whole way, with memory to spare: how long Wyrcan takes for the
// image, when the kernel's first process runs and when the root is there, by the kernel's own clock, how long it takes
// to read and hash all files, and how much memory is in use when the system runs.
func BenchmarkForms(b *testing.B) {
	ref := imagetest.Serve(b).Push(b, "debian", debian(b))
	for b.Loop() {
		for _, root := range []string{"tmpfs", "squashfs", "erofs"} {
			m := vm.Machine{Kernel: vm.Unpacked(b), Memory: "1536M", Long: true, Cmdline: arguments(ref) + " wyr.root=" + root}
			log := m.Start(b).Until(over, patience)
			complete(b, log)
			for _, stage := range []string{"pull", "convert"} {
				pattern := `"name": "` + stage + `",\s+report: record: +"seconds": ([0-9.e-]+)`
				b.ReportMetric(number(b, log, pattern), root+"-"+stage+"-s")
			}
			b.ReportMetric(number(b, log, `^\[ *(\d+\.\d+)\] Run /init as init process`), root+"-init-s")
			b.ReportMetric(number(b, log, `^witness: it began ([0-9.]+) s`), root+"-root-s")
			b.ReportMetric(number(b, log, `^witness: it began .* took ([0-9.]+) s`), root+"-read-s")
			b.ReportMetric(used(b, log), root+"-MiB")
			for line := range strings.Lines(log) {
				if strings.Contains(line, "wyrboot: kernel ") || strings.Contains(line, "memory: ") {
					b.Log(root + ": " + strings.TrimSpace(line))
				}
			}
		}
	}
}

// number returns the number that a machine has said.
func number(b *testing.B, log, pattern string) float64 {
	b.Helper()
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

// used returns how many MiB were in use when the system ran.
func used(b *testing.B, log string) float64 {
	b.Helper()
	return (number(b, log, `^report: memory: MemTotal: +(\d+) kB`) -
		number(b, log, `^report: memory: MemAvailable: +(\d+) kB`)) / 1024
}
