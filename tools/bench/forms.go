package main

import (
	"context"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// A form is what the boot environment may hand over, and with how much memory it may do that.
type form struct {
	name  string // for -form
	about string
	pack  initrd.Compression
	tight bool
}

func forms() []form {
	return []form{
		{"none", "in memory, uncompressed", initrd.None, false},
		{"zstd", "in memory, zstd", initrd.Zstd, false},
		{"tight", "in memory, which is short, zstd", initrd.Zstd, true},
		{"tight-gzip", "in memory, which is short, gzip", initrd.Gzip, true},
	}
}

// write makes an initramfs of an image in a file in memory, as wyrboot does.
func (f form) write(ctx context.Context, ref string) error {
	img, err := new(image.Source).Resolve(ctx, ref)
	if err != nil {
		return err
	}
	var layers []rootfs.Layer
	for _, l := range img.Layers {
		layers = append(layers, l)
	}
	var opt rootfs.Options
	if f.tight {
		opt.Memory = 1
	}
	tree, err := rootfs.Read(ctx, layers, opt)
	if err != nil {
		return err
	}
	defer tree.Close()
	out, _, err := initrd.Make(ctx, tree, initrd.Options{Compression: f.pack})
	if err != nil {
		return err
	}
	defer out.Close()
	// The size is read from a file called initrd; the content is not.
	info, err := out.Stat()
	if err != nil {
		return err
	}
	if err := os.WriteFile("initrd", nil, 0o644); err != nil {
		return err
	}
	return os.Truncate("initrd", info.Size())
}
