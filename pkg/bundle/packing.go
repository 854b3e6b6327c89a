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
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// packings returns the forms of initramfs that the container's kernel can unpack, by its configuration where the image
// has that, else by its version. Plain is always among them.
func (p *Plan) packings(ctx context.Context) ([]initrd.Compression, error) {
	v := p.Kernel.Version
	for _, path := range []string{"/boot/config-" + v, "/usr/lib/modules/" + v + "/config", "/lib/modules/" + v + "/config"} {
		text, err := p.read(ctx, path, 4<<20)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		return byConfig(text), nil
	}
	return byVersion(v), nil
}

func byConfig(text []byte) []initrd.Compression {
	known := []initrd.Compression{initrd.None}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		switch s.Text() {
		case "CONFIG_RD_ZSTD=y":
			known = append(known, initrd.Zstd, initrd.Mixed)
		case "CONFIG_RD_GZIP=y":
			known = append(known, initrd.Gzip)
		}
	}
	return known
}

// byVersion: zstd came with Linux 5.9, and distributions leave it in. gzip has always been the default.
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

// waiting is what the contents take that wait for the initrd, in bytes: initrd.Waiting.
type waiting struct{ packed, loose, held int64 }

// choose takes the fastest form that the memory allows, and says of how much of what is loose that is true with
// initrd.Mixed. A plain initramfs costs no work to make, where all contents have waited as they are, and the least to
// unpack. zstd costs both a little work and takes about a third of the room.
func choose(known []initrd.Compression, m memory.Info, copies int, s rootfs.Stat, w waiting) (initrd.Compression, int64) {
	order := []initrd.Compression{initrd.Zstd, initrd.Gzip, initrd.None}
	if roomy(m, copies, s) {
		order = []initrd.Compression{initrd.None}
	}
	plain := plainShare(m, copies, s, w)
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

// slack is what is left to the loading kernel beside a plain initramfs.
const slack = 64 << 20

// roomy tells whether a plain initramfs can be loaded and booted. Beside the files themselves, which it is made in the place
// of, the loading kernel holds copies of it, with gaps where upper layers have replaced something: half as much is allowed for
// these. The booting one holds it twice, packed and unpacked.
func roomy(m memory.Info, copies int, s rootfs.Stat) bool {
	size := s.Bytes + int64(s.Entries)*128 // about what the headers and names take
	return m.Total != 0 && m.Available > size*int64(2*copies+1)/2+slack && underCap(m.Total, s, size) && needs(s, size) < m.Total*3/4
}

// plainShare returns how much of what is loose may stay as it is, beside what is packed already, in an initrd that can be
// loaded and booted; 0 if nothing is packed, or if it is not worth it.
func plainShare(m memory.Info, copies int, s rootfs.Stat, w waiting) int64 {
	if w.packed == 0 || m.Total == 0 {
		return 0
	}
	limit := min(
		m.Total-m.Total/64-needs(s, 0)+processNeeds, // to boot
		m.Total/2-slack, // to be loaded, beside the kernel: see CanLoad
		(m.Available+w.held-slack-slack/2)/int64(1+copies), // to be there and to be loaded
	)
	const packs = 2 // times smaller, which zstd's fastest level makes the contents of an image at the least
	plain := min(w.loose, (limit-w.packed-w.loose/packs)*packs/(packs-1))
	if plain < w.loose/8 {
		return 0
	}
	return plain
}
