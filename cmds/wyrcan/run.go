package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// A session has the options of the machine, which run and demo share.
type session struct {
	arch    arch
	kernel  string // a file, as is initrd
	initrd  string
	memory  size
	cpus    int
	verbose bool
	until   string
	timeout time.Duration
	args    list // arguments for the container's kernel
	append  list // arguments for Wyrcan
	qemu    list // options for QEMU
}

func (s *session) flags(f *flagSet) {
	s.arch = here
	f.Var(&s.arch, "arch", "`ARCHITECTURE` of the machine: amd64 or arm64")
	f.StringVar(&s.kernel, "kernel", "", "boot `FILE` as Wyrcan's kernel (default wyrcan.kernel beside this program)")
	f.StringVar(&s.initrd, "initrd", "", "boot `FILE` as Wyrcan's initrd (default wyrcan.initrd beside this program)")
	s.memory = 2 << 30
	f.Var(&s.memory, "m", "memory of the machine, a `SIZE`: 512M, 4G; a number alone is MiB, as for QEMU")
	f.IntVar(&s.cpus, "smp", 2, "`NUMBER` of processors")
	f.Var(&s.args, "arg", "pass `ARG` to the container's kernel; may be repeated")
	f.Var(&s.append, "append", "pass `ARG` to Wyrcan; may be repeated")
	f.Var(&s.qemu, "qemu", "pass `OPTION` to QEMU; may be repeated")
	f.BoolVar(&s.verbose, "v", false, "show the messages of Wyrcan's kernel too")
	f.StringVar(&s.until, "until", "",
		"run unattended; succeed once the console shows `TEXT`, and print the time of each stage")
	f.DurationVar(&s.timeout, "timeout", 10*time.Minute, "with -until, fail after this `TIME`")
}

// machine returns the machine that boots the image ref. The guest must be able to resolve ref.
func (s *session) machine(c *cmd, ref string) (*machine, error) {
	if s.cpus < 1 {
		return nil, usage("a machine has at least one processor: -smp 1")
	}
	b, ok := boards()[string(s.arch)]
	if !ok {
		return nil, usage("there is no machine of architecture %q: want amd64 or arm64", s.arch)
	}
	if _, err := exec.LookPath(b.program); err != nil {
		return nil, qemuError(err, b.program)
	}
	file, err := c.artefact(s.kernel, "wyrcan.kernel", s.arch)
	if err != nil {
		return nil, err
	}
	if err := checkArch(file, string(s.arch)); err != nil {
		return nil, err
	}
	initrd, err := c.artefact(s.initrd, "wyrcan.initrd", s.arch)
	if err != nil {
		return nil, err
	}
	m := &machine{
		arch: string(s.arch), kernel: file, initrd: initrd,
		memory: s.memory.String(), cpus: s.cpus, extra: s.qemu, until: s.until,
	}
	if !s.verbose {
		m.args = append(m.args, cmdline.Arg{Key: "quiet"})
	}
	m.boots(c, "wyr.img", ref)
	for _, a := range append(list{"console=" + b.console}, s.args...) {
		m.args = append(m.args, cmdline.Arg{Key: "wyr.arg", Value: a, HasValue: true})
	}
	for _, a := range s.append {
		m.args = append(m.args, cmdline.Parse(a)...)
	}
	return m, nil
}

// boots adds the argument of Wyrcan that names the image ref.
func (m *machine) boots(c *cmd, argument, ref string) {
	m.args = append(m.args, cmdline.Arg{Key: argument, Value: ref, HasValue: true})
	registry, _, _ := strings.Cut(ref, "/")
	allowed := c.insecure(ref)
	if name, _, ok := registryOf(ref); ok && (name == host || allowed != nil && allowed(registry)) {
		// host is this machine. The guest cannot know that there is no real network between them.
		m.args = append(m.args, cmdline.Arg{Key: "wyr.insecure", Value: registry, HasValue: true})
	}
}

