package integration

import (
	"bytes"
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

// slots bounds how many machines run at once: under plain emulation each wants a
// processor, and more of them only make every timeout a guess.
var slots = make(chan struct{}, 2)

// machine describes a virtual machine. The zero value boots out/wyrcan.kernel and
// out/wyrcan.initrd with one virtio network card that leads, by way of QEMU's
// user network, to this host as 10.0.2.2.
type machine struct {
	cmdline string   // kernel arguments, after the console's
	memory  string   // as -m takes it; "" is 1G
	nics    []string // values of -nic; nil is one virtio card in the user network
	qemu    []string // further options
	reboots bool     // where it would, as a machine does; else a reboot ends it
	netns   string   // the network namespace that QEMU runs in; "" is this process's

	// firmware boots what its options say, and neither kernel nor initrd.
	firmware []string
}

// userNIC is a -nic value for a card of that model in QEMU's user network.
func userNIC(model string, more ...string) string {
	return strings.Join(append([]string{"user", "model=" + model}, more...), ",")
}

// vm is a running machine and what it has said so far.
type vm struct {
	t    *testing.T
	log  string // file with all that the serial line said
	qemu *qemu.VM
	done chan struct{} // closed when QEMU has ended
	stop func()        // ends the machine, and makes room for another; may be called again

	mu   sync.Mutex
	text []byte        // without escapes and carriage returns
	esc  escapes       // state between two writes
	file *os.File      // the log
	more chan struct{} // closed, and made anew, when there is more text
	at   int           // wait looks from here on
}

// start boots a machine, which ends with the test at the latest. Its serial
// line is kept under out/test if the test fails.
func (m machine) start(t *testing.T) *vm {
	t.Helper()
	slots <- struct{}{}
	free := sync.OnceFunc(func() { <-slots })
	t.Cleanup(free)

	dir, err := filepath.Abs("../out/test")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	v := &vm{t: t, done: make(chan struct{}), more: make(chan struct{})}
	v.log = filepath.Join(dir, strings.NewReplacer("/", "-", " ", "_").Replace(t.Name())+".log")
	if v.file, err = os.Create(v.log); err != nil {
		t.Fatal(err)
	}

	memory := m.memory
	if memory == "" {
		memory = "1G"
	}
	args := []string{"-m", memory, "-smp", "2", "-device", "virtio-rng-pci"}
	if !m.reboots {
		args = append(args, "-no-reboot")
	}
	nics := m.nics
	if nics == nil {
		nics = []string{userNIC("virtio-net-pci")}
	}
	for _, nic := range nics {
		args = append(args, "-nic", nic)
	}
	command := accelerated(t)
	if m.netns != "" {
		command = "ip netns exec " + m.netns + " " + command
	}
	options := []qemu.Fn{
		qemu.WithQEMUCommand(command),
		qemu.ArbitraryArgs(append(append(args, m.firmware...), m.qemu...)...),
		qemu.WithSerialOutput(v),
	}
	if m.firmware == nil {
		options = append(options,
			qemu.WithKernel(artefact(t, "wyrcan.kernel")),
			qemu.WithInitramfs(artefact(t, "wyrcan.initrd")),
			qemu.WithAppendKernel("console=ttyS0 "+m.cmdline))
	}
	ctx, cancel := context.WithCancel(context.Background())
	if v.qemu, err = qemu.StartContext(ctx, qemu.ArchAMD64, options...); err != nil {
		cancel()
		t.Fatalf("cannot start QEMU: %v", err)
	}
	go func() {
		defer close(v.done)
		v.qemu.Wait() // its error is that it was killed, below
	}()
	v.stop = func() {
		cancel()
		<-v.done
		free()
	}
	t.Cleanup(func() {
		v.stop()
		if t.Failed() {
			t.Logf("the serial line is in %s; the machine was\n%s", v.log, v.qemu.CmdlineQuoted())
			return
		}
		os.Remove(v.log)
	})
	return v
}

// Write takes what the serial line says.
func (v *vm) Write(p []byte) (int, error) {
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
func (v *vm) Close() error { return v.file.Close() }

// wait waits until what the machine says matches the pattern, behind the match
// before, and returns the match and its groups. In the pattern, ^ and $ are the
// ends of a line; text arrives in pieces, so what ends in a group wants a \n.
func (v *vm) wait(pattern string, timeout time.Duration) []string {
	v.t.Helper()
	begin := time.Now()
	groups, err := v.match(pattern, timeout)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Logf("%5.1f s: %s", time.Since(begin).Seconds(), strings.TrimSpace(groups[0]))
	return groups
}

// match is wait for who can do without the match.
func (v *vm) match(pattern string, timeout time.Duration) ([]string, error) {
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

// never fails the test if what the machine has said so far matches the pattern.
func (v *vm) never(pattern string) {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if match := regexp.MustCompile("(?m)" + pattern).Find(v.text); match != nil {
		v.t.Errorf("the machine said %q", match)
	}
}

// send types on the serial line.
func (v *vm) send(text string) {
	v.t.Helper()
	if _, err := v.qemu.Console.Send(text); err != nil {
		v.t.Fatalf("cannot type %q: %v", text, err)
	}
}

// exit waits until the machine has powered off, or has rebooted, which ends it as well.
func (v *vm) exit(timeout time.Duration) {
	v.t.Helper()
	select {
	case <-v.done:
	case <-time.After(timeout):
		v.t.Fatalf("the machine still runs after %v; its last lines:\n%s", timeout, v.tail())
	}
}

// tail returns the last lines that the machine said.
func (v *vm) tail() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	lines := bytes.Split(v.text, []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-30):], []byte("\n")))
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
func accelerated(t *testing.T) string {
	t.Helper()
	kernel := artefact(t, "wyrcan.kernel")
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

func TestStrip(t *testing.T) {
	var e escapes
	var got []byte
	for _, piece := range []string{"a\x1b[2", "Jb\r\n\x1b[1;31mc\x1b", "[0md\x1bcf"} {
		got = e.strip(got, []byte(piece))
	}
	if want := "ab\ncdf"; string(got) != want {
		t.Errorf("strip = %q, want %q", got, want)
	}
}

// said returns all that the machine has said so far.
func (v *vm) said() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return string(v.text)
}
