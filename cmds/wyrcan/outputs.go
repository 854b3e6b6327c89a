package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// outputs are files of which all are written or none.
type outputs struct {
	stdout io.Writer // what "-" means
	files  []output
}

// An output is one of them.
type output struct {
	name    string    // what it will be; "" is standard output
	file    *os.File  // the same under another name for now, nil where it is written in place
	content io.Reader // for what is written in place
}

// write writes a file under another name for now. What is no regular file but a pipe or a device, and standard output,
// cannot be taken back: that waits for keep, and so must content.
func (o *outputs) write(name string, content io.Reader) error {
	if name == "-" {
		o.files = append(o.files, output{content: content})
		return nil
	}
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real // a link goes on being one
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
		err = f.Sync() // here, where a full disk still takes nothing away
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return nil
}

// keep writes what is written in place and gives all others their names.
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

// clear removes the files that were not kept.
func (o *outputs) clear() {
	for _, f := range o.files {
		if f.file != nil {
			f.file.Close()
			os.Remove(f.file.Name())
		}
	}
}
