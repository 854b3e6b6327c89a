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

// resolve finds all images that this machine boots as one, and says which they are.
func (c *cmd) resolve(ctx context.Context, source *image.Source) (s boot.Stack, err error) {
	if n := len(c.config.Overlays); n > boot.MaxOverlays {
		return s, fmt.Errorf("wyr.overlay names %d images, and it may name %d", n, boot.MaxOverlays)
	}
	if s.Image, err = c.find(ctx, source, "image", c.config.Image); err != nil {
		return s, err
	}
	if ref := c.config.KernelImage(); ref != "" {
		if s.Kernel, err = c.find(ctx, source, "kernel image", ref); err != nil {
			return s, &further{"kernel image", ref, "wyr.kernel", err}
		}
	}
	for _, ref := range c.config.Overlays {
		o, err := c.find(ctx, source, "overlay", ref)
		if err != nil {
			return s, &further{"overlay", ref, "wyr.overlay", err}
		}
		s.Overlays = append(s.Overlays, o)
	}
	return s, nil
}

// find finds one image.
func (c *cmd) find(ctx context.Context, source *image.Source, what, ref string) (boot.Part, error) {
	img, err := source.Resolve(ctx, ref)
	if err != nil {
		return boot.Part{}, err
	}
	layers := "1 layer"
	if n := len(img.Layers); n != 1 {
		layers = fmt.Sprintf("%d layers", n)
	}
	c.sayf("%s %s, %s, %s in %s", what, img.Name, img.Digest, units.Bytes(img.Size()), layers)
	return boot.Part{Image: img, Asked: ref}, nil
}

// origin returns the argument that names the registry that an error is about.
func origin(err error) string {
	var f *further
	if errors.As(err, &f) {
		return f.argument
	}
	return "wyr.img"
}
