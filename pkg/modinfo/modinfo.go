// Package modinfo reads the metadata of kernel modules: the section .modinfo of the ELF file, a sequence of KEY=VALUE
// strings that each end in a zero byte (include/linux/moduleinfo.h). It reads the same for built-in drivers from
// modules.builtin.modinfo (Documentation/kbuild/kbuild.rst). It does not look at a module's code or signature. Package
// small decompresses modules.
package modinfo

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Info is the metadata of a module that other parts of the system need.
type Info struct {
	Depends  []string // names of the modules whose symbols it needs
	Softdeps []string // names or aliases of modules to load before or after it
	Aliases  []string // patterns of the modaliases that it matches
	Firmware []string // names and patterns (path.Match) of files below a firmware directory
}

// Name returns the name of the module in a file, as the kernel writes it, or "" if the file's name is not that of a
// module.
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

// Limits for the size of a module, which is read into memory, and of its section .modinfo, in bytes. A graphics driver
// with all its symbols has a tenth of each.
const (
	MaxModule  = 512 << 20
	maxModinfo = 4 << 20
)

// Parse reads a module's ELF file, which is not compressed.
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

// add adds an entry. It ignores keys that are not in Info.
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

// Builtin is a driver that is built into a kernel.
type Builtin struct {
	Info
	Name string
	// File is the path that a module of the driver would have, without a suffix:
	// "drivers/net/ethernet/intel/e1000/e1000". It is empty for old kernels.
	File string
}

// ParseBuiltin parses a modules.builtin.modinfo, in which each key starts with the driver's name and a dot. It never
// fails.
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
