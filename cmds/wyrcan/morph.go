package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/u-root/uio/uio"
)

// morph is "wyrcan morph".
func (c *cmd) morph(ctx context.Context, args []string) error {
	var r recipe
	f := c.flags("morph", "[OPTION...] IMAGE -kernel FILE -initrd FILE [-cmdline FILE]",
		`Make of IMAGE what Wyrcan would boot: its kernel, everything else of it as an
initramfs, and the command line, for servers and boot loaders that need files.
After a failure the files are as they were. A FILE of - is standard output.

With -m the command line is the one for a machine with that much memory, and an
image that such a machine cannot boot is refused, as Wyrcan does.

Microcode in the image's /lib/firmware is an archive of its own at the beginning
of the initramfs, not compressed, where the kernel looks for it.
`)
	kernel := f.String("kernel", "", "write the kernel to `FILE`")
	initrd := f.String("initrd", "", "write the initramfs to `FILE`")
	cmdline := f.String("cmdline", "-", "write the command line to `FILE`")
	r.flags(f)
	r.machine(f)
	f.BoolVar(&r.ucode, "microcode", true,
		"put the microcode that the image has, for all processors, first in the initramfs")
	f.registry()
	f.trust()
	rest, err := f.parse(args, 1, false)
	if err != nil {
		return err
	}
	if *kernel == "" || *initrd == "" {
		return usage("morph: -kernel and -initrd say where to write")
	}
	if err := r.further.check("morph"); err != nil {
		return err
	}
	if *kernel == "-" && *initrd == "-" || *cmdline == "-" && (*kernel == "-" || *initrd == "-") {
		return usage("morph: one of kernel, initrd and command line can go to standard output, not several: " +
			"name the others' files")
	}
	opt, err := r.options(c)
	if err != nil {
		return err
	}
	opt.Single = true // so that lsinitramfs and cpio can read it
	opt.Microcode.All = r.ucode
	b := c.newBoot()
	b.Target, b.Root, b.Verity = &opt.Room, r.root.form(), r.verity.String()
	_, tree, err := c.read(ctx, b, rest[0], r.further, r.arch)
	if err != nil {
		return err
	}
	packing := c.packing("packing "+rest[0], b)
	made, err := b.Convert(ctx, tree, opt)
	packing.end()
	if err != nil {
		return fmt.Errorf("cannot morph %s: %w", rest[0], err)
	}
	defer made.Close()
	files := outputs{stdout: c.stdout}
	defer files.clear()
	for _, f := range []struct {
		name    string
		content io.Reader
	}{
		{*kernel, uio.Reader(made.Kernel)},
		{*initrd, uio.Reader(made.Initrd)},
		{*cmdline, strings.NewReader(made.Cmdline + "\n")},
	} {
		if err := files.write(f.name, f.content); err != nil {
			return fmt.Errorf("cannot morph %s: %w", rest[0], err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return files.keep()
}
