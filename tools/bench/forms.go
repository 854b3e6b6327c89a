package main

import (
	"context"
	"os"

	"github.com/u-root/uio/uio"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// form is a form of initramfs that the boot environment may hand over, and the memory that it may use for that.
type form struct {
	name  string // for -form
	about string
	pack  initrd.Compression
	keep  int64 // bytes of files that may be kept as they are; 0 is no limit
	check bool  // check the digests of decompressed layers
}

func forms() []form {
	return []form{
		{"none", "in memory, uncompressed", initrd.None, 0, false},
		{"checked", "in memory, uncompressed, diff_ids checked", initrd.None, 0, true},
		{"zstd", "in memory, zstd", initrd.Zstd, 0, false},
		{"mixed", "in memory, room for 150 MiB, mixed", initrd.Mixed, 150 << 20, false},
		{"tight", "in memory, none to spare, zstd", initrd.Zstd, 1, false},
		{"tight-gzip", "in memory, none to spare, gzip", initrd.Gzip, 1, false},
	}
}

// write makes an initramfs of an image in memory, as wyrboot does, and copies it to a file if one is named.
func (f form) write(ctx context.Context, ref, file string) error {
	img, err := new(image.Source).Resolve(ctx, ref)
	if err != nil {
		return err
	}
	var layers []rootfs.Layer
	for _, l := range img.Layers {
		layers = append(layers, l)
	}
	tree, err := rootfs.Read(ctx, layers, rootfs.Options{Memory: f.keep, SkipDiffIDs: !f.check})
	if err != nil {
		return err
	}
	defer tree.Close()
	out, _, err := initrd.Make(ctx, tree, initrd.Options{Compression: f.pack, Plain: f.keep})
	if err != nil {
		return err
	}
	defer out.Close()
	if file != "" {
		return uio.ReadIntoFile(uio.Reader(out), file)
	}
	// The caller reads the size of the file initrd, not its content.
	info, err := out.Stat()
	if err != nil {
		return err
	}
	if err := os.WriteFile("initrd", nil, 0o644); err != nil {
		return err
	}
	return os.Truncate("initrd", info.Size())
}
