// Package vm runs QEMU for the tests that boot something, which are many packages: Machine says what to boot, and VM is
// one that runs. It knows what the serial line says and types on it, and nothing of what is booted, but how a kernel
// says that it has started.
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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hugelgupf/vmtest/qemu"
)

// Patience is what it may take from power-on until a kernel starts /init, past firmware, boot loader and a menu: a
// quarter of a minute where nothing else runs, and many times that under emulation on a busy host.
const Patience = 4 * time.Minute

// alive is what a kernel says when all of it runs and /init begins (run_init_process of its init/main.c). One that was
// told to be quiet leaves that to wyrboot.
const alive = `\[ *\d+\.\d{6}\] Run \S+ as init process|wyrboot: Wyrcan ` // a menu may leave its own text in front

// Machine describes a virtual machine. The zero value boots out/wyrcan.kernel and
// out/wyrcan.initrd with one virtio network card that leads, by way of QEMU's
// user network, to this host as 10.0.2.2.
type Machine struct {
	Kernel  string   // a file; "" is out/wyrcan.kernel
	Initrd  string   // a file; "" is out/wyrcan.initrd
	Cmdline string   // kernel arguments, after the console's
	Memory  string   // as -m takes it; "" is 1G
	NICs    []string // values of -nic; nil is one virtio card in the user network
	QEMU    []string // further options
	Reboots bool     // where it would, as a machine does; else a reboot ends it
	NetNS   string   // the network namespace that QEMU runs in; "" is this process's

	// Firmware boots what its options say, and neither kernel nor initrd.
	Firmware []string

	// First matches what comes first where that is no kernel, as a menu that waits for a person; "" is a kernel's word that
	// it starts /init, or wyrboot's own.
	First string

	command  string        // "" is the QEMU of this host
	patience time.Duration // 0 is Patience
	logs     string        // a directory; "" is out/test
}

// UserNIC is a -nic value for a card of that model in QEMU's user network.
func UserNIC(model string, more ...string) string {
	return strings.Join(append([]string{"user", "model=" + model}, more...), ",")
}

// VM is a running machine and what it has said so far.
type VM struct {
	t    testing.TB
	log  string // file with all that the serial line said
	kept bool   // whether it outlives a test that passes
	qemu *qemu.VM
	done chan struct{} // closed when QEMU has ended
	stop func()        // ends QEMU

	mu   sync.Mutex
	text []byte        // without escapes and carriage returns
	esc  escapes       // state between two writes
	file *os.File      // the log
	more chan struct{} // closed, and made anew, when there is more text
	at   int           // match looks from here on
}

// Start boots a machine, which ends with the test at the latest. Its serial line
// is kept under out/test if the test fails.
//
// Emulated machines hang once in a while before anything of what they boot has run: in
// OVMF, before a kernel's first word, or in its start, when the clock of one processor
// stops ("rcu_preempt kthread timer wakeup didn't happen"). So one that has not started
// /init in all of its Patience is started once more, the test's log says RETRY, and what
// the serial line said stays in out/test/RETRY-*.log. Nothing else is tried twice: not a
// machine that ended, nor one whose /init has begun.
func (m Machine) Start(t testing.TB) *VM {
	t.Helper()
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
		t.Logf("RETRY: the machine has not come to life: %v", err)
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
	free, err := slot(t)
	if err != nil {
		return nil, err
	}
	t.Cleanup(free)

	logs := cmp.Or(m.logs, filepath.Join(out(t), "test"))
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, err
	}
	v := &VM{t: t, done: make(chan struct{}), more: make(chan struct{})}
	if v.file, err = os.CreateTemp(logs, strings.NewReplacer("/", "-", " ", "_").Replace(t.Name())+"-*.log"); err != nil {
		return nil, err
	}
	v.log = v.file.Name()

	args := []string{"-m", cmp.Or(m.Memory, "1G"), "-smp", "2", "-device", "virtio-rng-pci"}
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
		command = accelerated(t)
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
			qemu.WithKernel(cmp.Or(m.Kernel, Artefact(t, "wyrcan.kernel"))),
			qemu.WithInitramfs(cmp.Or(m.Initrd, Artefact(t, "wyrcan.initrd"))),
			qemu.WithAppendKernel("console=ttyS0 "+m.Cmdline))
	}
	ctx, cancel := context.WithCancel(context.Background())
	if v.qemu, err = qemu.StartContext(ctx, qemu.ArchAMD64, options...); err != nil {
		cancel()
		return nil, fmt.Errorf("cannot start QEMU: %w", err)
	}
	go func() {
		defer close(v.done)
		v.qemu.Wait() // its error is that it was killed, below
		free()
	}()
	v.stop = func() {
		cancel()
		<-v.done
	}
	t.Cleanup(func() {
		v.Stop()
		switch {
		case t.Failed():
			t.Logf("the serial line is in %s; the machine was\n%s", v.log, v.qemu.CmdlineQuoted())
		case !v.kept:
			os.Remove(v.log)
		}
	})
	return v, nil
}

