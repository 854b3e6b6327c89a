// Package modinfo reads what a kernel module says about itself: the section .modinfo of its ELF file, a row of KEY=VALUE
// strings, each ended by a zero byte (include/linux/moduleinfo.h), and the same of what is built into a kernel, in
// modules.builtin.modinfo (Documentation/kbuild/kbuild.rst). Modules may be compressed as distributions do it. It looks at
// nothing else of a module, its code and its signature least of all.
package modinfo

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Info is what a module says that concerns others.
type Info struct {
	Depends  []string // names of the modules it cannot be linked without
	Softdeps []string // names or aliases of those it wants beside it, before or after
	Aliases  []string // patterns of what it serves
	Firmware []string // names and patterns (path.Match) of files below a firmware directory
}

// Name gives the name of the module in a file, as the kernel writes it, or "" where the file's name is not a module's.
func Name(file string) string {
	base := path.Base(file)
	i := strings.Index(base, ".ko")
	if i <= 0 {
		return ""
	}
	switch base[i:] {
	case ".ko", ".ko.gz", ".ko.xz", ".ko.zst":
		return strings.ReplaceAll(base[:i], "-", "_")
	}
	return ""
}

// Bounds on what a module's file may make a reader of this package hold, in bytes: a graphics driver with all its symbols
// has a tenth of the first, its .modinfo a tenth of the second.
const (
	maxModule  = 512 << 20
	maxModinfo = 4 << 20
)

// Decompress returns the content of the file of that name, a module or firmware, whose bytes are b: decompressed as its
// suffix says.
func Decompress(file string, b []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch path.Ext(file) {
	case ".gz":
		r, err = gzip.NewReader(bytes.NewReader(b))
	case ".xz":
		r, err = xz.NewReader(bytes.NewReader(b))
	case ".zst":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxModule)); err == nil {
			defer d.Close()
			r = d
		}
	default:
		return b, nil
	}
	if err == nil {
		b, err = io.ReadAll(io.LimitReader(r, maxModule+1))
	}
	if err == nil && len(b) > maxModule {
		err = fmt.Errorf("it has more than %d MiB", maxModule>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot decompress %s: %w", file, err)
	}
	return b, nil
}

// Parse reads a module's ELF file.
func Parse(module []byte) (*Info, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, fmt.Errorf("not a kernel module: %w", err)
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, errors.New("not a kernel module: it has no section .modinfo")
	}
	data, err := io.ReadAll(io.LimitReader(s.Open(), maxModinfo))
	if err != nil {
		return nil, fmt.Errorf("cannot read .modinfo: %w", err)
	}
	info := new(Info)
	for _, entry := range strings.Split(string(data), "\x00") {
		key, value, _ := strings.Cut(entry, "=")
		info.add(key, value)
	}
	return info, nil
}

// add adds an entry. Keys that this package does not know are passed over.
func (i *Info) add(key, value string) {
	switch key {
	case "depends":
		i.Depends = append(i.Depends, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
	case "softdep":
		for _, word := range strings.Fields(value) {
			if word != "pre:" && word != "post:" {
				i.Softdeps = append(i.Softdeps, word)
			}
		}
	case "alias":
		i.Aliases = append(i.Aliases, value)
	case "firmware":
		i.Firmware = append(i.Firmware, value)
	}
}

// Builtin is a driver that a kernel has inside.
type Builtin struct {
	Info
	Name string
	File string // where its source would have left a module: "drivers/net/ethernet/intel/e1000/e1000"; old kernels do not tell
}

// ParseBuiltin reads a modules.builtin.modinfo, in which each key has the driver's name and a dot before it. It never fails.
func ParseBuiltin(b []byte) []*Builtin {
	var list []*Builtin
	known := make(map[string]*Builtin)
	for _, entry := range strings.Split(string(b), "\x00") {
		key, value, ok := strings.Cut(entry, "=")
		name, key, dot := strings.Cut(key, ".")
		if !ok || !dot {
			continue
		}
		d := known[name]
		if d == nil {
			d = &Builtin{Name: name}
			known[name] = d
			list = append(list, d)
		}
		if key == "file" {
			d.File = value
		}
		d.add(key, value)
	}
	return list
}
