// Package pack makes an initramfs of the running test system, for the next one. Programs that start no other system do
// without what it needs.
package pack

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/u-root/u-root/pkg/cpio"
)

// System writes the files of the running system to an initramfs, the new file name.
func System(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w, r := cpio.Newc.Writer(f), cpio.NewRecorder()
	err = filepath.WalkDir("/", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == name:
			return nil
		}
		record, err := r.GetRecord(path)
		if err != nil {
			return err
		}
		if err := w.WriteRecord(cpio.MakeReproducible(record)); err != nil {
			return err
		}
		if path == "/proc" || path == "/sys" || path == "/dev" {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		return err
	}
	return cpio.WriteTrailer(w)
}
