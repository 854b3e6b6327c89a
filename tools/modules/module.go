package main

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// module is one kernel module of a source directory.
type module struct {
	name string // as the kernel writes it, with underscores
	path string // below the module directory, without the compression's suffix
	file string // on the disk
	info *modinfo
}

// modinfo is what a module says about itself in its ELF section .modinfo: a
// row of KEY=VALUE strings, each ended by a zero byte (include/linux/moduleinfo.h).
type modinfo struct {
	depends  []string // names of the modules it cannot be linked without
	softdeps []string // names or aliases of those it wants beside it, before or after
	aliases  []string
	firmware []string // names and patterns below a firmware directory
}

// moduleName gives the module name of a file name, or "" where it is no module.
func moduleName(file string) string {
	base := filepath.Base(file)
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

// read returns the module as the linker wrote it, signature included. Modules
// are stored decompressed because the whole initramfs is compressed at once,
// which is smaller, and because the kernel then takes them as they are.
func (m *module) read() ([]byte, error) {
	return readDecompressed(m.file)
}

// readDecompressed returns a file's content, decompressed as its suffix says.
func readDecompressed(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r io.Reader
	switch filepath.Ext(file) {
	case ".gz":
		r, err = gzip.NewReader(bytes.NewReader(b))
	case ".xz":
		r, err = xz.NewReader(bytes.NewReader(b))
	case ".zst":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(bytes.NewReader(b)); err == nil {
			defer d.Close()
			r = d
		}
	default:
		return b, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot decompress %s: %w", file, err)
	}
	if b, err = io.ReadAll(r); err != nil {
		return nil, fmt.Errorf("cannot decompress %s: %w", file, err)
	}
	return b, nil
}

// load reads the module's information, once.
func (m *module) load() (*modinfo, error) {
	if m.info != nil {
		return m.info, nil
	}
	b, err := m.read()
	if err != nil {
		return nil, err
	}
	if m.info, err = parseModinfo(b); err != nil {
		return nil, fmt.Errorf("%s: %w", m.file, err)
	}
	return m.info, nil
}

func parseModinfo(b []byte) (*modinfo, error) {
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, errors.New("no .modinfo section: not a kernel module")
	}
	data, err := s.Data()
	if err != nil {
		return nil, err
	}
	info := new(modinfo)
	for _, entry := range strings.Split(string(data), "\x00") {
		key, value, _ := strings.Cut(entry, "=")
		switch key {
		case "depends":
			info.depends = append(info.depends, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
		case "softdep":
			for _, word := range strings.Fields(value) {
				if word != "pre:" && word != "post:" {
					info.softdeps = append(info.softdeps, word)
				}
			}
		case "alias":
			info.aliases = append(info.aliases, value)
		case "firmware":
			info.firmware = append(info.firmware, value)
		}
	}
	return info, nil
}

// install writes the module below dir and returns its size in bytes.
func (m *module) install(dir string) (int64, error) {
	b, err := m.read()
	if err != nil {
		return 0, err
	}
	return int64(len(b)), writeFile(filepath.Join(dir, m.path), b)
}

// writeFile writes a file with the parents it needs. Modes are set, not left to
// the umask, so that two builds give the same bytes.
func writeFile(file string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return err
	}
	return os.Chmod(file, 0o644)
}
