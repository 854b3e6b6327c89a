package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
)

// A session is what run and demo have in common: the options of the machine.
type session struct {
	arch    arch
	kernel  string // a file, as is initrd
	initrd  string
	memory  size
	cpus    int
	verbose bool
	until   string
	timeout time.Duration
	args    list // for the container
	append  list // for Wyrcan
	qemu    list // for QEMU
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
	f.BoolVar(&s.verbose, "v", false, "show what Wyrcan's kernel says too")
	f.StringVar(&s.until, "until", "", "run unattended; succeed once the console shows `TEXT`, and print the time of each stage")
	f.DurationVar(&s.timeout, "timeout", 10*time.Minute, "with -until, fail after this `TIME`")
}

// machine returns the machine that boots the image ref, a name that the guest can resolve.
func (s *session) machine(c *cmd, ref string) (*machine, error) {
	if s.cpus < 1 {
		return nil, usage("a machine has at least one processor: -smp 1")
	}
	b, ok := boards()[string(s.arch)]
	if !ok {
		return nil, usage("there is no machine of architecture %q: want amd64 or arm64", s.arch)
	}
	if _, err := exec.LookPath(b.program); err != nil {
		return nil, started(err, b.program)
	}
	file, err := c.artefact(s.kernel, "wyrcan.kernel", s.arch)
	if err != nil {
		return nil, err
	}
	if err := runs(file, string(s.arch)); err != nil {
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
	m.args = append(m.args, cmdline.Arg{Key: "wyr.img", Value: ref, HasValue: true})
	if name, _, ok := registryOf(ref); ok && (name == host || c.insecure(ref) != nil) {
		// host is this machine, of which the guest does not know that no network lies between.
		registry, _, _ := strings.Cut(ref, "/")
		m.args = append(m.args, cmdline.Arg{Key: "wyr.insecure", Value: registry, HasValue: true})
	}
	for _, a := range append(list{"console=" + b.console}, s.args...) {
		m.args = append(m.args, cmdline.Arg{Key: "wyr.arg", Value: a, HasValue: true})
	}
	for _, a := range s.append {
		m.args = append(m.args, cmdline.Parse(a)...)
	}
	return m, nil
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

// runs refuses a kernel of which a machine of that architecture would show nothing at all.
func runs(file, arch string) error {
	made, err := kernelArch(file)
	if err != nil {
		return err
	}
	if made != arch {
		return fmt.Errorf("%s is a kernel for %s, and the machine is %s: name another with -kernel and -initrd", file, made, arch)
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

// boot is "wyrcan run".
func (c *cmd) boot(ctx context.Context, args []string) error {
	var s session
	f := c.flags("run", "[OPTION...] IMAGE", `Boot IMAGE in QEMU, through Wyrcan's own kernel and initrd, on this terminal;
Ctrl-A, then X, ends it. A registry on this machine (localhost, 127.0.0.1) is
reached from the guest, and an image that lies on this machine is served to it.

The exit status is 0 if the container's kernel was started, 1 if it was not and
2 for a wrong use. With -until it is 0 once the console shows the text.
`)
	s.flags(f)
	f.registry()
	rest, err := f.parse(args, 1, false)
	if err != nil {
		return err
	}
	ref := rest[0]
	if !local(ref) {
		m, err := s.machine(c, fromGuest(ref))
		if err != nil {
			return err
		}
		// The machine would find out after a minute, and tell nobody but who watches.
		at := toHost(ref)
		img, err := c.source(at, s.platform()).Open(ctx, at)
		if err != nil {
			return fmt.Errorf("cannot get %s: %w", ref, advise(err))
		}
		c.tellImage(img)
		return s.start(ctx, c, m)
	}
	reg, err := serve()
	if err != nil {
		return err
	}
	defer reg.Close()
	m, err := s.machine(c, reg.ref())
	if err != nil {
		return err
	}
	if err := reg.store(ctx, c, ref, s.platform()); err != nil {
		return err
	}
	return s.start(ctx, c, m)
}

// platform returns what images must be made for to run on the session's machine: QEMU's processor, where it is
// emulated, is one without the demands of variants.
func (s *session) platform() v1.Platform {
	if virtual(string(s.arch)) {
		return s.arch.platform()
	}
	return v1.Platform{OS: "linux", Architecture: string(s.arch)}
}

// tellImage says which image a name stands for.
func (c *cmd) tellImage(img *image.Image) {
	size := ""
	if n := img.Size(); n > 0 { // what docker save writes does not tell
		size = console.Bytes(n) + " in "
	}
	fmt.Fprintf(c.stderr, "wyrcan: image %s, %s, %s, %s%s\n",
		img.Name, img.Digest, img.Platform, size, plural(len(img.Layers), "layer"))
}

// fromGuest returns the name by which the guest finds an image that this machine calls ref: loopback is not the
// guest's.
func fromGuest(ref string) string { return moved(ref, loopback, host) }

// toHost returns the name by which this machine finds an image that the guest calls ref.
func toHost(ref string) string {
	return moved(ref, func(name string) bool { return name == host }, "127.0.0.1")
}

// moved returns an image's name, without its form, with another host in the place of one of which is says so.
func moved(ref string, is func(host string) bool, to string) string {
	ref = strings.TrimPrefix(ref, "docker://")
	name, port, ok := registryOf(ref)
	if !ok || !is(name) {
		return ref
	}
	_, rest, _ := strings.Cut(ref, "/")
	if port != "" {
		to += ":" + port
	}
	return to + "/" + rest
}

// registryOf returns the host and the port of the registry that an image's name begins with. ok is false for one that
// leaves it out: its first part is a registry if it could not be a part of a path, by docker's rule.
func registryOf(ref string) (name, port string, ok bool) {
	registry, _, ok := strings.Cut(strings.TrimPrefix(ref, "docker://"), "/")
	if !ok || !strings.ContainsAny(registry, ".:") && !strings.EqualFold(registry, "localhost") {
		return "", "", false
	}
	if h, p, err := net.SplitHostPort(registry); err == nil {
		return h, p, true
	}
	return strings.Trim(registry, "[]"), "", true
}

// loopback reports whether a host's name or address is each machine's own.
func loopback(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761, 6.3
		return true
	}
	a, err := netip.ParseAddr(name)
	return err == nil && (a.Unmap().IsLoopback() || a.IsUnspecified())
}
