// Package debian boots a real Debian with systemd, with the files that make built.
package debian

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestMain lets more tests start than machines can run.
func TestMain(m *testing.M) { vm.Main(m) }

// over matches the last line of interest: the container has printed everything, or Wyrcan waits for a person.
const over = `report: done|the machine reboots in|reboots in a minute|Kernel panic`

// patience is the maximum time of a machine: many times the usual time under plain emulation on an idle host.
const patience = 15 * time.Minute

// TestDebian boots the Debian of examples/debian, whose layers mmdebstrap, apt and buildah made, and checks its own
// report of its state.
func TestDebian(t *testing.T) {
	t.Parallel()
	img := debian(t)
	ref := imagetest.Serve(t).Push(t, "debian", img)

	// Half of the free memory is too little for unpacked files here, so the argument that lifts this limit must be set.
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		registry := imagetest.Serve(t, login)
		ref := registry.Push(t, "debian", img)
		m := vm.Machine{Memory: "480M", CPUs: 2, Long: true, Cmdline: arguments(ref) + unpacks,
			Initrd: withLogin(t, registry.Host),
			QEMU:   handedOver}
		log := m.Start(t).Until(over, patience)
		complete(t, log)
		checkRecord(t, log, img, ref)
		lines(t, log, map[string]bool{
			`^wyrboot: .*command line "console=ttyS0 panic=-1 initramfs_options=size=100%,nr_inodes=0"$`: true,
			`lose their extended attributes`:                               false,
			`^report: capability: /usr/lib/witness/clock cap_sys_time=ep$`: true,
			`^report: capability: (/usr)?/bin/ping cap_net_raw=ep$`:        true,
			`^report: runc: a container speaks$`:                           true,
			`^report: runc: .*pivot_root`:                                  false,
		})
		lines(t, log, arrived)
	})

	t.Run("too little memory", func(t *testing.T) {
		t.Parallel()
		registry := imagetest.Serve(t) // a separate one, whose requests are checked
		cmdline := arguments(registry.Push(t, "debian", img)) + unpacks
		log := vm.Machine{Kernel: vm.Unpacked(t), Memory: "384M", Long: true, Cmdline: cmdline}.Start(t).Until(over, patience)
		lines(t, log, map[string]bool{
			`^wyrboot: .*too little memory: .*\d+ MiB.*\d+ MiB.*; use a smaller image or add memory$`: true,
			`^wyrboot: starts kernel|^witness: `:                                                      false,
		})
		asked := len(registry.Requests())
		log = vm.Machine{Kernel: vm.Unpacked(t), Memory: "256M", Cmdline: cmdline}.Start(t).Until(over, patience)
		lines(t, log, map[string]bool{
			`^wyrboot: .*too little memory: to hold the image's layers takes \d+ MiB and this machine has \d+ MiB ` +
				`free`: true,
		})
		requests := strings.Join(registry.Requests()[asked:], "\n")
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			if digest, err := l.Digest(); err != nil || strings.Contains(requests, digest.String()) {
				t.Errorf("the machine asked for layer %v (%v) although it has too little memory for all layers", digest,
					err)
			}
		}
	})

	// Another boot loader starts the initrd without the argument that it needs. The kernel reports "write error" and
	// still starts what it has unpacked so far, but wyrinit refuses to go on.
	t.Run("partial", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		kernel, initrd := filepath.Join(dir, "kernel"), filepath.Join(dir, "initrd")
		out, err := exec.Command(vm.Artefact(t, "wyrcan"), "morph", ref, "-kernel", kernel, "-initrd", initrd,
			"-wyrinit", vm.Artefact(t, "wyrinit")).CombinedOutput()
		if err != nil {
			t.Fatalf("wyrcan morph = %v: %s", err, out)
		}
		log := vm.Machine{Memory: "512M", Kernel: kernel, Initrd: initrd, Cmdline: "panic=-1"}.Start(t).Until(over,
			patience)
		lines(t, log, map[string]bool{
			`Initramfs unpacking failed: write error`:                              true,
			`^wyrinit: the memory was too little to unpack the whole container.*$`: true,
			`^witness: |systemd`: false,
		})
	})
}

// unpacks is the argument of a machine that unpacks the files although it has little memory.
const unpacks = " wyr.root=tmpfs"

// arguments returns the command line that boots an image.
func arguments(ref string) string {
	return "panic=-1 " + vm.Boot(strings.Replace(ref, "127.0.0.1:", "10.0.2.2:", 1)) +
		" wyr.arg=console=ttyS0 wyr.arg=panic=-1"
}

// complete fails the test unless the machine has all files of the container, and no others.
func complete(t testing.TB, log string) {
	t.Helper()
	lines(t, log, map[string]bool{
		`^witness: \d+ paths, 0 differences$`:             true,
		`^witness: processes: /usr/lib/witness/witness$`:  true,
		`^witness: mount: \d+ \d+ \d+:\d+ / / rw`:         true, // the root
		`^witness: mount: \d+ \d+ \d+:\d+ \S+ /[^r\s]`:    false,
		`^witness: .*(/\.wyrcan|descriptor|cannot)`:       false,
		`^witness: kernel: .*Freeing initrd memory: \d+K`: true,
		`[Uu]npacking failed`:                             false,
		`^wyrinit: `:                                      false,
		`^report: systemd is running$`:                    true,
		`^report: failed: `:                               false,
	})
	if t.Failed() {
		for _, l := range regexp.MustCompile(`(?m)^(witness|report|wyrboot|wyrinit): .*`).FindAllString(log, -1) {
			t.Log(l)
		}
	}
}

// lines checks for each pattern whether a line of the log matches it, as want says.
func lines(t testing.TB, log string, want map[string]bool) {
	t.Helper()
	for pattern, there := range want {
		switch match := regexp.MustCompile("(?m)" + pattern).FindString(log); {
		case there && match == "":
			t.Errorf("the machine did not say %q", pattern)
		case !there && match != "":
			t.Errorf("the machine said %q", match)
		}
	}
}
