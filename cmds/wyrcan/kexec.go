package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/kexec"
	"gitlab.com/wyrcan/wyrcan/pkg/microcode"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// kexec is "wyrcan kexec".
func (c *cmd) kexec(ctx context.Context, args []string) error {
	var r recipe
	f := c.flags("kexec", "[OPTION...] IMAGE",
		`Reboot this machine into IMAGE without its firmware: load the image's kernel,
with everything else of it as the initramfs, then have systemd stop all services,
unmount what it can and start that kernel (systemctl kexec). Needs root, and
memory for the image twice.

In two steps, to choose the moment: wyrcan kexec -load IMAGE, then, when it is
time, systemctl kexec. Until then wyrcan kexec -unload takes it back. A loaded
kernel is lost with an ordinary reboot.

The image is fetched, verified and checked before anything is stopped. If any of
that fails, this system stays as it was.
`)
	load := f.Bool("load", false, "only load: systemctl kexec, later, starts it")
	unload := f.Bool("unload", false, "forget what was loaded; takes no IMAGE")
	force := f.Bool("force", false, "start at once, with no service stopped and nothing unmounted; "+
		"file systems are synced, no more. Without IMAGE, start what was loaded")
	leave := f.Bool("record", true, "leave /run/wyrcan/boot.json in the booted system, for wyrcan status there")
	r.flags(f)
	r.further.short(f)
	f.BoolVar(&r.ucode, "microcode", true, "have the kernel give this processor the microcode that the image has")
	f.registry()
	f.trust()
	rest, err := f.parse(args, 0, true)
	if err != nil {
		return err
	}
	switch {
	case *load && *force, *unload && (*load || *force):
		return usage("kexec: -load, -unload and -force exclude each other")
	case *unload && len(rest) > 0:
		return usage("kexec: -unload takes no IMAGE: it forgets the one that was loaded")
	case len(rest) > 1, len(rest) == 0 && !*unload && !*force:
		return usage("usage: wyrcan kexec [OPTION...] IMAGE")
	}
	if err := r.further.check("kexec"); err != nil {
		return err
	}
	if err := c.kexecReady(*load || *unload || *force); err != nil {
		return fmt.Errorf("kexec: %w", err)
	}
	switch {
	case *unload:
		return kexec.Unload()
	case len(rest) == 0:
		return c.jump()
	}
	if err := c.load(ctx, rest[0], r, *leave); err != nil {
		return err
	}
	switch {
	case *load:
		fmt.Fprintln(c.stderr, "wyrcan: systemctl kexec starts it, wyrcan kexec -unload forgets it")
		return nil
	case *force:
		return c.jump()
	}
	fmt.Fprintln(c.stderr, "wyrcan: systemd stops the services and starts it")
	systemctl := exec.CommandContext(ctx, "systemctl", "kexec")
	systemctl.Stdout, systemctl.Stderr = c.stderr, c.stderr
	if err := systemctl.Run(); err != nil {
		return fmt.Errorf("cannot have systemd stop the services: systemctl kexec: %w; the kernel stays loaded: "+
			"wyrcan kexec -force starts it all the same, wyrcan kexec -unload forgets it", err)
	}
	return nil
}

// kexecReady returns an error if this system cannot start another kernel, before anything is downloaded. alone says
// that systemd is not needed.
func (c *cmd) kexecReady(alone bool) error {
	if os.Geteuid() != 0 {
		return errors.New("starting another kernel needs root")
	}
	if _, err := os.Stat(filepath.Join(c.root, "/sys/kernel/kexec_loaded")); errors.Is(err, fs.ErrNotExist) {
		return errors.New("the running kernel cannot start another: it was built without kexec, or /sys is not mounted")
	}
	// A one-way switch: Documentation/admin-guide/sysctl/kernel.rst.
	disabled, err := os.ReadFile(filepath.Join(c.root, "/proc/sys/kernel/kexec_load_disabled"))
	if err == nil && strings.TrimSpace(string(disabled)) == "1" {
		return errors.New("the running kernel forbids it until the next reboot (sysctl kernel.kexec_load_disabled=1)")
	}
	// This directory exists if systemd is the init: sd_booted(3).
	if _, err := os.Stat(filepath.Join(c.root, "/run/systemd/system")); err != nil && !alone {
		return errors.New("this system is not run by systemd, which would stop its services: " +
			"load with -load and reboot the way that your init starts a loaded kernel, or start at once with -force")
	}
	return nil
}

