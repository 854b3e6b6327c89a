package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/audit"
	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/compression"
	"gitlab.com/wyrcan/wyrcan/pkg/microcode"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// Exit statuses of check, besides 0 for a bootable image and 2 for a wrong use.
const (
	notBootable = 1
	notExamined = 3
)

// check is "wyrcan check".
func (c *cmd) check(ctx context.Context, args []string) error {
	var r recipe
	f := c.flags("check", "[OPTION...] IMAGE",
		`Tell whether IMAGE is bootable by Wyrcan: which kernel and init it has, how much
memory a machine needs to boot all of it, what of it will be lost, and which
firmware its drivers name that it does not have: hardware may need that, virtual
machines do not. It also warns of what will go wrong in the booted system, and
of what takes memory there without any use.

The exit status is 0 if it is bootable, 1 if it is not, 2 for a wrong use of
this program and 3 if the image could not be read.
`)
	asJSON := f.Bool("json", false, "write one JSON object")
	var s style
	f.BoolVar(&s.verbose, "v", false, "name every driver that lacks firmware, and the files")
	f.BoolVar(&s.explain, "explain", false, "after each warning, print the lines for a Containerfile that mend it")
	r.flags(f)
	r.further.short(f)
	r.machine(f)
	f.registry()
	f.trust()
	rest, err := f.parse(args, 1, false)
	if err != nil {
		return err
	}
	if err := r.further.check("check"); err != nil {
		return err
	}
	opt, err := r.options(c)
	if err != nil {
		return unexamined(err)
	}
	b := c.newBoot()
	b.Target, b.Root, b.Verity = &opt.Room, r.root.form(), r.verity.String()
	opt.InPlace = r.arch.name() == "amd64" // what Wyrcan does there: kexec.CanLeaveImage
	stack, tree, err := c.read(ctx, b, rest[0], r.further, r.arch)
	if err != nil {
		return unexamined(err)
	}
	defer tree.Close()
	m := c.packing("examining "+rest[0], b)
	found, err := examine(ctx, b, stack, tree, opt, m)
	m.end()
	if err != nil {
		return unexamined(fmt.Errorf("cannot examine %s: %w", rest[0], err))
	}
	if *asJSON {
		e := json.NewEncoder(c.stdout)
		e.SetIndent("", "  ")
		err = e.Encode(found)
	} else {
		s.colour = colourful(c.stdout, os.Getenv)
		err = found.print(c.stdout, s)
	}
	if err == nil && !found.Bootable {
		return &status{code: notBootable} // the report says why
	}
	return err
}

// unexamined gives err the exit status for an image that could not be read, unless err has a status already.
func unexamined(err error) error {
	if errors.As(err, new(*status)) {
		return err
	}
	return &status{code: notExamined, err: err}
}

// examine makes the bundle of an image and reports what it finds.
func examine(
	ctx context.Context, b *boot.Boot, stack boot.Stack, tree *rootfs.Tree, opt bundle.Options, m *meter,
) (*report, error) {
	img, layers, stat := stack.Image.Image, stack.Layers(), tree.Stat()
	r := &report{
		Image: img.Name, Digest: img.Digest.String(), Platform: img.Platform.String(),
		Layers: len(layers), Download: stack.Size(), Files: stat.Entries, Unpacked: stat.Bytes,
		Warnings: []audit.Finding{}, Hardware: []audit.Finding{}, asked: b.Root, known: opt.Room.Total != 0,
	}
	if stack.Kernel.Image != nil {
		k := describe(stack.Kernel)
		r.KernelImage = &k
	}
	for _, o := range stack.Overlays {
		r.Overlays = append(r.Overlays, describe(o))
	}
	for i, format := range tree.Formats() {
		switch format {
		case "", compression.Gzip, compression.Zstd:
		default: // this program can read it, but wyrboot cannot
			r.Reason = fmt.Sprintf("%v is compressed with %s, which Wyrcan does not read when it boots a machine: "+
				"compress it with gzip or zstd", layers[i], format)
			return r, nil
		}
	}
	plan, err := b.Inspect(ctx, tree, opt)
	if short(err) {
		return r, err
	}
	if err != nil {
		r.Reason = err.Error()
		return r, ctx.Err()
	}
	defer plan.Close()
	k := plan.Kernel
	r.Kernel, r.Format, r.Version, r.Init = "/"+plan.File, k.Format, k.Version, "/"+plan.Init
	r.Root, r.RootWhy, r.Packing, r.Chosen = string(plan.Root), plan.Why, plan.Packing.String(), plan.Chosen
	r.Kept, r.kept = plan.Kept()
	if err := r.look(ctx, plan, tree, m); err != nil { // before Make, which takes the files' contents away
		return r, err
	}
	forms, err := plan.Forms(ctx)
	if err != nil {
		return r, err
	}
	r.weigh(plan.Needs(forms, plan.Sizes(r.Download, nil)), plan.Root)
	made, err := plan.Make(ctx)
	if short(err) {
		return r, err
	}
	if err != nil {
		r.Reason = err.Error()
		return r, ctx.Err()
	}
	defer made.Close()
	if err := r.signature(made.Kernel); err != nil {
		return r, err
	}
	r.weigh(plan.Needs(forms, plan.Sizes(r.Download, made)), plan.Root)
	r.Cmdline, r.Initrd, r.Beside, r.RootHash = made.Cmdline, made.Size, made.Beside, made.RootHash
	if total := opt.Room.Total; total != 0 && bundle.Usable(r.least(plan.Root)) > total {
		r.Reason = fmt.Sprintf("too little memory: Wyrcan needs %s to boot it, and the machine has less; use a smaller "+
			"image or add memory", units.MiB(r.least(plan.Root)))
		return r, nil
	}
	r.Bootable = true
	return r, nil
}

