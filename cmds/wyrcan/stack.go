package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// further is the options for images besides IMAGE, and for what is started of it: wyr.kernel, wyr.init and wyr.overlay.
type further struct {
	kernel   string
	init     string
	overlays list
}

// imageKernel is the name of the option that is wyr.kernel. Some commands have the shorter name kernel for it as well;
// run and morph have that for another thing.
const imageKernel = "image-kernel"

func (f *further) flags(set *flagSet) {
	set.StringVar(&f.kernel, imageKernel, "", "the kernel: a path in IMAGE, `/PATH`, "+
		"or another IMAGE that brings it with its modules")
	set.StringVar(&f.init, "init", "", "the init: a `/PATH` in IMAGE")
	set.Var(&f.overlays, "overlay", "lay this `IMAGE` on top; may be repeated")
}

// short adds the option kernel.
func (f *further) short(set *flagSet) {
	set.StringVar(&f.kernel, "kernel", "", "short for -"+imageKernel+" `/PATH` or IMAGE")
}

// check says what is wrong with the options.
func (f *further) check(command string) error {
	for name, path := range map[string]string{imageKernel: f.argument().KernelPath(), "init": f.init} {
		if path != "" && (path[0] != '/' || strings.ContainsAny(path, " \t\n\"")) {
			return usage("%s: -%s is to be a path in IMAGE, without blanks, and not %q", command, name, path)
		}
	}
	if len(f.overlays) > boot.MaxOverlays {
		return usage("%s: there are %d overlays, and IMAGE may have %d", command, len(f.overlays), boot.MaxOverlays)
	}
	return nil
}

// argument returns the kernel as wyr.kernel says it, which has the same values: a path in the image, the name of an
// image that brings the kernel, or keep. An image in a directory of this machine is oci:/DIR.
func (f *further) argument() config.Config { return config.Config{Kernel: f.kernel} }

// in sets the options of a bundle.
func (f *further) in(opt *bundle.Options) {
	opt.Kernel, opt.Init = f.argument().KernelPath(), f.init
	opt.KeepKernel = opt.KeepKernel || f.argument().KeepsKernel()
}

// wanted is one image that a command asks for: its reference, what it is, and the argument by which Wyrcan is told.
type wanted struct{ ref, what, argument string }

// all returns the images: IMAGE comes first.
func (f *further) all(ref string) []wanted {
	list := []wanted{{ref, "", "wyr.img"}}
	if k := f.argument().KernelImage(); k != "" {
		list = append(list, wanted{k, "the kernel image ", "wyr.kernel"})
	}
	for _, o := range f.overlays {
		list = append(list, wanted{o, "the overlay ", "wyr.overlay"})
	}
	return list
}

// about has the options for a registry be for that of IMAGE or, if IMAGE is on this machine's disk, of the first one
// that is not. asked returns the name by which this program asks for an image.
func (c *cmd) about(list []wanted, asked func(ref string) string) {
	for _, w := range list {
		if !local(w.ref) {
			c.access.isFor(asked(w.ref))
			return
		}
	}
}

// read finds an image for an architecture, and those under and on it, and reads their layers, if the options -policy
// and -key accept each of them.
func (c *cmd) read(
	ctx context.Context, b *boot.Boot, ref string, f further, a arch,
) (s boot.Stack, _ *rootfs.Tree, err error) {
	if b.Policies, err = c.trust.load(); err != nil {
		return s, nil, err
	}
	var m *meter
	all := f.all(ref)
	c.about(all, func(ref string) string { return ref })
	for _, w := range all {
		src := c.source(w.ref, a.platform())
		src.Progress = func(_ *image.Layer, n int) { m.add(n) }
		at, done, err := c.bring(ctx, w.ref)
		if err != nil {
			return s, nil, err
		}
		defer done() // the layers are in memory then
		img, err := find(ctx, src, w.what+w.ref, w.ref, at)
		if err != nil {
			return s, nil, err
		}
		switch part := (boot.Part{Image: img, Asked: w.ref}); w.argument {
		case "wyr.img":
			s.Image = part
		case "wyr.kernel":
			s.Kernel = part
		default:
			s.Overlays = append(s.Overlays, part)
		}
	}
	m = c.meter("reading "+ref, s.Size())
	defer m.end()
	b.Again = m.more
	tree, err := b.ReadStack(ctx, s)
	if policy.Refused(err) {
		return s, nil, refusal(ref, err)
	}
	if err != nil {
		return s, nil, fmt.Errorf("cannot read %s: %w", ref, advise(err))
	}
	return s, tree, nil
}

// another is an image besides IMAGE in a report.
type another struct {
	Image  string `json:"image"`
	Digest string `json:"digest"`
}

func describe(p boot.Part) another {
	return another{cmp.Or(p.Image.Name, p.Asked), p.Image.Digest.String()}
}
