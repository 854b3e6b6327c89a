package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// firmware is what installFirmware has copied.
type firmware struct {
	files   int
	size    int64
	without []string // modules that name firmware, and none of it was there

	src, dst string
	from     map[string]string // the file in dst with the content of a file in src
}

// installFirmware copies the firmware files that the modules name from the directory src to dst. Without src there is
// none. A name may be a pattern. Compressed files are decompressed, because not every kernel can do that
// (CONFIG_FW_LOADER_COMPRESS). Names without a file are ignored: modules also name firmware of future and of very old
// devices.
func installFirmware(src, dst string, modules []*module) (*firmware, error) {
	f := &firmware{src: src, dst: dst, from: make(map[string]string)}
	if src != "" {
		// Other paths are compared with what symlinks lead to.
		var err error
		if f.src, err = filepath.EvalSymlinks(src); err != nil {
			return nil, fmt.Errorf("cannot read the firmware directory: %w", err)
		}
	}
	for _, m := range modules {
		info, err := m.load()
		if err != nil {
			return nil, err
		}
		found := false
		for _, name := range info.Firmware {
			there, err := f.add(name)
			if err != nil {
				return nil, err
			}
			found = found || there
		}
		if len(info.Firmware) > 0 && !found {
			f.without = append(f.without, m.name)
		}
	}
	return f, nil
}

// firmwareNames returns what the modules name.
func firmwareNames(modules []*module) ([]string, error) {
	var names []string
	for _, m := range modules {
		info, err := m.load()
		if err != nil {
			return nil, err
		}
		names = append(names, info.Firmware...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// add copies the files with a name, and reports whether there is one.
func (f *firmware) add(name string) (found bool, err error) {
	if !filepath.IsLocal(name) {
		return false, fmt.Errorf("firmware name %q leaves the firmware directory", name)
	}
	if f.src == "" {
		return false, nil
	}
	for _, suffix := range []string{"", ".xz", ".zst"} {
		files, err := filepath.Glob(filepath.Join(f.src, name+suffix))
		if err != nil {
			return false, fmt.Errorf("firmware name %q: %w", name, err)
		}
		for _, file := range files {
			rel, err := filepath.Rel(f.src, file)
			if err != nil {
				return false, err
			}
			err = f.install(file, filepath.Join(f.dst, rel[:len(rel)-len(suffix)]))
			if errors.Is(err, fs.ErrNotExist) {
				continue // a symlink to a file of another package
			}
			if err != nil {
				return false, err
			}
			found = true
		}
	}
	return found, nil
}

// install writes a file, unless it is there. A second name of a file that is there becomes a symlink to it: some
// devices have firmware under a name for each of their variants.
func (f *firmware) install(file, to string) error {
	origin, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return nil
	}
	if first, there := f.from[origin]; there {
		target, err := filepath.Rel(filepath.Dir(to), first)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	b, err := readDecompressed(origin)
	if err != nil {
		return err
	}
	if err := writeFile(to, b); err != nil {
		return err
	}
	f.from[origin] = to
	f.files++
	f.size += int64(len(b))
	return nil
}
