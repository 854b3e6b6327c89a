package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"gitlab.com/wyrcan/wyrcan/pkg/compression/small"
	"gitlab.com/wyrcan/wyrcan/pkg/modinfo"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// A driver is a driver that names firmware which the image does not have.
type driver struct {
	Name    string   `json:"driver"`
	Kind    string   `json:"kind"`
	Named   int      `json:"named"` // how many files it names; a device does not need all of them
	Missing []string `json:"missing"`
}

// lacksAll reports whether the image has none of the files that the driver names.
func (d *driver) lacksAll() bool { return len(d.Missing) == d.Named }

// The kinds of drivers that a machine may need to boot at all.
const (
	network = "network"
	storage = "storage"
)

// other is the kind of all drivers that are not listed in kindOf.
const other = "other"

// kindOf returns the kind of a driver, by its path below the module directory or below the kernel's source.
func kindOf(file string) string {
	file = strings.TrimPrefix(file, "kernel/")
	for _, k := range []struct{ dir, kind string }{
		{"drivers/net/wireless/", "wireless"},
		{"drivers/net/", network}, {"drivers/infiniband/", network}, {"drivers/staging/qlge/", network},
		{"drivers/scsi/", storage}, {"drivers/ata/", storage}, {"drivers/block/", storage}, {"drivers/nvme/", storage},
		{"drivers/message/", storage}, {"drivers/mmc/", storage}, {"drivers/ufs/", storage}, {"drivers/md/", storage},
		{"drivers/gpu/", "graphics"}, {"drivers/video/", "graphics"},
		{"drivers/media/", "media"}, {"sound/", "sound"},
		{"drivers/bluetooth/", "bluetooth"}, {"drivers/usb/", "USB"}, {"drivers/crypto/", "crypto"},
	} {
		if strings.HasPrefix(file, k.dir) {
			return k.kind
		}
	}
	return other
}

// A driverSet describes the drivers and the firmware of an image.
type driverSet struct {
	modules  int
	firmware int
	missing  []driver
	damaged  []string // sentences
}

// withoutAny returns the names of the network drivers that lack all their firmware.
func (s *driverSet) withoutAny() []string {
	var names []string
	if s == nil {
		return nil
	}
	for _, d := range s.missing {
		if d.Kind == network && d.lacksAll() {
			names = append(names, d.Name)
		}
	}
	return names
}

// findDrivers examines the modules of a kernel version, the drivers that are built into that kernel, and the firmware
// that they name.
func findDrivers(ctx context.Context, tree *rootfs.Tree, version string, m *meter) (*driverSet, error) {
	dir := path.Join("lib/modules", version)
	modules := under(tree, dir)
	fw, err := newFirmware(ctx, tree, version)
	if err != nil {
		return nil, err
	}
	set := &driverSet{firmware: fw.count}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	err = tree.Walk(gctx, func(n *rootfs.Node, content io.Reader) error {
		name := modinfo.Name(n.Path)
		if name == "" || content == nil || !strings.HasPrefix(n.Path, modules) {
			return nil
		}
		set.modules++
		if n.Size > modinfo.MaxModule {
			mu.Lock()
			defer mu.Unlock()
			set.damaged = append(set.damaged,
				fmt.Sprintf("the driver /%s is damaged: it has %d MiB, more than any driver", n.Path, n.Size>>20))
			return nil
		}
		b, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		g.Go(func() error {
			var info *modinfo.Info
			b, err := small.Unpack(b, modinfo.MaxModule)
			if err == nil {
				m.add(len(b))
				info, err = modinfo.Parse(b)
			}
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				set.damaged = append(set.damaged, fmt.Sprintf("the driver /%s is damaged: %v", n.Path, err))
				return nil
			}
			missing, named, err := fw.missing(gctx, info.Firmware)
			if len(missing) > 0 {
				mu.Lock()
				defer mu.Unlock()
				set.missing = append(set.missing,
					driver{name, kindOf(strings.TrimPrefix(n.Path, modules)), named, missing})
			}
			return err
		})
		return nil
	})
	// If both failed, the error of the walk is only the consequence of the error of the group.
	if err = errors.Join(g.Wait(), err); err != nil {
		return nil, err
	}
	builtin, err := readSmall(ctx, tree, path.Join(dir, "modules.builtin.modinfo"))
	if err != nil {
		return nil, err
	}
	for _, b := range modinfo.ParseBuiltin(builtin) {
		missing, named, err := fw.missing(ctx, b.Firmware)
		if err != nil {
			return nil, err
		}
		if len(missing) > 0 {
			set.missing = append(set.missing, driver{b.Name, kindOf(b.File), named, missing})
		}
	}
	slices.SortFunc(set.missing, func(a, b driver) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(set.damaged)
	return set, nil
}