// Stop ends the machine. It may be called again.
func (v *VM) Stop() { v.stop() }

// Write takes what the serial line says.
func (v *VM) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, err := v.file.Write(p); err != nil {
		return 0, err
	}
	v.text = v.esc.strip(v.text, p)
	close(v.more)
	v.more = make(chan struct{})
	return len(p), nil
}

// Close ends the log.
func (v *VM) Close() error { return v.file.Close() }

// Wait waits until what the machine says matches the pattern, behind the match
// before, and returns the match and its groups. In the pattern, ^ and $ are the
// ends of a line; text arrives in pieces, so what ends in a group wants a \n.
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

// Until waits until what the machine says matches the pattern, or until it ends by
// itself; then it stops the machine and returns all that it said.
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

// match is Wait for who can do without the match.
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

// Never fails the test if what the machine has said so far matches the pattern.
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

// Exit waits until the machine has powered off, or has rebooted, which ends it as well.
func (v *VM) Exit(timeout time.Duration) {
	v.t.Helper()
	select {
	case <-v.done:
	case <-time.After(timeout):
		v.t.Fatalf("the machine still runs after %v; its last lines:\n%s", timeout, v.tail())
	}
}

// ended tells whether the machine has ended, by itself or by Stop.
func (v *VM) ended() bool {
	select {
	case <-v.done:
		return true
	default:
		return false
	}
}

// Said returns all that the machine has said so far.
func (v *VM) Said() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return string(v.text)
}

// tail returns the last lines that the machine said.
func (v *VM) tail() string {
	lines := strings.Split(v.Said(), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// escapes takes terminal control sequences (ECMA-48) and carriage returns out of
// a text that comes in pieces.
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

// accelerated returns the QEMU command: with KVM where that works, else with plain
// emulation. A /dev/kvm can be there and guests crash in it, inside of some virtual
// machines; so the processor must say that it can, and a kernel must have started.
//
// The emulated processor has RDRAND, without which the first TLS connection waits
// for random numbers, but no cmpxchg16b: that one is emulated by stopping the other
// processor, and the kernel's allocator uses it all the time.
func accelerated(t testing.TB) string {
	t.Helper()
	kernel := Artefact(t, "wyrcan.kernel")
	probe.Do(func() {
		probed = "qemu-system-x86_64 -accel tcg -cpu max,-cx16"
		info, err := os.ReadFile("/proc/cpuinfo")
		flags := strings.Fields(string(info))
		if err != nil || !slices.Contains(flags, "vmx") && !slices.Contains(flags, "svm") {
			return
		}
		const kvm = "qemu-system-x86_64 -accel kvm -cpu host"
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		argv := append(strings.Fields(kvm), "-nographic", "-no-reboot", "-m", "512M", "-kernel", kernel, "-append", "console=ttyS0 panic=-1")
		out, _ := exec.CommandContext(ctx, argv[0], argv[1:]...).Output() // it always panics: there is no root
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
