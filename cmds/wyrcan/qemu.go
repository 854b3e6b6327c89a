package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

// A machine is a QEMU that boots Wyrcan. Its first serial line is the person's terminal.
type machine struct {
	arch   string // GOARCH's name
	kernel string
	initrd string
	memory string // as QEMU's -m takes it
	cpus   int
	args   []cmdline.Arg // the kernel's command line after its console
	extra  []string      // further options of QEMU
	until  string        // unattended: what the console must show; "" is a person's session
}

// board is what differs between architectures.
type board struct {
	program string
	options []string
	console string
}

// boards returns what QEMU needs to be a machine of each architecture.
func boards() map[string]board {
	return map[string]board{
		"amd64": {"qemu-system-x86_64", []string{"-machine", "q35"}, "ttyS0"},
		"arm64": {"qemu-system-aarch64", []string{"-machine", "virt"}, "ttyAMA0"},
	}
}

// host is the address at which a guest in QEMU's user network finds the machine that QEMU runs on.
const host = "10.0.2.2"

// command returns QEMU's command line. hardware tells whether to use the processor's own virtualization.
func (m *machine) command(hardware bool) ([]string, error) {
	b, ok := boards()[m.arch]
	if !ok {
		return nil, usage("there is no machine of architecture %q: want amd64 or arm64", m.arch)
	}
	words := []string{"console=" + b.console}
	for _, a := range m.args {
		words = append(words, a.String())
	}
	argv := append([]string{b.program}, b.options...)
	if hardware {
		argv = append(argv, "-accel", "kvm", "-cpu", "host")
	} else {
		// max has RDRAND, without which the guest waits for random numbers. cmpxchg16b is slow and, under emulation on
		// a host with few processors, seldom right.
		cpu := "max"
		if m.arch == "amd64" {
			cpu = "max,-cx16"
		}
		argv = append(argv, "-accel", "tcg", "-cpu", cpu)
	}
	argv = append(argv,
		"-m", m.memory, "-smp", strconv.Itoa(m.cpus),
		"-kernel", m.kernel, "-initrd", m.initrd, "-append", strings.Join(words, " "),
		"-nic", "user,model=virtio-net-pci", "-device", "virtio-rng-pci",
		"-no-reboot") // a reboot ends the session, so that a failure does not go round and round
	// Not -nographic: for that SeaBIOS shows its screen on the serial line, and leaves the terminal there without line
	// wrap (sercon.c). The first Ctrl-A, then X, ends QEMU; Ctrl-C is the machine's.
	if m.until == "" {
		argv = append(argv, "-display", "none", "-serial", "mon:stdio")
	} else {
		argv = append(argv, "-display", "none", "-monitor", "none", "-serial", "stdio")
	}
	return append(argv, m.extra...), nil
}

// hasKVM reports whether QEMU can use the processor's own virtualization for a guest of arch. A /dev/kvm alone does not
// say: inside some virtual machines it is there and guests crash in it.
func hasKVM(arch, cpuinfo, device string) bool {
	if arch != runtime.GOARCH {
		return false
	}
	if arch == "amd64" {
		b, err := os.ReadFile(cpuinfo)
		if err != nil || !regexp.MustCompile(`(?m)^flags\s*:.*\b(vmx|svm)\b`).Match(b) {
			return false
		}
	}
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// start runs the machine to its end: when it powers off, or, unattended, when the console has shown what it waits for.
// A session succeeds if the container's kernel was started.
func (c *cmd) start(ctx context.Context, m *machine) error {
	argv, err := m.command(virtual(m.arch))
	if err != nil {
		return err
	}
	attended := m.until == ""
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q := exec.CommandContext(ctx, argv[0], argv[1:]...)
	q.Cancel = func() error { return q.Process.Signal(syscall.SIGTERM) }
	q.WaitDelay = 10 * time.Second
	// Should this program be killed, the machine would run on with nobody in front of it. The kernel looks at the thread
	// that has started it: prctl(2), PR_SET_PDEATHSIG.
	q.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	q.Stderr = c.stderr
	out, err := q.StdoutPipe()
	if err != nil {
		return err
	}
	if attended {
		in, err := q.StdinPipe()
		if err != nil {
			return err
		}
		// What is typed goes through this program, so that QEMU, however it ends, cannot leave the terminal changed.
		// The goroutine ends with the program: reading a terminal cannot be broken off.
		go func() {
			io.Copy(in, c.stdin)
			in.Close()
		}()
		fmt.Fprintf(c.stderr, "wyrcan: starting %s; press Ctrl-A, then X, to end it\n", argv[0])
	}
	if err := q.Start(); err != nil {
		return started(err, argv[0])
	}
	restore := takeTerminal(ctx, c.stdin, c.stdout, attended)
	defer restore()
	w := &watcher{until: m.until, begin: time.Now()}
	found := w.watch(out, c.stdout)
	timeUp := ctx.Err() != nil
	if found {
		// What comes after the words is not waited for: a container may well run on.
		cancel()
	}
	err = q.Wait()
	restore() // before what is said now
	if !attended {
		fmt.Fprint(c.stderr, w.table())
	}
	switch {
	case found:
		return nil
	case timeUp && attended:
		return context.Cause(ctx)
	case timeUp:
		return fmt.Errorf("the machine had not shown %q when time was up", m.until)
	case err != nil:
		return started(err, argv[0])
	case !attended:
		return fmt.Errorf("the machine ended without having shown %q", m.until)
	case w.jumped && !w.alive:
		return errors.New("the machine ended before the container's kernel had shown anything: " +
			"it may have crashed, or have its console elsewhere (-arg console=)")
	case !w.alive:
		return errors.New("the machine ended before the container's kernel was started: " +
			"what Wyrcan said last on its console tells why")
	}
	return nil
}

// virtual reports whether QEMU can use the processor's own virtualization for a guest of arch on this machine.
func virtual(arch string) bool { return hasKVM(arch, "/proc/cpuinfo", "/dev/kvm") }

// started explains a failure to run QEMU.
func started(err error, program string) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("cannot find %s: install QEMU (Debian: qemu-system-x86, qemu-system-arm)", program)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}
