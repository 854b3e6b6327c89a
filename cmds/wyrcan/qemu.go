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
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// A machine is a QEMU machine that boots Wyrcan. Its first serial line is connected to the user's terminal.
type machine struct {
	arch   string // GOARCH's name
	kernel string
	initrd string
	memory string // the value of QEMU's -m
	cpus   int
	args   []cmdline.Arg // the kernel's command line after console=
	extra  []string      // further options for QEMU

	credentials []credential // system credentials, which QEMU reads from the files after standard error
	until       string       // the text that the console of an unattended machine must show; "" for an interactive session
}

// credential is a system credential for the machine. It may be secret.
type credential struct {
	name    string
	content []byte
}

// file returns a file without a name that has the content.
func (c credential) file() (*os.File, error) {
	f, err := memory.File(c.name)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(c.content)
	if err = errors.Join(err, f.Chmod(0o600)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// board has the settings of QEMU that differ between architectures.
type board struct {
	program string
	options []string
	cpu     string // the processor that QEMU emulates
	console string
}

// boards returns the board of each architecture.
func boards() map[string]board {
	return map[string]board{
		// max has RDRAND, without which the guest waits for random numbers. Emulated cmpxchg16b is slow, and rarely
		// correct on a host with few processors.
		"amd64": {"qemu-system-x86_64", []string{"-machine", "q35"}, "max,-cx16", "ttyS0"},
		// max has pointer authentication, with which a boot takes half as long again.
		"arm64": {"qemu-system-aarch64", []string{"-machine", "virt"}, "cortex-a72", "ttyAMA0"},
	}
}

// host is the address of the machine that QEMU runs on, as a guest in QEMU's user network sees it.
const host = "10.0.2.2"

// command returns QEMU's command line. hardware says whether to use hardware virtualization.
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
		argv = append(argv, "-accel", "tcg", "-cpu", b.cpu)
	}
	argv = append(argv,
		"-m", m.memory, "-smp", strconv.Itoa(m.cpus),
		"-kernel", m.kernel, "-initrd", m.initrd, "-append", strings.Join(words, " "),
		"-nic", "user,model=virtio-net-pci", "-device", "virtio-rng-pci",
		"-no-reboot") // a reboot ends the session, so that a failure is not repeated for ever
	// Do not use -nographic: SeaBIOS would then show its screen on the serial line and leave the terminal without line
	// wrap (sercon.c). With mon:stdio, Ctrl-A, then X, ends QEMU, and Ctrl-C goes to the machine.
	if m.until == "" {
		argv = append(argv, "-display", "none", "-serial", "mon:stdio")
	} else {
		argv = append(argv, "-display", "none", "-monitor", "none", "-serial", "stdio")
	}
	for i, cred := range m.credentials {
		const first = 3 // exec.Cmd.ExtraFiles
		argv = append(argv, "-fw_cfg",
			fmt.Sprintf("name=opt/io.systemd.credentials/%s,file=/proc/self/fd/%d", cred.name, first+i))
	}
	return append(argv, m.extra...), nil
}

// hasKVM reports whether QEMU can use hardware virtualization for a guest of arch. The existence of /dev/kvm is not
// enough: some virtual machines have it, but guests crash there.
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

// start runs the machine until it powers off or, if it is unattended, until the console has shown the text. A session
// succeeds if the container's kernel was started.
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
	// If this program is killed, QEMU must end too. The kernel sends the signal when the thread that started QEMU ends
	// (prctl(2), PR_SET_PDEATHSIG), so this thread must not end before.
	q.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	q.Stderr = c.stderr
	for _, cred := range m.credentials {
		f, err := cred.file()
		if err != nil {
			return fmt.Errorf("cannot hand %s to the machine: %w", cred.name, err)
		}
		defer f.Close()
		q.ExtraFiles = append(q.ExtraFiles, f)
	}
	out, err := q.StdoutPipe()
	if err != nil {
		return err
	}
	if attended {
		in, err := q.StdinPipe()
		if err != nil {
			return err
		}
		// Input goes through this program, so that QEMU cannot leave the terminal changed, however it ends. The
		// goroutine ends only with the program, because a read from a terminal cannot be interrupted.
		go func() {
			io.Copy(in, c.stdin)
			in.Close()
		}()
		fmt.Fprintf(c.stderr, "wyrcan: starting %s; press Ctrl-A, then X, to end it\n", argv[0])
	}
	if err := q.Start(); err != nil {
		return qemuError(err, argv[0])
	}
	restore := takeTerminal(ctx, c.stdin, c.stdout, attended)
	defer restore()
	w := &watcher{until: m.until, begin: time.Now()}
	found := w.watch(out, c.stdout)
	timeUp := ctx.Err() != nil
	if found {
		// Do not wait for the machine to end: the container may run on.
		cancel()
	}
	err = q.Wait()
	restore() // before the messages below
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
		return qemuError(err, argv[0])
	case !attended:
		return fmt.Errorf("the machine ended without having shown %q", m.until)
	case w.jumped && !w.alive:
		return errors.New("the machine ended before the container's kernel had shown anything: " +
			"it may have crashed, or have its console elsewhere (-arg console=)")
	case !w.alive:
		return errors.New("the machine ended before the container's kernel was started: " +
			"the last messages of Wyrcan on the console say why")
	}
	return nil
}

// virtual reports whether QEMU on this machine can use hardware virtualization for a guest of arch.
func virtual(arch string) bool { return hasKVM(arch, "/proc/cpuinfo", "/dev/kvm") }

// qemuError explains why QEMU did not run. It returns nil if err is nil.
func qemuError(err error, program string) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("cannot find %s: install QEMU (Debian: qemu-system-x86, qemu-system-arm)", program)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}