// readSmall reads a small file. It returns nil if there is no such file.
func readSmall(ctx context.Context, tree *rootfs.Tree, name string) ([]byte, error) {
	n, err := tree.Lookup(name)
	if err != nil || !n.Regular() {
		return nil, nil
	}
	r, err := tree.Open(ctx, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	const most = 64 << 20
	return io.ReadAll(io.LimitReader(r, most))
}

// firmware has the files below the firmware directories of an image.
type firmware struct {
	tree  *rootfs.Tree
	dirs  []string // the existing directories, in the order in which the kernel searches them
	count int      // of the files
	names []string // of all files, relative to their directories, for patterns
}

// newFirmware lists the firmware of an image for a kernel version, in the directories of fw_path in
// drivers/base/firmware_loader/main.c.
func newFirmware(ctx context.Context, tree *rootfs.Tree, version string) (*firmware, error) {
	f := &firmware{tree: tree}
	var prefixes []string
	for _, dir := range []string{"lib/firmware/updates/" + version, "lib/firmware/updates", "lib/firmware/" + version,
		"lib/firmware"} {
		if n, err := tree.Lookup(dir); err == nil && n.Dir() {
			f.dirs = append(f.dirs, n.Path)
			prefixes = append(prefixes, n.Path+"/")
		}
	}
	for n, err := range tree.All(ctx) {
		if err != nil {
			return nil, err
		}
		for i, prefix := range prefixes {
			rest, ok := strings.CutPrefix(n.Path, prefix)
			if !ok || n.Dir() {
				continue
			}
			f.names = append(f.names, rest)
			if i == len(prefixes)-1 { // the last directory contains the others
				f.count++
			}
		}
	}
	return f, nil
}

// suffixes returns the suffixes of firmware files: the kernel decompresses these forms (CONFIG_FW_LOADER_COMPRESS).
func suffixes() []string { return []string{"", ".zst", ".xz"} }

// missing returns the names that the image does not have, and the number of all different names.
func (f *firmware) missing(ctx context.Context, names []string) (missing []string, named int, err error) {
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		if name == "" {
			continue
		}
		named++
		if !f.has(name) {
			missing = append(missing, name)
		}
	}
	return missing, named, nil
}

// has reports whether there is a file with that name, or a file that matches the name as a pattern.
func (f *firmware) has(name string) bool {
	for _, dir := range f.dirs {
		for _, suffix := range suffixes() {
			if n, err := f.tree.Lookup(dir + "/" + name + suffix); err == nil && n.Regular() {
				return true
			}
		}
	}
	if !strings.ContainsAny(name, "*?[") {
		return false
	}
	return slices.ContainsFunc(f.names, func(have string) bool {
		for _, suffix := range suffixes() {
			if ok, err := path.Match(name+suffix, have); ok && err == nil {
				return true
			}
		}
		return false
	})
}

// rows returns the lines of a report about the drivers: a summary, or every driver and file if verbose.
func (s *driverSet) rows(verbose bool) []string {
	if verbose {
		var rows []string
		for _, d := range s.missing {
			rows = append(rows, fmt.Sprintf("missing for %s (%s): %s", d.Name, d.Kind, strings.Join(d.Missing, ", ")))
		}
		return rows
	}
	kinds := make(map[string][]string) // by kind, the names of drivers that lack all their firmware
	some := 0
	for _, d := range s.missing {
		if d.lacksAll() {
			kinds[d.Kind] = append(kinds[d.Kind], d.Name)
		} else {
			some++
		}
	}
	var rows []string
	for _, kind := range []string{network, storage} {
		if names := kinds[kind]; len(names) > 0 {
			rows = append(rows, fmt.Sprintf("missing for %s: %s", plural(len(names), kind+" driver"), summary(names)))
		}
		delete(kinds, kind)
	}
	if total, others := count(kinds); total > 0 {
		rows = append(rows, fmt.Sprintf("missing for %s of other kinds%s", plural(total, "driver"), others))
	}
	if some > 0 {
		rows = append(rows, fmt.Sprintf("missing in part for %s", plural(some, "driver")))
	}
	if len(rows) > 0 {
		rows[len(rows)-1] += " (-v names all drivers and files)"
	}
	return rows
}

// count returns the number of drivers, and a text in parentheses with the number for each kind.
func count(kinds map[string][]string) (total int, text string) {
	var named []string
	for kind, names := range kinds {
		total += len(names)
		if kind != other {
			named = append(named, fmt.Sprintf("%d %s", len(names), kind))
		}
	}
	if len(named) == 0 {
		return total, ""
	}
	slices.Sort(named)
	if len(kinds[other]) > 0 {
		named = append(named, fmt.Sprintf("%d for something else", len(kinds[other])))
	}
	return total, " (" + strings.Join(named, ", ") + ")"
}

// plural returns a number and a noun, in the plural if needed.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
