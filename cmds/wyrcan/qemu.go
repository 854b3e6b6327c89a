package main

import (
	"bytes"
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
	"text/tabwriter"
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
	if m.until == "" {
		argv = append(argv, "-nographic")
	} else {
		argv = append(argv, "-display", "none", "-monitor", "none", "-serial", "stdio")
	}
	return append(argv, m.extra...), nil
}

// hasKVM tells whether QEMU can use the processor's own virtualization for a guest of arch. A /dev/kvm alone does not
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
func (c *cmd) start(ctx context.Context, m *machine) error {
	argv, err := m.command(hasKVM(m.arch, "/proc/cpuinfo", "/dev/kvm"))
	if err != nil {
		return err
	}
	if m.until == "" {
		fmt.Fprintf(c.stderr, "wyrcan: starting %s; Ctrl-A, then X, ends it\n", argv[0])
		q := exec.CommandContext(ctx, argv[0], argv[1:]...)
		q.Stdin, q.Stdout, q.Stderr = c.stdin, c.stdout, c.stderr
		q.Cancel = func() error { return q.Process.Signal(syscall.SIGTERM) } // it has a terminal to put right
		q.WaitDelay = 10 * time.Second
		return started(q.Run(), argv[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q := exec.CommandContext(ctx, argv[0], argv[1:]...)
	q.Stderr = c.stderr
	out, err := q.StdoutPipe()
	if err != nil {
		return err
	}
	w := &watcher{until: m.until, begin: time.Now()}
	if err := q.Start(); err != nil {
		return started(err, argv[0])
	}
	found := w.watch(out, c.stdout)
	if found {
		// What comes after the words is not waited for: a container may well run on.
		cancel()
	}
	err = q.Wait()
	fmt.Fprint(c.stderr, w.table())
	switch {
	case found:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("the machine had not shown %q when time was up", m.until)
	case err != nil:
		return started(err, argv[0])
	}
	return fmt.Errorf("the machine ended without having shown %q", m.until)
}

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

// A watcher reads a machine's console for the words that mean success, and for what took how long.
type watcher struct {
	until  string
	begin  time.Time
	stages []stage
	first  time.Duration // when Wyrcan's own program spoke first, since begin
	last   time.Duration // when it spoke last
	words  time.Duration // when the words came
}

type stage struct {
	name string
	took time.Duration
}

// watch copies the console to out until it has shown the words, and tells whether it has.
func (w *watcher) watch(console io.Reader, out io.Writer) bool {
	var line []byte // what the console's last line has so far: a prompt never ends one
	buf := make([]byte, 4096)
	for {
		n, err := console.Read(buf)
		out.Write(buf[:n])
		line = append(line, buf[:n]...)
		for {
			whole, rest, ended := bytes.Cut(line, []byte("\n"))
			if w.see(whole, ended) {
				return true
			}
			if !ended {
				break
			}
			line = rest
		}
		if len(line) > 1<<16 {
			line = line[len(line)-1<<12:] // no text of interest is as long
		}
		if err != nil {
			return false
		}
	}
}

// see looks at a line, or at the beginning of one that has not ended, and tells whether it has the words.
func (w *watcher) see(line []byte, ended bool) bool {
	now := time.Since(w.begin)
	if ended && bytes.Contains(line, []byte("wyrboot: ")) {
		if w.first == 0 {
			w.first = now
		}
		w.last = now
		// The lines in which wyrboot says how long a stage took.
		f := regexp.MustCompile(`wyrboot: stage (\S+) ([0-9]+(?:\.[0-9]+)?) s`).FindSubmatch(line)
		if f != nil {
			if took, err := time.ParseDuration(string(f[2]) + "s"); err == nil {
				w.stages = append(w.stages, stage{string(f[1]), took})
			}
		}
	}
	// The command line, which the kernel prints, may hold the words too; those are not the container's.
	if bytes.Contains(line, []byte(w.until)) && !bytes.Contains(line, []byte("ommand line: ")) {
		w.words = now
		return true
	}
	return false
}

// table returns the times of all stages, "" if Wyrcan never spoke.
func (w *watcher) table() string {
	if w.first == 0 {
		return ""
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, d time.Duration) { fmt.Fprintf(t, "%s\t%.3f s\t\n", name, d.Seconds()) }
	if len(w.stages) == 0 || w.stages[0].name != "kernel" {
		row("firmware and kernel", w.first)
	} else {
		row("firmware", w.first-w.stages[0].took)
	}
	for _, s := range w.stages {
		if s.name == "kernel" {
			s.name = "kernel to userspace"
		}
		row(s.name, s.took)
	}
	if w.words > 0 {
		row("container's first word", w.words-w.last)
		row("all", w.words)
	}
	t.Flush()
	return "\n" + b.String()
}
