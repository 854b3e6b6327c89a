package bundle

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// findPacking decides about the form of the initrd.
func (p *Plan) findPacking(ctx context.Context) error {
	packings, err := p.packings(ctx)
	if err != nil {
		return err
	}
	var w waiting
	if p.tree.Packed() && !p.opt.Single {
		if w.packed, w.loose, w.held, err = initrd.Waiting(ctx, p.tree); err != nil {
			return err
		}
	}
	stored, early := p.booted(), int64(len(p.early))
	stored.Bytes += early
	if w.packed > 0 {
		w.packed += early // which is as it will be, too
	}
	p.Packing, p.plain = choose(packings, p.opt.Room, stored, w)
	return nil
}

// packings returns the forms of initramfs that the container's kernel can unpack, by its configuration where the image
// has that, else by its version. Plain is always among them.
func (p *Plan) packings(ctx context.Context) ([]initrd.Compression, error) {
	config, err := p.config(ctx)
	if err != nil {
		return nil, err
	}
	if config == nil {
		return byVersion(p.Kernel.Version), nil
	}
	return byConfig(config), nil
}

// config returns the options of the kernel's configuration that are not off, nil if the image does not have it.
func (p *Plan) config(ctx context.Context) (map[string]string, error) {
	v := p.Kernel.Version
	for _, path := range []string{
		"/boot/config-" + v,
		"/usr/lib/modules/" + v + "/config",
		"/lib/modules/" + v + "/config",
	} {
		text, err := p.read(ctx, path, 4<<20)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		return options(text), nil
	}
	return nil, nil
}

// options returns what a kernel's configuration says: "CONFIG_RD_ZSTD=y".
func options(text []byte) map[string]string {
	all := map[string]string{}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if option, value, ok := strings.Cut(s.Text(), "="); ok {
			all[option] = value
		}
	}
	return all
}

func byConfig(config map[string]string) []initrd.Compression {
	known := []initrd.Compression{initrd.None}
	if config["CONFIG_RD_ZSTD"] == "y" {
		known = append(known, initrd.Zstd, initrd.Mixed)
	}
	if config["CONFIG_RD_GZIP"] == "y" {
		known = append(known, initrd.Gzip)
	}
	return known
}

// byVersion returns the forms that a kernel of this version can unpack. zstd came with Linux 5.9, and distributions
// enable it. gzip has always been the default.
func byVersion(version string) []initrd.Compression {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, _ := strconv.Atoi(major)
	b, _ := strconv.Atoi(minor)
	if a > 5 || a == 5 && b >= 9 {
		return []initrd.Compression{initrd.None, initrd.Gzip, initrd.Zstd, initrd.Mixed}
	}
	return []initrd.Compression{initrd.None, initrd.Gzip}
}

// waiting is how much memory the contents use that wait for the initrd, in bytes: see initrd.Waiting.
type waiting struct{ packed, loose, held int64 }

// choose returns the fastest form that the memory allows, and for initrd.Mixed how many bytes of the unpacked contents
// stay unpacked. A plain initramfs needs no work if all contents have waited unpacked, and the least work to unpack.
// zstd needs a little work for both and about a third of the memory.
func choose(known []initrd.Compression, r Room, s rootfs.Stat, w waiting) (initrd.Compression, int64) {
	order := []initrd.Compression{initrd.Zstd, initrd.Gzip, initrd.None}
	if r.roomy(s) {
		order = []initrd.Compression{initrd.None}
	}
	plain := r.plainShare(s, w)
	if plain > 0 {
		order = slices.Insert(order, 0, initrd.Mixed)
	}
	for _, c := range order {
		if slices.Contains(known, c) {
			return c, plain
		}
	}
	return initrd.None, 0
}

// slack is what a plain initramfs leaves free for the loading kernel.
const slack = 64 << 20

// roomy reports whether a plain initramfs can be loaded and booted. It is made in the memory of the files themselves.
// The loading kernel holds copies of it, with gaps where upper layers have replaced something: half its size is allowed
// for these. The booting kernel holds it twice, packed and unpacked.
func (r Room) roomy(s rootfs.Stat) bool {
	size := s.Bytes + int64(s.Entries)*128 // about as much as the headers and names need
	return r.Total != 0 && r.Available > size*int64(2*r.Copies+1)/2+slack &&
		underCap(r.Total, s, size) && needs(s, size) < r.Total*3/4
}

// plainShare returns how many bytes of the unpacked contents may stay unpacked, besides those that are packed already,
// in an initrd that can be loaded and booted; 0 if nothing is packed, or if it is not worth it.
func (r Room) plainShare(s rootfs.Stat, w waiting) int64 {
	if w.packed == 0 || r.Total == 0 {
		return 0
	}
	limit := min(
		r.Total-r.Total/64-needs(s, 0)+processNeeds,          // to boot
		(r.Available+w.held-slack-slack/2)/int64(1+r.Copies), // to be there and to be loaded
	)
	if r.Copies > 0 {
		limit = min(limit, r.Total/2-slack) // to be loaded, besides the kernel: see CanLoad
	}
	const packs = 2 // zstd's fastest level makes an image's contents at least this many times smaller
	plain := min(w.loose, (limit-w.packed-w.loose/packs)*packs/(packs-1))
	if plain < w.loose/8 {
		return 0
	}
	return plain
}
