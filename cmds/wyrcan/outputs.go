package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// outputs are files that are written all together or not at all.
type outputs struct {
	stdout io.Writer // for the name "-"
	files  []output
}

// An output is one of these files.
type output struct {
	name    string    // the final name; "" is standard output
	file    *os.File  // the temporary file; nil if the output is written in place
	content io.Reader // the content of an output that is written in place
}

// write writes a temporary file. A pipe, a device or standard output cannot be undone, so keep writes those; content
// must stay readable until then.
func (o *outputs) write(name string, content io.Reader) error {
	if name == "-" {
		o.files = append(o.files, output{content: content})
		return nil
	}
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real // keep a symbolic link
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return fmt.Errorf("cannot write %s: it is a directory", name)
		}
		o.files = append(o.files, output{name: name, content: content})
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	o.files = append(o.files, output{name: name, file: f})
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync() // now, when an error such as a full disk does no harm yet
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return nil
}

// keep writes the outputs in place and renames the temporary files.
func (o *outputs) keep() error {
	for _, f := range o.files {
		if f.file != nil {
			continue
		}
		if err := o.inPlace(f); err != nil {
			return err
		}
	}
	for _, f := range o.files {
		if f.file == nil {
			continue
		}
		if err := os.Rename(f.file.Name(), f.name); err != nil {
			return err
		}
	}
	return nil
}

func (o *outputs) inPlace(f output) error {
	if f.name == "" {
		if _, err := io.Copy(o.stdout, f.content); err != nil {
			return fmt.Errorf("cannot write to standard output: %w", err)
		}
		return nil
	}
	to, err := os.OpenFile(f.name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, f.content)
	if cerr := to.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", f.name, err)
	}
	return nil
}

// clear removes the temporary files that were not kept.
func (o *outputs) clear() {
	for _, f := range o.files {
		if f.file != nil {
			f.file.Close()
			os.Remove(f.file.Name())
		}
	}
}
