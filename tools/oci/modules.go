package main

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"time"
)

// modules is a kernel's directory of modules, .../lib/modules/VERSION, or a link to one.
type modules struct {
	dir     string
	version string
}

func openModules(dir string) (modules, error) {
	real, err := filepath.EvalSymlinks(dir)
	return modules{real, filepath.Base(real)}, err
}

// write writes the modules, and the indexes that depmod(8) makes of them, to /lib/modules/VERSION. That fits to all
// images: where /lib is a link, Wyrcan follows it. near is a directory for a copy that takes no room if the modules are
// on the same file system.
func (m modules) write(w *tar.Writer, near string) error {
	stage, err := os.MkdirTemp(near, "modules")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	base := path.Join("lib/modules", m.version)
	copied := filepath.Join(stage, base)
	err = filepath.WalkDir(m.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(copied, name[len(m.dir):])
		switch {
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		case !d.Type().IsRegular(): // links to the kernel's source
			return nil
		}
		return linkOrCopy(name, to)
	})
	if err != nil {
		return err
	}
	if out, err := exec.Command("depmod", "-b", stage, m.version).CombinedOutput(); err != nil {
		return fmt.Errorf("depmod: %w: %s", err, out)
	}
	return filepath.WalkDir(filepath.Join(stage, "lib"), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return writeFile(w, name, name[len(stage)+1:], d)
	})
}

func linkOrCopy(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}

// writeFile writes a file or a directory with nothing of its metadata, so that the same modules give the same bytes.
func writeFile(w *tar.Writer, from, to string, d fs.DirEntry) error {
	h := &tar.Header{Typeflag: tar.TypeDir, Name: to + "/", Mode: 0o755, ModTime: time.Unix(0, 0)}
	if d.IsDir() {
		return w.WriteHeader(h)
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h.Typeflag, h.Name, h.Mode, h.Size = tar.TypeReg, to, 0o644, info.Size()
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
