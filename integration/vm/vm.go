// Package vm runs QEMU for tests that boot something. Machine describes a machine, and VM is a running one. The package
// reads the serial line and types on it. The only thing that it knows about the booted system is the message of a
// kernel that has started.
package vm

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hugelgupf/vmtest/qemu"
)

// Patience is the maximum time from power-on until a kernel starts /init, including firmware, boot loader and a menu.
// On an idle host this takes a quarter of a minute; under emulation on a busy host it takes many times as long.
const Patience = 4 * time.Minute

// alive matches the message of a kernel that starts /init (run_init_process in its init/main.c). A quiet kernel does
// not print it; then the first line of wyrboot matches.
const alive = `\[ *\d+\.\d{6}\] Run \S+ as init process|wyrboot: Wyrcan ` // a menu may leave its own text in front

// Machine describes a virtual machine. The zero value boots out/wyrcan.kernel and
// out/wyrcan.initrd with one virtio network card in QEMU's user network, where this
// host is 10.0.2.2.
type Machine struct {
	Arch    string   // amd64 or arm64; "" is amd64. What is in out/ is in out/arm64 for the latter
	Kernel  string   // a file; "" is out/wyrcan.kernel
	Initrd  string   // a file; "" is out/wyrcan.initrd
	Cmdline string   // kernel arguments, after the console's
	Memory  string   // the value of -m; "" is 1G
	CPUs    int      // 0 is 1; with 2 an emulated boot takes a third more of the host's time
	NICs    []string // values of -nic; nil is one virtio card in the user network
	QEMU    []string // further options
	Reboots bool     // the machine really reboots; otherwise a reboot ends it
	Long    bool     // the machine takes minutes, so it starts before others that wait
	NetNS   string   // the network namespace that QEMU runs in; "" is this process's
	NoRNG   bool     // the machine has no source of random numbers but its own timing
	Forgets bool     // an emulated machine keeps few translations of code; a kernel after another starts faster then

	// Firmware are options for the firmware and what it boots, instead of kernel and initrd.
	Firmware []string

	// First matches the first text that shows that the machine works, if that is not a kernel's, such as a menu that
	// waits for a person; "" is the message of a kernel that starts /init, or wyrboot's first line.
	First string

	command  string        // "" is the QEMU of this host
	patience time.Duration // 0 is Patience
	logs     string        // a directory; "" is out/test
}

// UserNIC returns a -nic value for a card of that model in QEMU's user network.
func UserNIC(model string, more ...string) string {
	return strings.Join(append([]string{"user", "model=" + model}, more...), ",")
}

// VM is a running machine and the text of its serial line so far.
type VM struct {
	t    testing.TB
	log  string // the file with the whole text of the serial line
	kept bool   // whether the file is kept if the test passes
	qemu *qemu.VM
	done chan struct{} // closed when QEMU has ended
	stop func()        // ends QEMU
	logs string        // the directory of the log, and of the turns

	mu   sync.Mutex
	text []byte        // without escapes and carriage returns
	esc  escapes       // state between two writes
	file *os.File      // the log
	more chan struct{} // closed, and made anew, when there is more text
	at   int           // match looks from here on
	path trace
	cost cost
	free func() // lets another machine run; nil when this one has ended
}

