package debian

import (
	"encoding/json"
	"fmt"
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

// A measured form is one row of the table of forms.
type measured struct {
	name   string
	root   string // for wyr.root
	memory string
	loop   bool // the kernel cannot use an image that was left in memory
	want   string
}

// BenchmarkForms compares the forms of a root on the whole way, and prints a table: how large what the next kernel gets
// is, how long Wyrcan takes for it, when the kernel's first process runs and when the root is there, by that kernel's
// own clock, how long it takes to read and hash all files, and how much memory is in use when the system runs. The
// first form has as little memory as makes Wyrcan compress everything.
//
// QEMU keeps the translations of code that was overwritten, which costs time where the next kernel writes and runs:
// half a second until /init. A real machine has no such thing, so QEMU keeps few of them here.
func BenchmarkForms(b *testing.B) {
	refs, least := published(b)
	for b.Loop() {
		table := "\n| form | `-m` | MB | pull and convert | load | to /init | to the root | to read all | in use | bound | " +
			"caches dropped | least |\n" +
			"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
		for _, f := range []measured{
			{"tmpfs, zstd", "tmpfs", "464M", false, `\(compression: zstd\)`},
			{"tmpfs, not compressed", "tmpfs", "1G", false, `\(compression: none\)`},
			{"squashfs, loop", "squashfs", "1G", true, `\(SquashFS\)`},
			{"squashfs, in place", "squashfs", "1G", false, `\(beside SquashFS of ([0-9.]+) MB\)`},
			{"erofs, in place", "erofs", "1G", false, `\(beside EROFS of ([0-9.]+) MB\)`},
		} {
			m := vm.Machine{Kernel: vm.Unpacked(b), Memory: f.memory, Forgets: true, Long: true,
				Cmdline: arguments(refs[f.loop]) + " wyr.root=" + f.root}
			row := f.row(b, m.Start(b).Until(over, patience), least[f.root])
			b.Log(row) // a later machine may fail
			table += row + "\n"
		}
		fmt.Print(table) // go test shows ten lines of b.Log
	}
}

// published pushes the tests' Debian, and under true the same without the module by which its kernel finds an image
// that was left in memory. It returns their names, and the least memory for each form.
func published(b *testing.B) (refs map[bool]string, least map[string]int64) {
	b.Helper()
	img := debian(b)
	registry := imagetest.Serve(b)
	whole := registry.Push(b, "debian", img)
	version, least := checked(b, whole)
	return map[bool]string{false: whole, true: registry.Push(b, "without", onTop(b, img, imagetest.Files(
		imagetest.Whiteout("usr/lib/modules/"+version+"/kernel/drivers/nvdimm/nd_e820.ko"))))}, least
}

// row returns what a machine has shown.
func (f measured) row(b *testing.B, log string, least int64) string {
	b.Helper()
	if !f.loop { // else a module is missing, which the witness notices
		complete(b, log)
	}
	form := regexp.MustCompile(`wyrboot: kernel \S+, initrd of ([0-9.]+) MB ` + f.want).FindStringSubmatch(log)
	if form == nil {
		b.Fatalf("%s: the machine did not say %q", f.name, f.want)
	}
	beside := 0.0
	if len(form) > 2 {
		beside = parsed(b, form[2])
	}
	stage := func(name string) float64 { return number(b, log, `^wyrboot: stage `+name+` ([0-9.]+) s`) }
	_, after, _ := strings.Cut(log, "wyrboot: starts kernel ")
	root := number(b, log, `^witness: it began ([0-9.]+) s`)
	b.ReportMetric(root, f.root+"-root-s")
	return fmt.Sprintf("| %s | %s | %.1f | %.1f s | %.1f s | %.2f s | %.2f s | %.1f s | %s | %d MiB |",
		f.name, f.memory,
		parsed(b, form[1])+beside, stage("pull")+stage("convert"), stage("load"),
		number(b, after, `^\[ *(\d+\.\d+)\] Run /init as init process`), root,
		number(b, log, `^witness: it began .* took ([0-9.]+) s`), occupies(b, log), least>>20)
}

// checked returns what wyrcan check says of an image: the version of its kernel, and the least memory for each form.
func checked(b *testing.B, ref string) (version string, least map[string]int64) {
	b.Helper()
	out, err := exec.Command(vm.Artefact(b, "wyrcan"), "check", "-json", ref).Output()
	var report struct {
		Version string `json:"kernelVersion"`
		Forms   []struct {
			Root   string `json:"root"`
			Memory int64  `json:"memoryBytes"`
		} `json:"rootForms"`
	}
	if err == nil {
		err = json.Unmarshal(out, &report)
	}
	if err != nil {
		b.Fatalf("wyrcan check = %v: %s", err, out)
	}
	least = map[string]int64{}
	for _, f := range report.Forms {
		least[f.Root] = f.Memory
	}
	return report.Version, least
}

// parsed returns a number.
func parsed(b testing.TB, text string) float64 {
	b.Helper()
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// number returns the number that a machine has said.
func number(b testing.TB, log, pattern string) float64 {
	b.Helper()
	found := regexp.MustCompile("(?m)" + pattern).FindStringSubmatch(log)
	if found == nil {
		b.Fatalf("the machine did not say %q", pattern)
	}
	return parsed(b, found[1])
}
