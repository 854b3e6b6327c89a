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

// choose takes the fastest form that the memory allows. A plain initramfs costs no work to make, where the contents have
// waited as they are, and the least to unpack. zstd costs both a little work and takes about a third of the room. Where some
// of the contents are packed and some are not, it costs least to leave them so. waiting is how much memory they take if
// any is packed, else 0.
func choose(known []initrd.Compression, m memory.Info, copies int, s rootfs.Stat, waiting int64) initrd.Compression {
	order := []initrd.Compression{initrd.Zstd, initrd.Gzip, initrd.None}
	switch {
	case waiting == 0 && roomy(m, copies, s):
		order = []initrd.Compression{initrd.None}
	case roomy(m, copies, s):
		order = []initrd.Compression{initrd.Mixed, initrd.None}
	case waiting != 0 && fitsMixed(m, copies, s, waiting):
		order = []initrd.Compression{initrd.Mixed, initrd.Zstd, initrd.Gzip, initrd.None}
	}
	for _, c := range order {
		if slices.Contains(known, c) {
			return c
		}
	}
	return initrd.None
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

// fitsMixed tells whether an initrd of that size can be loaded and booted, with something to spare, for the size is known
// only when it is made.
func fitsMixed(m memory.Info, copies int, s rootfs.Stat, size int64) bool {
	size += size/32 + int64(s.Inodes)*128 // directories, ends of archives
	return m.Available > size*int64(copies)+2*slack && size+slack < m.Total/2 && needs(s, size) < m.Total-m.Total/16
}