// weigh notes what each form of the root needs, and the memory of the smallest machine that boots the image.
func (r *report) weigh(needs []bundle.Need, root bundle.Root) {
	r.Forms = nil
	for _, n := range needs {
		f := rootNeed{Root: string(n.Root), Memory: n.Least, Resident: n.Resident, Auto: n.Auto}
		if n.Why != nil {
			f = rootNeed{Root: f.Root, Reason: n.Why.Error()}
		}
		r.Forms = append(r.Forms, f)
	}
	r.Memory = r.least(root)
	if r.asked != bundle.Auto {
		return
	}
	for _, f := range r.Forms {
		if f.Auto != 0 {
			r.Memory = min(r.Memory, f.Memory)
		}
	}
}

// least returns the memory of the smallest machine that boots the image with that root.
func (r *report) least(root bundle.Root) int64 {
	for _, f := range r.Forms {
		if f.Root == string(root) {
			return f.Memory
		}
	}
	return r.Forms[0].Memory // initramfs, which takes what tmpfs does
}

// look counts the microcode, the firmware files and the drivers for the kernel, and finds what is wrong with the image.
func (r *report) look(ctx context.Context, plan *bundle.Plan, tree *rootfs.Tree, m *meter) error {
	line, err := plan.Cmdline(0, 0)
	if err != nil {
		return err
	}
	v, err := audit.Look(ctx, audit.Image{
		Tree: tree, Kernel: plan.File, Version: plan.Kernel.Version, Init: plan.Init, Cmdline: line,
	})
	if err != nil {
		return err
	}
	warn := func(id, text string) {
		r.Warnings = append(r.Warnings, audit.Finding{ID: id, Text: text, Mend: v.Mend(id)})
	}
	for _, w := range plan.Warnings {
		warn(w.ID, w.Text)
	}
	// The microcode is not in the initrd that examine makes: each machine takes its own.
	set, troubles, err := plan.Microcode(ctx, microcode.Wanted{All: true})
	if err != nil {
		return err
	}
	r.Ucode = set.Size()
	for _, t := range troubles {
		warn(bundle.Microcode, t)
	}
	if err := r.count(ctx, tree, m, warn); err != nil {
		return err
	}
	if f := v.Firmware(r.drivers.withoutAny()); f != nil {
		r.Hardware = append(r.Hardware, *f)
	}
	found, err := v.Findings()
	r.Warnings = append(r.Warnings, found...)
	return err
}

// count counts the firmware files and the drivers for the kernel, and warns if there are no drivers or damaged ones.
func (r *report) count(ctx context.Context, tree *rootfs.Tree, m *meter, warn func(id, text string)) error {
	if r.Version == "" {
		return nil
	}
	var err error
	if r.drivers, err = findDrivers(ctx, tree, r.Version, m); err != nil {
		return err
	}
	r.Modules, r.Firmware, r.Missing = r.drivers.modules, r.drivers.firmware, r.drivers.missing
	if dir := "/lib/modules/" + r.Version; r.Modules == 0 {
		if _, err := tree.Lookup(dir); err == nil { // else there is a warning already
			warn(audit.EmptyModules, fmt.Sprintf("there are no modules in %s, "+
				"so only drivers that are built into the kernel will work", dir))
		}
	}
	const most = 3
	for _, text := range r.drivers.damaged[:min(most, len(r.drivers.damaged))] {
		warn(audit.DamagedModules, text)
	}
	if n := len(r.drivers.damaged) - most; n > 0 {
		warn(audit.DamagedModules, fmt.Sprintf("%s damaged", plural(n, "more driver")))
	}
	return nil
}

// under returns the prefix that the paths of everything in a directory have, with all links to the directory followed.
// If the directory does not exist, it returns a prefix that no path has.
func under(tree *rootfs.Tree, dir string) string {
	n, err := tree.Lookup(dir)
	if err != nil {
		return "\x00"
	}
	return n.Path + "/"
}
