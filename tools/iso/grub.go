package main

import (
	"fmt"
	"os"
	"path/filepath"

	"gitlab.com/wyrcan/wyrcan/pkg/grub"
	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
)

// signedESP writes the files of the EFI system partition below dir: shim, and beside it what it starts. Fallback,
// fbx64.efi, is not among them: if it were there, shim would start that, which is for an installed system.
func (c *cmd) signedESP(dir string) error {
	if c.arch != "amd64" {
		return fmt.Errorf("a medium with shim and GRUB is for amd64, not for %q", c.arch)
	}
	copies := map[string]string{"EFI/BOOT/BOOTX64.EFI": c.boot, "EFI/BOOT/grubx64.efi": c.grub}
	if c.mok != "" {
		copies["EFI/BOOT/mmx64.efi"] = c.mok
	}
	if err := fill(dir, copies, nil); err != nil {
		return err
	}
	return c.stamp(dir)
}

// disc writes the files of the CD's own file system, below dir. GRUB does not see the FAT image on a CD: it looks
// there. Firmware cannot read that file system, so without GRUB there are none.
func (c *cmd) disc(dir string) error {
	if c.grub == "" {
		return nil
	}
	if err := signed(c.kernel); err != nil {
		return err
	}
	menu, err := grub.Entry{Kernel: "/kernel", Initrd: "/initrd", Cmdline: c.cmdline, Timeout: 5}.Padded()
	if err != nil {
		return err
	}
	return fill(dir, map[string]string{"kernel": c.kernel, "initrd": c.initrd}, map[string]string{
		".disk/info":         "Wyrcan\n", // the signed GRUB takes the first medium with this file for its own
		"boot/grub/grub.cfg": menu,
	})
}

// signed returns an error if a kernel has no signature. GRUB would not start it where Secure Boot is on.
func signed(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	switch s, err := kernel.FindSignature(f, info.Size()); {
	case err != nil:
		return fmt.Errorf("the kernel %s is damaged: %w", name, err)
	case s == nil:
		return fmt.Errorf("the kernel %s is not signed, so it does not start where Secure Boot is on: "+
			"use the one of the distribution's package", name)
	}
	return nil
}

// fill writes copies of files, and texts, to their paths below dir.
func fill(dir string, copies, texts map[string]string) error {
	for name, from := range copies {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := put(filepath.Join(dir, name), b); err != nil {
			return err
		}
	}
	for name, text := range texts {
		if err := put(filepath.Join(dir, name), []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// put writes a file, with its directory.
func put(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o644)
}
