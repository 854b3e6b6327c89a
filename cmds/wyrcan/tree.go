package main

import (
	"context"
	"fmt"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// tree reads the layers of an image.
func (c *cmd) tree(ctx context.Context, ref, arch string) (*image.Image, *rootfs.Tree, error) {
	img, m, err := c.open(ctx, ref, platform(arch))
	if err != nil {
		return nil, nil, err
	}
	defer m.end()
	layers := make([]rootfs.Layer, len(img.Layers))
	for i, l := range img.Layers {
		layers[i] = l
	}
	tree, err := rootfs.Read(ctx, layers, rootfs.Options{})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read %s: %w", ref, err)
	}
	return img, tree, nil
}

// A recipe is the options of whatever makes a bundle.
type recipe struct {
	args    list
	root    string
	wyrinit string
}

func (r *recipe) flags(f *flagSet) {
	f.Var(&r.args, "arg", "pass `ARG` to the container's kernel; may be repeated")
	f.StringVar(&r.root, "root", "", "`initramfs` starts the image's /init straight from the initramfs, without extended attributes and pivot_root")
	f.StringVar(&r.wyrinit, "wyrinit", "", "the first process is `FILE` (default wyrinit beside this program)")
}

// options returns the options of a bundle.
func (r *recipe) options(c *cmd) (bundle.Options, error) {
	opt := bundle.Options{Args: r.args}
	switch r.root {
	case "initramfs":
		return opt, nil
	case "":
	default:
		return opt, usage("-root is initramfs or nothing, not %q", r.root)
	}
	file, err := c.artefact(r.wyrinit, "wyrinit")
	if err != nil {
		return opt, err
	}
	opt.Wyrinit, err = os.ReadFile(file)
	return opt, err
}