// kernelArch returns the architecture of the kernel in a file.
func kernelArch(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	k, err := kernel.Parse(f, info.Size())
	if err != nil {
		return "", fmt.Errorf("%s is %w", file, err)
	}
	if k.Image != nil {
		k.Image.Close()
	}
	return k.Arch, nil
}

// checkArch returns an error if the kernel in a file is for another architecture: the machine would show nothing at
// all.
func checkArch(file, arch string) error {
	made, err := kernelArch(file)
	if err != nil {
		return err
	}
	if made != arch {
		return fmt.Errorf("%s is a kernel for %s, but the machine is %s: name another with -kernel and -initrd", file,
			made, arch)
	}
	return nil
}

// start runs the session's machine.
func (s *session) start(ctx context.Context, c *cmd, m *machine) error {
	if s.until != "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	return c.start(ctx, m)
}

// runInQEMU is the command "wyrcan run".
func (c *cmd) runInQEMU(ctx context.Context, args []string) error {
	var s session
	var more further
	f := c.flags("run", "[OPTION...] IMAGE", `Boot IMAGE in QEMU on this terminal, with Wyrcan's own kernel and initrd.
Ctrl-A, then X, ends it. The guest can reach a registry on this machine
(localhost, 127.0.0.1). If IMAGE is on this machine's disk, it is served to the
guest. The guest gets the login for IMAGE.

The exit status is 0 if the container's kernel was started, 1 if it was not, and
2 for wrong usage. With -until it is 0 as soon as the console shows the text.
`)
	s.flags(f)
	root := rootForm(bundle.Auto)
	root.flag(f)
	var verity rootCheck
	verity.flag(f)
	more.flags(f)
	f.registry()
	f.trust()
	rest, err := f.parse(args, 1, false)
	if err != nil {
		return err
	}
	if err := more.check("run"); err != nil {
		return err
	}
	guests, err := c.lend(more.all(rest[0]))
	if err != nil {
		return err
	}
	defer guests.Close()
	m, err := s.machine(c, guests[0].name)
	if err != nil {
		return err
	}
	if root.form() != bundle.Auto {
		m.args = append(m.args, cmdline.Arg{Key: "wyr.root", Value: root.String(), HasValue: true})
	}
	m.args = append(m.args, verity.argument()...)
	for _, g := range guests[1:] {
		m.boots(c, g.argument, g.name)
	}
	if k := more.argument(); k.KernelPath() != "" || k.KeepsKernel() {
		m.args = append(m.args, cmdline.Arg{Key: "wyr.kernel", Value: k.Kernel, HasValue: true})
	}
	if more.init != "" {
		m.args = append(m.args, cmdline.Arg{Key: "wyr.init", Value: more.init, HasValue: true})
	}
	for _, g := range guests {
		if err := g.prepare(ctx, c, m, s.platform()); err != nil {
			return err
		}
	}
	return s.start(ctx, c, m)
}

// serveAndStart starts a registry, stores the image in it with put, and runs the session's machine, which boots the
// image.
func (s *session) serveAndStart(ctx context.Context, c *cmd, put func(*localRegistry) error) error {
	reg, err := startRegistry()
	if err != nil {
		return err
	}
	defer reg.Close()
	m, err := s.machine(c, reg.ref())
	if err != nil {
		return err
	}
	if err := put(reg); err != nil {
		return err
	}
	return s.start(ctx, c, m)
}

// platform returns the platform of images that the session's machine can run. An emulated processor does not support
// what variants of an architecture require.
func (s *session) platform() v1.Platform {
	if virtual(string(s.arch)) {
		return s.arch.platform()
	}
	return v1.Platform{OS: "linux", Architecture: string(s.arch)}
}

// tellImage prints the image that was found for a name.
func (c *cmd) tellImage(img *image.Image) {
	size := ""
	if n := img.Size(); n > 0 { // an archive of docker save has no sizes
		size = units.Bytes(n) + " in "
	}
	fmt.Fprintf(c.stderr, "wyrcan: image %s, %s, %s, %s%s\n",
		img.Name, img.Digest, img.Platform, size, plural(len(img.Layers), "layer"))
}
