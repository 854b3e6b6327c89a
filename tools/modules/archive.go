package main

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/u-root/u-root/pkg/cpio"
)

// writeArchive writes the tree below dir as a newc archive, parents first. The
// same tree gives the same bytes. If it fails it removes the file, so that make
// does not use it.
func writeArchive(file, dir string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			os.Remove(file)
		}
	}()

	w := cpio.Newc.Writer(f)
	recorder := cpio.NewRecorder()
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rec, err := recorder.GetRecord(path)
		if err != nil {
			return err
		}
		if rec.Name, err = filepath.Rel(dir, path); err != nil {
			return err
		}
		if d.IsDir() {
			rec.Mode = rec.Mode&^0o777 | 0o755
		}
		return w.WriteRecord(cpio.MakeReproducible(rec))
	})
	if err != nil {
		return err
	}
	return cpio.WriteTrailer(w)
}
