package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
)

// morph is "wyrcan morph".
func (c *cmd) morph(ctx context.Context, args []string) error {
	var r recipe
	f := c.flags("morph", "[OPTION...] IMAGE -kernel FILE -initrd FILE [-cmdline FILE]", `Make of IMAGE what Wyrcan would boot: its kernel, everything else of it as an
initramfs, and the command line, for servers and boot loaders that want files.
After a failure the files are as they were. A FILE of - is standard output.

With -m the command line holds what a machine with that memory needs to boot all
of the image, and an image that it cannot boot is refused, as Wyrcan does.
`)
	kernel := f.String("kernel", "", "write the kernel to `FILE`")
	initrd := f.String("initrd", "", "write the initramfs to `FILE`")
	cmdline := f.String("cmdline", "-", "write the command line to `FILE`")
	r.flags(f)
	r.machine(f)
	f.registry()
	rest, err := f.parse(args, 1, false)
	if err != nil {
		return err
	}
	if *kernel == "" || *initrd == "" {
		return usage("morph: -kernel and -initrd say where to write")
	}
	if *kernel == "-" && *initrd == "-" || *cmdline == "-" && (*kernel == "-" || *initrd == "-") {
		return usage("morph: one of kernel, initrd and command line can go to standard output, not several: name the others' files")
	}
	opt, err := r.options(c)
	if err != nil {
		return err
	}
	opt.Grow = c.enough
	opt.Single = true // for lsinitramfs, cpio and whoever wants to look
	_, tree, err := c.tree(ctx, rest[0], r.arch, nil)
	if err != nil {
		return err
	}
	defer tree.Close()
	packing := c.packing("packing "+rest[0], &opt)
	defer packing.end()
	plan, err := bundle.Inspect(ctx, tree, opt)
	if err != nil {
		return fmt.Errorf("cannot morph %s: %w", rest[0], err)
	}
	defer plan.Close()
	for _, w := range plan.Warnings {
		fmt.Fprintf(c.stderr, "wyrcan: %s\n", w)
	}
	b, err := plan.Make(ctx)
	if err != nil {
		return fmt.Errorf("cannot morph %s: %w", rest[0], err)
	}
	defer b.Close()
	packing.end()
	files := outputs{stdout: c.stdout}
	defer files.clear()
	for _, f := range []struct {
		name    string
		content io.Reader
	}{
		{*kernel, io.NewSectionReader(b.Kernel, 0, 1<<62)},
		{*initrd, io.NewSectionReader(b.Initrd, 0, 1<<62)},
		{*cmdline, strings.NewReader(b.Cmdline + "\n")},
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
