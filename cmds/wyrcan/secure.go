package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
	"gitlab.com/wyrcan/wyrcan/pkg/netboot"
)

// addSecure adds to files what machines with Secure Boot fetch: shim and GRUB in dir, which the user named, or else in
// the directory where make SECUREBOOT=1 puts them, if they are there. A program that the user has signed or named is
// what EFI machines are to get, so then the latter is left out; and so it is where each machine has a command line of
// its own, which GRUB cannot ask for. without says that a program was named, or that machines have such lines.
func (c *cmd) addSecure(files map[string]string, dir string, without bool) error {
	given := dir != ""
	if !given {
		for _, place := range slices.Backward(c.places()) { // the first one that has it
			if has := filepath.Join(place, "secureboot"); dir == "" || exists(filepath.Join(has, netboot.ShimName)) {
				dir = has
			}
		}
		if without || isSigned(files[netboot.UKIName]) {
			return nil
		}
	}
	_, err := os.Stat(filepath.Join(dir, netboot.ShimName))
	switch {
	case err != nil && given:
		return fmt.Errorf("cannot find shim for Secure Boot: %w; make SECUREBOOT=1 gets it", err)
	case err != nil:
		return nil
	}
	optional := []string{netboot.MokManagerName, netboot.MediumName}
	for _, name := range append(optional, netboot.ShimName, netboot.GRUBName) {
		_, err := os.Stat(filepath.Join(dir, name))
		if slices.Contains(optional, name) && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("shim needs it: %w; make SECUREBOOT=1 gets it", err)
		}
		files[name] = filepath.Join(dir, name)
	}
	return nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// isSigned reports whether a file has a signature.
func isSigned(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, err := kernel.FindSignature(f, info.Size())
	return s != nil || err != nil
}
