package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
)

// morph is "wyrcan morph".
func (c *cmd) morph(ctx context.Context, args []string) error {
	var r recipe
	f := c.flags("morph", "[OPTION...] IMAGE -kernel FILE -initrd FILE [-cmdline FILE]", `Make of IMAGE what Wyrcan would boot: its kernel, everything else of it as an
initramfs, and the command line, for servers and boot loaders that want files.
After a failure the files are as they were.

With -m the command line holds what a machine with that memory needs to boot all
of the image, and an image that it cannot boot is refused, as Wyrcan does.
`)
	kernel := f.String("kernel", "", "write the kernel to `FILE`")
	initrd := f.String("initrd", "", "write the initramfs to `FILE`")
	cmdline := f.String("cmdline", "", "write the command line to `FILE` (default standard output)")
	r.flags(f)
	r.machine(f)
	rest, err := f.parse(args, 1, false)
	if err != nil {
		return err
	}
	if *kernel == "" || *initrd == "" {
		return usage("morph: -kernel and -initrd say where to write")
	}
	opt, err := r.options(c)
	if err != nil {
		return err
	}
	opt.Single = true // for lsinitramfs, cpio and whoever wants to look
	_, tree, err := c.tree(ctx, rest[0], r.arch)
	if err != nil {
		return err
	}
	defer tree.Close()
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
	var files outputs
	defer files.clear()
	err = errors.Join(
		files.write(*kernel, io.NewSectionReader(b.Kernel, 0, 1<<62)),
		files.write(*initrd, io.NewSectionReader(b.Initrd, 0, 1<<62)),
	)
	if *cmdline != "" {
		err = errors.Join(err, files.write(*cmdline, strings.NewReader(b.Cmdline+"\n")))
	}
	if err != nil {
		return fmt.Errorf("cannot morph %s: %w", rest[0], err)
	}
	if err := files.keep(); err != nil {
		return err
	}
	if *cmdline == "" {
		fmt.Fprintln(c.stdout, b.Cmdline)
	}
	return nil
}

// outputs are files of which all are written or none.
type outputs []*os.File

// write writes a file under another name for now.
func (o *outputs) write(name string, content io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".")
	if err != nil {
		return err
	}
	*o = append(*o, f)
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	return f.Chmod(0o644)
}

// final is the name of a file that write wrote: what CreateTemp added comes off.
func final(f *os.File) string {
	dir, base := filepath.Split(f.Name())
	base = base[1:]
	return dir + base[:len(base)-len(filepath.Ext(base))]
}

// keep gives all files their names.
func (o *outputs) keep() error {
	for _, f := range *o {
		if err := f.Sync(); err != nil {
			return fmt.Errorf("cannot write %s: %w", final(f), err)
		}
	}
	for _, f := range *o {
		if err := os.Rename(f.Name(), final(f)); err != nil {
			return err
		}
	}
	return nil
}

// clear removes the files that were not kept.
func (o *outputs) clear() {
	for _, f := range *o {
		f.Close()
		os.Remove(f.Name())
	}
}