// Start boots a machine, which ends with the test at the latest. If the test fails,
// the text of the serial line is kept under out/test.
//
// Emulated machines sometimes hang before the system under test runs: in OVMF, before
// the first message of a kernel, or during the kernel's start, when the clock of one
// processor stops ("rcu_preempt kthread timer wakeup didn't happen"). So a machine that
// has not started /init within Patience is started once more. The test's log then says
// RETRY, and the text of the serial line is kept in out/test/RETRY-*.log. Nothing else
// is retried: neither a machine that has ended nor one whose /init has started.
//
// Linux 6.12 sometimes ends in "Oops: int3" on several emulated processors: one patches its code for all of them
// (text_poke_bp), and another one still runs what QEMU has translated before. Give such machines one processor.
func (m Machine) Start(t testing.TB) *VM {
	t.Helper()
	Long(t)
	v, err := m.start(t)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (m Machine) start(t testing.TB) (*VM, error) {
	t.Helper()
	first, patience := cmp.Or(m.First, alive), cmp.Or(m.patience, Patience)
	for try := 1; ; try++ {
		v, err := m.run(t)
		if err != nil {
			return nil, err
		}
		if _, err = v.match(first, patience); err == nil {
			v.at = 0
			return v, nil
		}
		if v.ended() || try == 2 {
			return nil, err
		}
		t.Logf("RETRY: the machine has not started: %v", err)
		v.Stop()
		hung := filepath.Join(filepath.Dir(v.log), "RETRY-"+filepath.Base(v.log))
		if err := os.Rename(v.log, hung); err != nil {
			return nil, err
		}
		v.log, v.kept = hung, true
	}
}

// run starts QEMU.
func (m Machine) run(t testing.TB) (*VM, error) {
	t.Helper()
	logs := cmp.Or(m.logs, filepath.Join(out(t), "test"))
	free, err := slot(t, logs, m.Long)
	if err != nil {
		return nil, err
	}
	t.Cleanup(free)

	v := &VM{t: t, done: make(chan struct{}), more: make(chan struct{}), free: free, logs: logs,
		path: trace{begin: time.Now()}}
	if v.file, err = os.CreateTemp(logs, strings.NewReplacer("/", "-", " ", "_").Replace(t.Name())+"-*.log"); err != nil {
		return nil, err
	}
	v.log = v.file.Name()
	v.cost.pidFile = filepath.Join(t.TempDir(), "pid")

	on := boards()[cmp.Or(m.Arch, "amd64")]
	args := []string{"-m", cmp.Or(m.Memory, "1G"), "-smp", strconv.Itoa(cmp.Or(m.CPUs, 1)), "-pidfile", v.cost.pidFile}
	if !m.NoRNG {
		args = append(args, "-device", "virtio-rng-pci")
	}
	if !m.Reboots {
		args = append(args, "-no-reboot")
	}
	nics := m.NICs
	if nics == nil {
		nics = []string{UserNIC("virtio-net-pci")}
	}
	for _, nic := range nics {
		args = append(args, "-nic", nic)
	}
	command := m.command
	if command == "" {
		command = on.command(t)
		if m.Forgets {
			command = strings.Replace(command, "-accel tcg", "-accel tcg,tb-size=64", 1)
		}
	}
	if m.NetNS != "" {
		command = "ip netns exec " + m.NetNS + " " + command
	}
	options := []qemu.Fn{
		qemu.WithQEMUCommand(command),
		qemu.ArbitraryArgs(append(append(args, m.Firmware...), m.QEMU...)...),
		qemu.WithSerialOutput(v),
	}
	if m.Firmware == nil {
		options = append(options,
			qemu.WithKernel(cmp.Or(m.Kernel, Artefact(t, on.artefact("wyrcan.kernel")))),
			qemu.WithInitramfs(cmp.Or(m.Initrd, Artefact(t, on.artefact("wyrcan.initrd")))),
			qemu.WithAppendKernel("console="+on.console+" "+m.Cmdline))
	}
	ctx, cancel := context.WithCancel(context.Background())
	if v.qemu, err = qemu.StartContext(ctx, on.arch, options...); err != nil {
		cancel()
		return nil, fmt.Errorf("cannot start QEMU: %w", err)
	}
	go func() {
		defer close(v.done)
		v.qemu.Wait() // the error does not matter: stop kills QEMU
		v.mu.Lock()
		defer v.mu.Unlock()
		v.free()
		v.free = nil
		v.path.mark("the end")
	}()
	v.stop = func() {
		cancel()
		<-v.done
	}
	t.Cleanup(func() {
		v.Stop()
		t.Logf("seconds since power-on: %v; %.1f seconds of this host's processors", &v.path, v.cost.seconds)
		switch {
		case t.Failed():
			t.Logf("the text of the serial line is in %s; the command was\n%s", v.log, v.qemu.CmdlineQuoted())
		case !v.kept:
			os.Remove(v.log)
		}
	})
	return v, nil
}

// Stop ends the machine. It may be called again.
func (v *VM) Stop() {
	v.mu.Lock()
	v.cost.look(time.Now())
	v.mu.Unlock()
	v.stop()
}

// Step runs a subtest, which is the one that fails if the machine fails in it. The steps are those of one machine, so
// the test ends with the first one that fails.
func (v *VM) Step(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	passed := t.Run(name, func(sub *testing.T) {
		v.t = sub
		defer func() { v.t = t }()
		f(sub)
	})
	if !passed {
		t.FailNow()
	}
}

// Idle lets another machine run beside this one, which only waits from here on, until it ends or Busy is called.
func (v *VM) Idle() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.free != nil {
		v.free()
	}
}

