package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/kexec"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// kexec is "wyrcan kexec".
func (c *cmd) kexec(ctx context.Context, args []string) error {
	var r recipe
	f := c.flags("kexec", "[OPTION...] IMAGE", `Reboot this machine into IMAGE: load its kernel, with everything else of it as
the initramfs, have systemd stop all services, and start it. Needs root.
`)
	load := f.Bool("load", false, "only load: systemctl kexec, later, starts it")
	force := f.Bool("force", false, "start it at once, without stopping any service; file systems are synced, no more")
	r.flags(f)
	rest, err := f.parse(args, 1, false)
	if err != nil {
		return err
	}
	if *load && *force {
		return usage("kexec: -load and -force exclude each other")
	}
	opt, err := r.options(c)
	if err != nil {
		return err
	}
	if opt.Memory, err = memory.Read("/proc/meminfo"); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return usage("kexec: loading a kernel needs root")
	}
	b, err := c.bundle(ctx, rest[0], opt)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := kexec.Load(b.Kernel, b.Initrd, b.Cmdline); err != nil {
		return fmt.Errorf("cannot load the kernel of %s: %w", rest[0], err)
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := kexec.Wait(wait); err != nil {
		return fmt.Errorf("cannot load the kernel of %s: %w", rest[0], err)
	}
	fmt.Fprintf(c.stderr, "wyrcan: kernel %s of %s is loaded, command line %q\n", b.Version, rest[0], b.Cmdline)
	switch {
	case *load:
		return nil
	case *force:
		return kexec.Jump()
	}
	systemctl := exec.CommandContext(ctx, "systemctl", "kexec")
	systemctl.Stdout, systemctl.Stderr = c.stderr, c.stderr
	if err := systemctl.Run(); err != nil {
		return fmt.Errorf("cannot have systemd stop the services: %w; the kernel stays loaded, wyrcan kexec -force starts one without", err)
	}
	return nil
}

// bundle makes the bundle of an image, in memory.
func (c *cmd) bundle(ctx context.Context, ref string, opt bundle.Options) (*bundle.Bundle, error) {
	_, tree, err := c.tree(ctx, ref, "")
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	plan, err := bundle.Inspect(ctx, tree, opt)
	if err != nil {
		return nil, fmt.Errorf("cannot boot %s: %w", ref, err)
	}
	defer plan.Close()
	for _, w := range plan.Warnings {
		fmt.Fprintf(c.stderr, "wyrcan: %s\n", w)
	}
	b, err := plan.Make(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot boot %s: %w", ref, err)
	}
	return b, nil
}
