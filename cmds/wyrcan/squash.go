package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/u-root/uio/uio"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/squashfs"
)

// squash has the options of "wyrcan unpack" for a SquashFS image.
type squash struct {
	compression string
	level       int
	block       int // KiB
	strict      bool
}

func (s *squash) flags(f *flagSet) {
	f.StringVar(&s.compression, "compression", "zstd",
		"of a FILE.squashfs: zstd, or gzip for a kernel that cannot read zstd (before 4.14)")
	f.IntVar(&s.level, "level", 0, "the `LEVEL` of that, as for zstd and gzip (default 3, 8)")
	f.IntVar(&s.block, "block", 128, "compress a FILE.squashfs in blocks of so many `KIB`: a power of two from 4 to 1024")
}

// isSquashFS reports whether a name is that of an image, and not of a directory.
func isSquashFS(name string) bool {
	if !strings.HasSuffix(name, ".squashfs") {
		return false
	}
	info, err := os.Stat(name)
	return err != nil || !info.IsDir()
}

// options returns the form of the image.
func (s *squash) options() (squashfs.Options, error) {
	opt := squashfs.Options{Level: s.level, BlockSize: s.block << 10}
	switch s.compression {
	case "zstd":
	case "gzip":
		opt.Compression = squashfs.Gzip
	default:
		return opt, usage("unpack: -compression is zstd or gzip, not %q", s.compression)
	}
	if most := map[string]int{"zstd": 22, "gzip": 9}[s.compression]; s.level < 0 || s.level > most {
		return opt, usage("unpack: -level is a number from 1 to %d for %s", most, s.compression)
	}
	if s.block < 4 || s.block > 1024 || s.block&(s.block-1) != 0 {
		return opt, usage("unpack: -block is a power of two from 4 to 1024, not %d", s.block)
	}
	return opt, nil
}

// squash makes an image of a container's tree.
func (c *cmd) squash(ctx context.Context, s *squash, ref, file string, machine arch) error {
	opt, err := s.options()
	if err != nil {
		return err
	}
	var lost losses
	opt.Lost = func(n *rootfs.Node, what string, why error) { lost.add(what, n.Path, why) }
	boot := c.newBoot()
	opt.Grow = c.budget().Enough
	if dir, err := openDir(filepath.Dir(file)); err == nil { // otherwise memory has to do
		defer dir.Close()
		if d := diskOf(dir, dir.Name()); d != nil {
			boot.Overflow, boot.Free, opt.File, opt.Grow = d.file, d.free, d.file, nil
		}
	}
	p, err := squashfs.New(opt)
	if err != nil {
		return err
	}
	boot.Store = p.Store
	stack, tree, err := c.read(ctx, boot, ref, further{}, machine)
	if err != nil {
		return err
	}
	defer tree.Close()
	made, err := p.Image(ctx, tree, stack.Image.Image.Config.Created.Time, nil)
	if err != nil {
		return fmt.Errorf("cannot unpack %s: %w", ref, err)
	}
	defer made.Close()
	if s.strict && len(lost.list) > 0 {
		first := lost.list[0]
		return fmt.Errorf("cannot unpack %s: a SquashFS image cannot hold %s of %s: %s", ref, first.what, first.names(),
			first.why)
	}
	files := outputs{stdout: c.stdout}
	defer files.clear()
	if err := files.write(file, uio.Reader(made)); err != nil {
		return fmt.Errorf("cannot unpack %s: %w", ref, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := files.keep(); err != nil {
		return err
	}
	lost.print(c.stderr)
	return nil
}
