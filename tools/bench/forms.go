package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// A form is what the boot environment may hand over, and with how much memory it may do that.
type form struct {
	name  string // for -form
	about string
	opt   initrd.Options
	tight bool
}

func forms() []form {
	zstd := initrd.Options{Compression: initrd.Zstd}
	all := initrd.Options{Compression: initrd.Zstd, Parallel: true}
	return []form{
		{"none", "in memory, uncompressed", initrd.Options{}, false},
		{"zstd", "in memory, zstd", zstd, false},
		{"zstd-all", "in memory, zstd on all processors", all, false},
		{"tight", "in memory, which is short, uncompressed", initrd.Options{}, true},
		{"tight-zstd", "in memory, which is short, zstd", zstd, true},
		{"tight-zstd-all", "in memory, which is short, zstd on all processors", all, true},
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
	fd, err := unix.MemfdCreate("initrd", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("cannot make a file in memory: %w", err)
	}
	out := os.NewFile(uintptr(fd), "initrd")
	defer out.Close()
	f.opt.Consume = true
	if _, err := initrd.Write(ctx, out, tree, f.opt); err != nil {
		return err
	}
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
