package main

import (
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"fmt"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
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
	root    string
	wyrinit string
	further further
	keep    bool // the kernel's file stays in the root
	ucode   bool // microcode of the image goes first
	arch    arch // of the machine that will boot
	memory  size // 0 if unknown
}

func (r *recipe) flags(f *flagSet) {
	f.Var(&r.args, "arg", "pass `ARG` to the container's kernel; may be repeated")
	f.StringVar(&r.root, "root", "",
		"what the booted root is, a `FORM`: tmpfs, files unpacked into memory (the default); squashfs, an image of "+
			"them that stays compressed there; erofs, an image that is not compressed and is used where kexec leaves it; "+
			"initramfs, as tmpfs but without wyrinit: no extended attributes, no pivot_root")
	f.StringVar(&r.wyrinit, "wyrinit", "",
		"use `FILE` as wyrinit, the container's first process (default: the one in this program)")
	r.further.flags(f)
	f.BoolVar(&r.keep, "keep-kernel", false,
		"leave the kernel's file in the root, as crashkernel= among the kernel's arguments does, for kdump")
}

// machine adds the options that describe the machine that will boot, if it is not this one.
func (r *recipe) machine(f *flagSet) {
	r.arch = here
	f.Var(&r.arch, "arch", "for a machine of this `ARCHITECTURE`: amd64 or arm64")
	f.Var(&r.memory, "m", "for a machine with memory of this `SIZE`: 512M, 4G; a number alone is MiB, as for QEMU")
}

// found returns how much of a machine's memory its kernel can use: the kernel itself, its page tables and the firmware
// take the rest.
func found(machine int64) int64 { return machine / 16 * 15 }

// machineWith returns the memory of the smallest machine, in whole MiB, whose kernel can use that much.
func machineWith(memory int64) int64 { return ((memory+14)/15*16 + 1<<20 - 1) &^ (1<<20 - 1) }

// options returns the options of a bundle.
func (r *recipe) options(c *cmd) (bundle.Options, error) {
	opt := bundle.Options{Args: r.args, Arch: r.arch.name(), KeepKernel: r.keep}
	r.further.in(&opt)
	opt.Room.Total = found(int64(r.memory))
	opt.Room.Available = opt.Room.Total
	want, ok := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[cmp.Or(r.arch, here).name()]
	if !ok {
		return opt, usage("there are no bootable containers for -arch %s: want amd64 or arm64", r.arch)
	}
	switch bundle.Root(r.root) {
	case bundle.Initramfs:
		return opt, nil
	case "", bundle.Tmpfs, bundle.SquashFS, bundle.EROFS:
	default:
		return opt, usage("-root is tmpfs, squashfs, erofs or initramfs, not %q", r.root)
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
