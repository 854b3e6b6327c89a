package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/compression"
	"gitlab.com/wyrcan/wyrcan/pkg/microcode"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// report is what check finds out about an image.
type report struct {
	Image    string   `json:"image"`
	Digest   string   `json:"digest"`
	Platform string   `json:"platform"`
	Layers   int      `json:"layers"`
	Download int64    `json:"downloadBytes"`
	Files    int      `json:"files"`
	Unpacked int64    `json:"unpackedBytes"`
	Bootable bool     `json:"bootable"`
	Reason   string   `json:"reason,omitempty"` // why it is not
	Kernel   string   `json:"kernel,omitempty"`
	Format   string   `json:"kernelFormat,omitempty"`
	Version  string   `json:"kernelVersion,omitempty"`
	Signed   bool     `json:"kernelSigned"`           // with a signature that fits it
	Signer   string   `json:"kernelSigner,omitempty"` // as the signature says
	Modules  int      `json:"modules"`                // drivers for that kernel
	Firmware int      `json:"firmware"`               // files
	Missing  []driver `json:"firmwareMissing,omitempty"`
	Kept     int64    `json:"kernelKeptBytes,omitempty"` // of memory, if the kernel's file stays in the root
	Init     string   `json:"init,omitempty"`
	Chosen   string   `json:"chosen,omitempty"` // why this kernel and this init
	Cmdline  string   `json:"cmdline"`
	Ucode    int64    `json:"microcodeBytes,omitempty"` // for all processors; a machine takes that of its own
	Initrd   int64    `json:"initrdBytes,omitempty"`
	Root     string   `json:"root,omitempty"`
	Packing  string   `json:"initrdPacking,omitempty"`
	Memory   int64    `json:"memoryBytes,omitempty"` // of the smallest machine that boots the whole image
	Warnings []string `json:"warnings,omitempty"`

	KernelImage *another  `json:"kernelImage,omitempty"`
	Overlays    []another `json:"overlays,omitempty"`

	drivers *driverSet
	signed  string // about the kernel's signature, for people
	kept    string // why the kernel's file stays
}

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
machines do not.

The exit status is 0 if it is bootable, 1 if it is not, 2 for a wrong use of
this program and 3 if the image could not be read.
`)
	asJSON := f.Bool("json", false, "write one JSON object")
	verbose := f.Bool("v", false, "name every driver that lacks firmware, and the files")
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
	b.Target, b.Root = &opt.Room, bundle.Root(r.root)
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
		err = found.print(c.stdout, *verbose)
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
	r.Root, r.Packing = string(plan.Root), plan.Packing.String()
	r.Warnings, r.Chosen = plan.Warnings, plan.Chosen
	r.Kept, r.kept = plan.Kept()
	if err := r.countMicrocode(ctx, plan); err != nil {
		return r, err
	}
	if err := r.count(ctx, tree, m); err != nil { // before Make, which takes the files' contents away
		return r, err
	}
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
	r.Bootable, r.Cmdline, r.Initrd, r.Memory = true, made.Cmdline, made.Size, machineWith(made.Memory)
	return r, nil
}

// countMicrocode counts the microcode. It is not in the initrd that examine makes: each machine takes its own.
func (r *report) countMicrocode(ctx context.Context, plan *bundle.Plan) error {
	set, troubles, err := plan.Microcode(ctx, microcode.Wanted{All: true})
	r.Ucode, r.Warnings = set.Size(), append(r.Warnings, troubles...)
	return err
}

// count counts the firmware files and the drivers for the kernel, and warns if there are no drivers or damaged ones.
func (r *report) count(ctx context.Context, tree *rootfs.Tree, m *meter) error {
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
			r.Warnings = append(r.Warnings, fmt.Sprintf("there are no modules in %s, "+
				"so only drivers that are built into the kernel will work", dir))
		}
	}
	const most = 3
	r.Warnings = append(r.Warnings, r.drivers.damaged[:min(most, len(r.drivers.damaged))]...)
	if n := len(r.drivers.damaged) - most; n > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s damaged", plural(n, "more driver")))
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

// print writes the report for people.
func (r *report) print(w io.Writer, verbose bool) error {
	verdict := "yes"
	if !r.Bootable {
		verdict = "no: " + strings.TrimPrefix(r.Reason, "the image is not bootable: ")
	}
	rows := [][2]string{
		{"image", r.Image},
		{"digest", r.Digest},
		{"platform", r.Platform},
	}
	if k := r.KernelImage; k != nil {
		rows = append(rows, [2]string{"kernel image", k.Image + ", " + k.Digest})
	}
	for _, o := range r.Overlays {
		rows = append(rows, [2]string{"overlay", o.Image + ", " + o.Digest})
	}
	rows = append(rows, [][2]string{
		{"layers", fmt.Sprintf("%d, %.1f MB as stored", r.Layers, float64(r.Download)/1e6)},
		{"files", fmt.Sprintf("%d, %.1f MB unpacked", r.Files, float64(r.Unpacked)/1e6)},
	}...)
	if r.Kernel != "" {
		rows = append(rows,
			[2]string{"kernel", fmt.Sprintf("%s (%s, %s)", r.Kernel, r.Version, r.Format)},
			[2]string{"init", r.Init})
	}
	if r.signed != "" {
		rows = append(rows, [2]string{"signature", r.signed})
	}
	if r.Chosen != "" {
		rows = append(rows, [2]string{"chosen", r.Chosen})
	}
	if r.Kept > 0 {
		rows = append(rows, [2]string{"kernel file", fmt.Sprintf("stays %s: %s of memory", r.kept, units.Bytes(r.Kept))})
	}
	if r.Ucode > 0 {
		rows = append(rows, [2]string{"microcode", fmt.Sprintf("%s for all processors; a machine takes that of its own",
			units.Bytes(r.Ucode))})
	}
	if r.drivers != nil {
		found := plural(r.Modules, "module") + ", " + plural(r.Firmware, "firmware file")
		rows = append(rows, [2]string{"drivers", found})
		for _, row := range r.drivers.rows(verbose) {
			rows = append(rows, [2]string{"firmware", row})
		}
	}
	if r.Bootable {
		rows = append(rows,
			[2]string{"command line", cmp.Or(r.Cmdline, "(empty)")},
			[2]string{"root", r.Root},
			[2]string{"initrd", fmt.Sprintf("%.1f MB (%s)", float64(r.Initrd)/1e6, r.Packing)},
			[2]string{"memory", fmt.Sprintf("%d MiB at least", r.Memory>>20)},
		)
	}
	for _, warning := range r.Warnings {
		rows = append(rows, [2]string{"warning", warning})
	}
	var errs []error
	for _, row := range append(rows, [2]string{"bootable", verdict}) {
		_, err := fmt.Fprintln(w, printable.Clip(fmt.Sprintf("%-14s%s", row[0], row[1]), printable.Long))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