// Busy waits, after Idle, until the machine may run again.
func (v *VM) Busy() {
	v.t.Helper()
	free, err := slot(v.t, v.logs, true)
	if err != nil {
		v.t.Fatal(err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.free == nil {
		free()
		return
	}
	v.free = free
}

// Write receives the text of the serial line.
func (v *VM) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, err := v.file.Write(p); err != nil {
		return 0, err
	}
	v.text = v.esc.strip(v.text, p)
	v.path.see(v.text)
	v.cost.look(time.Now())
	close(v.more)
	v.more = make(chan struct{})
	return len(p), nil
}

// Close closes the log.
func (v *VM) Close() error { return v.file.Close() }

// Wait waits until the text of the machine after the previous match matches the
// pattern. It returns the match and its groups. In the pattern, ^ and $ are the ends
// of a line. Text arrives in pieces, so a pattern that ends in a group needs a \n.
func (v *VM) Wait(pattern string, timeout time.Duration) []string {
	v.t.Helper()
	begin := time.Now()
	groups, err := v.match(pattern, timeout)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Logf("%5.1f s: %s", time.Since(begin).Seconds(), strings.TrimSpace(groups[0]))
	return groups
}

// Until waits until the text of the machine matches the pattern, or until the machine
// ends. Then it stops the machine and returns its whole text.
func (v *VM) Until(pattern string, timeout time.Duration) string {
	v.t.Helper()
	begin := time.Now()
	if _, err := v.match(pattern, timeout); err != nil && !v.ended() {
		v.t.Fatal(err)
	}
	v.t.Logf("%5.1f s", time.Since(begin).Seconds())
	v.Stop()
	return v.Said()
}

// match does the same as Wait, but returns an error if there is no match.
func (v *VM) match(pattern string, timeout time.Duration) ([]string, error) {
	re := regexp.MustCompile("(?m)" + pattern)
	deadline := time.After(timeout)
	for ended := false; ; {
		v.mu.Lock()
		match := re.FindSubmatchIndex(v.text[v.at:])
		var groups []string
		if match != nil {
			for i := 0; i < len(match); i += 2 {
				group := ""
				if match[i] >= 0 {
					group = string(v.text[v.at+match[i] : v.at+match[i+1]])
				}
				groups = append(groups, group)
			}
			v.at += match[1]
		}
		more := v.more
		v.mu.Unlock()

		switch {
		case match != nil:
			return groups, nil
		case ended:
			return nil, fmt.Errorf("the machine ended without %q; its last lines:\n%s", pattern, v.tail())
		}
		select {
		case <-more:
		case <-v.done:
			ended = true
		case <-deadline:
			return nil, fmt.Errorf("no %q within %v; the last lines:\n%s", pattern, timeout, v.tail())
		}
	}
}

// Never fails the test if the text of the machine so far matches the pattern.
func (v *VM) Never(pattern string) {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if match := regexp.MustCompile("(?m)" + pattern).Find(v.text); match != nil {
		v.t.Errorf("the machine said %q", match)
	}
}

// Send types on the serial line.
func (v *VM) Send(text string) {
	v.t.Helper()
	if _, err := v.qemu.Console.Send(text); err != nil {
		v.t.Fatalf("cannot type %q: %v", text, err)
	}
}

// Exit waits until the machine has powered off or rebooted, which also ends it.
func (v *VM) Exit(timeout time.Duration) {
	v.t.Helper()
	select {
	case <-v.done:
	case <-time.After(timeout):
		v.t.Fatalf("the machine still runs after %v; its last lines:\n%s", timeout, v.tail())
	}
}

// ended reports whether the machine has ended, by itself or by Stop.
func (v *VM) ended() bool {
	select {
	case <-v.done:
		return true
	default:
		return false
	}
}

// Said returns the text of the machine so far.
func (v *VM) Said() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return string(v.text)
}

