package main

import (
	"context"
	"errors"
	"fmt"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// A further is the error of an image besides that of wyr.img.
type further struct {
	what     string // "kernel image", "overlay"
	ref      string
	argument string // that names it
	err      error
}

func (f *further) Error() string { return fmt.Sprintf("the %s %s: %v", f.what, f.ref, f.err) }

// Unwrap returns the cause.
func (f *further) Unwrap() error { return f.err }

// resolve finds all images that this machine boots as one. It says which they are when it has all: while one is
// missing, it is called again and again.
func (c *cmd) resolve(ctx context.Context, source *image.Source) (s boot.Stack, err error) {
	if n := len(c.config.Overlays); n > boot.MaxOverlays {
		return s, fmt.Errorf("wyr.overlay names %d images, and it may name %d", n, boot.MaxOverlays)
	}
	find := func(what, ref, argument string) (boot.Part, error) {
		img, err := source.Resolve(ctx, ref)
		if err != nil && what != "image" {
			err = &further{what, ref, argument, err}
		}
		return boot.Part{Image: img, Asked: ref}, err
	}
	if s.Image, err = find("image", c.config.Image, "wyr.img"); err != nil {
		return s, err
	}
	if ref := c.config.KernelImage(); ref != "" {
		if s.Kernel, err = find("kernel image", ref, "wyr.kernel"); err != nil {
			return s, err
		}
	}
	for _, ref := range c.config.Overlays {
		o, err := find("overlay", ref, "wyr.overlay")
		if err != nil {
			return s, err
		}
		s.Overlays = append(s.Overlays, o)
	}
	c.tellImage("image", s.Image.Image)
	if s.Kernel.Image != nil {
		c.tellImage("kernel image", s.Kernel.Image)
	}
	for _, o := range s.Overlays {
		c.tellImage("overlay", o.Image)
	}
	return s, nil
}

// tellImage says which image was found.
func (c *cmd) tellImage(what string, img *image.Image) {
	layers := "1 layer"
	if n := len(img.Layers); n != 1 {
		layers = fmt.Sprintf("%d layers", n)
	}
	c.sayf("%s %s, %s, %s in %s", what, img.Name, img.Digest, units.Bytes(img.Size()), layers)
}

// origin returns the argument that names the registry that an error is about.
func origin(err error) string {
	var f *further
	if errors.As(err, &f) {
		return f.argument
	}
	return "wyr.img"
}
