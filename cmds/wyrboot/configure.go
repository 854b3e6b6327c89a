package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
)

// arguments takes in the arguments of this program: flags, and arguments of Wyrcan as on the kernel's command line, in
// any order. u-root's init makes them of uroot.uinitargs= and /etc/uinit.flags.
func (c *cmd) arguments(args []string) error {
	flags := flag.NewFlagSet("wyrboot", flag.ContinueOnError)
	flags.SetOutput(c.console)
	flags.StringVar(&c.cmdline, "cmdline", "/proc/cmdline", "read the arguments from `FILE`")
	for {
		if err := flags.Parse(args); err != nil {
			return fmt.Errorf("cannot read the arguments %q (uroot.uinitargs=, /etc/uinit.flags): %w", args, err)
		}
		if flags.NArg() == 0 {
			return nil
		}
		c.words = append(c.words, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// configure finds out what to boot, as far as that is known without the network. It also does what wyr.efi= asks for,
// except for writing the configuration.
func (c *cmd) configure(ctx context.Context) error {
	line, err := os.ReadFile(c.cmdline)
	if err != nil {
		return fmt.Errorf("cannot read the kernel's command line: %w", err)
	}
	args := cmdline.Parse(string(line))
	if words := c.wordArguments(); len(words) > 0 {
		args = append(words, config.WithoutFile(args)...) // of two values the last one counts: that of the command line
	}
	c.found, c.missing = config.Load(args, c.sources(ctx)...)
	c.config = c.found.Config
	c.tell(c.found)
	if c.config.EFI != "" && c.askEFI(ctx) {
		c.reboot()
	}
	return nil
}

// tell says what of a configuration is ignored, and where the rest comes from.
func (c *cmd) tell(found config.Found) {
	for _, w := range found.Warnings {
		c.sayf("%s", w)
	}
	if found.Named() {
		c.sayf("configuration: %s", found.Told())
	}
}

// wordArguments returns the arguments of this program as arguments of a command line.
func (c *cmd) wordArguments() []cmdline.Arg {
	var args []cmdline.Arg
	for _, w := range c.words {
		key, value, ok := strings.Cut(w, "=")
		if !strings.HasPrefix(key, "wyr.") && !strings.HasPrefix(key, "wyrcan.") {
			c.sayf("the argument %q of wyrboot is ignored: it is none of Wyrcan's", w)
			continue
		}
		args = append(args, cmdline.Arg{Key: key, Value: value, HasValue: ok})
	}
	return args
}

// sources returns the places that may name an image if the command line does not, in the order of their strength.
func (c *cmd) sources(ctx context.Context) []config.Source {
	// No device asks for the driver of the VPD. Only a machine with coreboot has one.
	if tables, err := fs.Glob(c.root, "sys/bus/coreboot/devices/*"); err == nil && len(tables) > 0 && c.loader != nil {
		_ = c.loader.Add(ctx, "vpd-sysfs") // a kernel for LinuxBoot may have it built in, or may not have it
	}
	list := []config.Source{config.NVRAM(c.store)}
	list = append(list, config.Credentials(c.system)...)
	list = append(list, config.VPD(c.vpd.GetAll)...)
	if c.guarded() {
		for i, s := range list {
			list[i] = s.NoShell("the initrd has a policy, so only the command line opens a shell")
		}
	}
	return list
}

// guarded reports whether a policy came with the initrd. Who built that may have signed it, with its command line: a
// credential or the VPD then must not open a shell, in which no policy counts.
func (c *cmd) guarded() bool {
	_, err := fs.Stat(c.root, strings.TrimPrefix(policy.File, "/"))
	return builtinPolicy != "" || !errors.Is(err, fs.ErrNotExist)
}