// tail returns the last lines of the machine's text.
func (v *VM) tail() string {
	lines := strings.Split(v.Said(), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// escapes removes terminal control sequences (ECMA-48) and carriage returns from a
// text that arrives in pieces.
type escapes struct{ state byte }

func (e *escapes) strip(to, p []byte) []byte {
	for _, c := range p {
		switch {
		case e.state == 0 && c == 0x1b:
			e.state = 'e'
		case e.state == 'e' && c == '[':
			e.state = '['
		case e.state == 'e', e.state == '[' && c >= 0x40 && c <= 0x7e:
			e.state = 0
		case e.state == 0 && c != '\r':
			to = append(to, c)
		}
	}
	return to
}

// processor is the emulated one. It has RDRAND, without which the first TLS connection waits for random numbers, and
// what each server of the last ten years has. It has no AVX and no page tables of five levels: with those, and the rest
// of -cpu max, a boot takes a sixth more of the host's time.
//
// It has no cmpxchg16b: to emulate that, QEMU stops the other processor, and the kernel's allocator uses the
// instruction all the time. It has no pclmulqdq, which QEMU does bit by bit: the CRC-32 of a layer's gzip takes less
// time without. Nor has it AES, as no processor has that alone: aesni_intel of Linux 6.1 then never ends its own test.
const processor = "qemu64,+rdrand,+ssse3,+sse4.1,+sse4.2,+popcnt"

// AES is the option of QEMU for that processor with AES, for what takes many hashes of Go's maphash, which are several
// times as fast with it.
var AES = []string{"-cpu", processor + ",+aes,+pclmulqdq"}

// Max is the option of QEMU for the processor with every instruction that it can emulate.
var Max = []string{"-cpu", "max,-cx16"}

// accelerated returns the QEMU command, with KVM if that works, else with plain
// emulation. Some virtual machines have /dev/kvm, but guests crash there. So the
// processor must support it, and a kernel must have started with it.
func accelerated(t testing.TB) string {
	t.Helper()
	kernel := Artefact(t, "wyrcan.kernel")
	probe.Do(func() {
		probed = "qemu-system-x86_64 -accel tcg -cpu " + processor
		info, err := os.ReadFile("/proc/cpuinfo")
		flags := strings.Fields(string(info))
		if err != nil || !slices.Contains(flags, "vmx") && !slices.Contains(flags, "svm") {
			return
		}
		const kvm = "qemu-system-x86_64 -accel kvm -cpu host"
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		argv := append(strings.Fields(kvm), "-nographic", "-no-reboot", "-m", "512M", "-kernel", kernel, "-append",
			"console=ttyS0 panic=-1")
		// The error does not matter: without a root the kernel always panics.
		out, _ := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
		if bytes.Contains(out, []byte("Linux version")) {
			probed = kvm
		}
	})
	return probed
}

var (
	probe  sync.Once
	probed string
)
