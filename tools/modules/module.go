package main

import (
	"fmt"
	"os"
	"path/filepath"

	"gitlab.com/wyrcan/wyrcan/pkg/compression/small"
	"gitlab.com/wyrcan/wyrcan/pkg/modinfo"
)

// module is one kernel module of a source directory.
type module struct {
	name string // as the kernel writes it, with underscores
	path string // below the module directory, without the suffix of the compression
	file string // the path on the disk
	info *modinfo.Info
}

// read returns the decompressed module with its signature. The archive stores
// modules decompressed because the whole initramfs is compressed anyway, which
// gives a smaller result, and because every kernel can load them.
func (m *module) read() ([]byte, error) {
	return readDecompressed(m.file)
}

// readDecompressed returns the content of a module or firmware file, decompressed if its suffix says that it is
// compressed: other firmware may be in such a form by itself, for its device.
func readDecompressed(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	switch filepath.Ext(file) {
	case ".gz", ".xz", ".zst":
		if b, err = small.Unpack(b, modinfo.MaxModule); err != nil {
			return nil, fmt.Errorf("cannot decompress %s: %w", file, err)
		}
	}
	return b, nil
}

// load reads the module's metadata, once.
func (m *module) load() (*modinfo.Info, error) {
	if m.info != nil {
		return m.info, nil
	}
	b, err := m.read()
	if err != nil {
		return nil, err
	}
	if m.info, err = modinfo.Parse(b); err != nil {
		return nil, fmt.Errorf("%s: %w", m.file, err)
	}
	return m.info, nil
}

// install writes the module below dir and returns its size in bytes.
func (m *module) install(dir string) (int64, error) {
	b, err := m.read()
	if err != nil {
		return 0, err
	}
	return int64(len(b)), writeFile(filepath.Join(dir, m.path), b)
}

// writeFile writes a file and its parent directories. It sets the mode
// independently of the umask, so that two builds give the same bytes.
func writeFile(file string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return err
	}
	return os.Chmod(file, 0o644)
}