// load makes the running kernel load the image's kernel, with the image as its initramfs. leave says whether to leave a
// record in the booted system.
func (c *cmd) load(ctx context.Context, ref string, r recipe, leave bool) error {
	opt, err := r.options(c)
	if err != nil {
		return err
	}
	if r.ucode {
		if opt.Microcode, err = microcode.Here(os.DirFS(cmp.Or(c.root, "/"))); err != nil {
			c.say("this processor gets no microcode from the image: %v", err)
		}
	}
	b := c.newBoot()
	b.Budget.Copies, b.Root, b.Verity = kexec.Copies(), r.root.form(), r.verity.String()
	began := time.Now()
	stack, tree, err := c.read(ctx, b, ref, r.further, "")
	if err != nil {
		return err
	}
	if leave {
		b.Record = recording(stack, time.Since(began))
	}
	packing := c.packing("packing "+ref, b)
	made, err := b.Convert(ctx, tree, opt)
	packing.end()
	if err != nil {
		return fmt.Errorf("cannot boot %s: %w", ref, err)
	}
	version, size, line := printable.Line(made.Version), units.Bytes(made.Size), made.Cmdline
	if made.Beside > 0 {
		size += fmt.Sprintf(" beside %s of %s", made.Root.Name(), units.Bytes(made.Beside))
	}
	if err := b.Load(ctx, made); err != nil {
		return fmt.Errorf("cannot load the kernel of %s: %w", ref, err)
	}
	if own, err := os.ReadFile(filepath.Join(c.root, "/proc/cmdline")); err == nil {
		if lost := lostConsole(string(own), line); lost != "" {
			c.say("this system has its console on %s, and the container's kernel is not told so: "+
				"add -arg console=%[1]s", lost)
		}
	}
	c.say("kernel %s of %s is loaded, with an initrd of %s and the command line %q", version, ref, size, line)
	return nil
}

// recording returns what makes the record of images that were just read, which took pull.
func recording(stack boot.Stack, pull time.Duration) func() record.Record {
	began := time.Now()
	stage := func(name string, d time.Duration) record.Stage {
		return record.Stage{Name: name, Seconds: float64(d.Round(10*time.Millisecond).Milliseconds()) / 1000}
	}
	return func() record.Record {
		r := record.Record{
			Wyrcan: ownRelease(), By: record.Kexec,
			Stages: []record.Stage{stage("pull", pull), stage("convert", time.Since(began))},
		}
		stack.Describe(&r)
		return r
	}
}

// lostConsole returns the console of a system that was started with the command line own, a serial line for instance,
// if a system started with next would have its console on the screen instead: the last console= is /dev/console
// (Documentation/admin-guide/serial-console.rst).
func lostConsole(own, next string) string {
	last := func(line string) (console string) {
		for _, a := range cmdline.Parse(line) {
			if a.Key == "console" {
				console = a.Value
			}
		}
		return console
	}
	console := last(own)
	if strings.HasPrefix(strings.TrimRight(console, "0123456789")+"0", "tty0") || last(next) != "" {
		return "" // a screen, or the image's maker has chosen a console
	}
	return console
}

// jump starts the loaded kernel.
func (c *cmd) jump() error {
	loaded, err := kexec.Loaded()
	if err != nil {
		return err
	}
	if !loaded {
		return errors.New("kexec: no kernel is loaded: name an IMAGE")
	}
	fmt.Fprintln(c.stderr, "wyrcan: starting it at once")
	return kexec.Jump()
}
