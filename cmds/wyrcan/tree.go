package main

import (
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// tree finds an image for an architecture ("" is this machine's) and reads its layers into memory, and onto the disk if
// to is not nil.
func (c *cmd) tree(ctx context.Context, ref string, a arch, to disk) (*image.Image, *rootfs.Tree, error) {
	b := c.newBoot()
	if to != nil {
		b.Overflow, b.Free = to.file, to.free
	}
	s, tree, err := c.read(ctx, b, ref, further{}, a)
	return s.Image.Image, tree, err
}

// packing returns a meter that shows how much of an initrd b has made.
func (c *cmd) packing(what string, b *boot.Boot) *meter {
	m := c.meter(what, 0)
	b.Grown = func() { m.add(1 << 20) }
	return m
}

// A recipe has the options of the commands that make a bundle.
type recipe struct {
	args    list
	root    rootForm
	verity  rootCheck
	wyrinit string
	further further
	keep    bool // the kernel's file stays in the root
	ucode   bool // microcode of the image goes first
	arch    arch // of the machine that will boot
	memory  size // 0 if unknown
}

func (r *recipe) flags(f *flagSet) {
	f.Var(&r.args, "arg", "pass `ARG` to the container's kernel; may be repeated")
	r.root = rootForm(bundle.Auto)
	r.root.flag(f)
	r.verity.flag(f)
	f.StringVar(&r.wyrinit, "wyrinit", "",
		"use `FILE` as wyrinit, the container's first process (default: the one in this program)")
	r.further.flags(f)
	f.BoolVar(&r.keep, "keep-kernel", false,
		"leave the kernel's file in the root, as crashkernel= among the kernel's arguments does, for kdump")
}

// rootForm is an option with a value of wyr.root.
type rootForm bundle.Root

// flag adds the option.
func (r *rootForm) flag(f *flagSet) {
	f.Var(r, "root",
		"what the booted root is, a `FORM`: tmpfs, files unpacked into memory; squashfs, an image of them that stays "+
			"compressed there; erofs, one that is not compressed and is used where kexec leaves it; auto, tmpfs where the "+
			"memory is plenty and else squashfs; initramfs, as tmpfs but without wyrinit: no extended attributes, no "+
			"pivot_root")
}

func (r *rootForm) form() bundle.Root { return bundle.Root(*r) }
func (r *rootForm) String() string    { return string(*r) }

// Set implements flag.Value. "" is the default.
func (r *rootForm) Set(text string) error {
	if text != "" && !slices.Contains(config.Roots, text) {
		return fmt.Errorf("want %s", strings.Join(config.Roots, ", "))
	}
	*r = rootForm(cmp.Or(text, string(bundle.Auto)))
	return nil
}

// machine adds the options that describe the machine that will boot, if it is not this one.
func (r *recipe) machine(f *flagSet) {
	r.arch = here
	f.Var(&r.arch, "arch", "for a machine of this `ARCHITECTURE`: amd64 or arm64")
	f.Var(&r.memory, "m", "for a machine with memory of this `SIZE`: 512M, 4G; a number alone is MiB, as for QEMU")
}

// options returns the options of a bundle.
func (r *recipe) options(c *cmd) (bundle.Options, error) {
	opt := bundle.Options{Args: r.args, Arch: r.arch.name(), KeepKernel: r.keep}
	r.further.in(&opt)
	opt.Room.Total = bundle.Usable(int64(r.memory))
	opt.Room.Available = opt.Room.Total
	want, ok := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[cmp.Or(r.arch, here).name()]
	if !ok {
		return opt, usage("there are no bootable containers for -arch %s: want amd64 or arm64", r.arch)
	}
	if r.root.form() == bundle.Initramfs {
		return opt, nil
	}
	if opt.Wyrinit = embeddedWyrinit(cmp.Or(r.arch, here).name()); r.wyrinit == "" && opt.Wyrinit != nil {
		return opt, nil
	}
	file, err := c.artefact(r.wyrinit, "wyrinit", r.arch)
	if err != nil {
		return opt, err
	}
	if opt.Wyrinit, err = os.ReadFile(file); err != nil {
		return opt, err
	}
	// A program that the container's kernel cannot run would cause a kernel panic.
	program, err := elf.NewFile(bytes.NewReader(opt.Wyrinit))
	if err == nil && program.Machine != want {
		return opt,
			fmt.Errorf("%s is a program for another architecture (%v): build it with make out/%s/wyrinit, or name "+
				"another with -wyrinit", file, program.Machine, r.arch.name())
	}
	return opt, nil
}
