package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// installFirmware copies the firmware files that the modules name from the
// directory src to dst. It returns the number of files and their total size. A
// name may be a pattern. Compressed files are decompressed, because not every
// kernel can do that (CONFIG_FW_LOADER_COMPRESS). Names without a file are
// ignored: modules also name firmware of future and of very old devices.
func installFirmware(src, dst string, modules []*module) (files int, size int64, err error) {
	if _, err := os.Stat(src); err != nil {
		return 0, 0, fmt.Errorf("cannot read the firmware directory: %w", err)
	}
	var names []string
	for _, m := range modules {
		info, err := m.load()
		if err != nil {
			return 0, 0, err
		}
		names = append(names, info.Firmware...)
	}
	slices.Sort(names)

	done := make(map[string]bool)
	for _, name := range slices.Compact(names) {
		if !filepath.IsLocal(name) {
			return 0, 0, fmt.Errorf("firmware name %q leaves the firmware directory", name)
		}
		for _, suffix := range []string{"", ".xz", ".zst"} {
			found, err := filepath.Glob(filepath.Join(src, name+suffix))
			if err != nil {
				return 0, 0, fmt.Errorf("firmware name %q: %w", name, err)
			}
			for _, file := range found {
				rel, err := filepath.Rel(src, file)
				if err != nil {
					return 0, 0, err
				}
				rel = rel[:len(rel)-len(suffix)]
				if done[rel] {
					continue
				}
				var b []byte
				if suffix == "" {
					b, err = os.ReadFile(file)
				} else {
					b, err = readDecompressed(file)
				}
				if errors.Is(err, fs.ErrNotExist) {
					continue // a dangling symlink; distributions ship some
				}
				if err != nil {
					return 0, 0, err
				}
				if err := writeFile(filepath.Join(dst, rel), b); err != nil {
					return 0, 0, err
				}
				done[rel] = true
				files++
				size += int64(len(b))
			}
		}
	}
	return files, size, nil
}
