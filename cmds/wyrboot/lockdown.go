package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
	"gitlab.com/wyrcan/wyrcan/pkg/kexec"
	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// A lock is what keeps this machine from starting any kernel that it is given.
type lock struct {
	mode       string // of the kernel's lockdown: "integrity" or "confidentiality"; "" without lockdown
	secureBoot bool   // the firmware verifies what it starts
}

// readLock reads it from below root: security/lockdown/lockdown.c; and what the kernel was told by its EFI stub, or by
// the kernel before it, in secure_boot of Documentation/arch/x86/zero-page.rst, with the values of efi_secureboot_mode
// in include/linux/efi.h. Other architectures tell it nowhere. What cannot be read is off.
func readLock(root fs.FS) (l lock) {
	const offset, enabled = 0x1ec, 3
	_, mode, _ := strings.Cut(text(root, "sys/kernel/security/lockdown"), "[") // none [integrity] confidentiality
	if mode, _, _ = strings.Cut(mode, "]"); mode != "none" {
		l.mode = mode
	}
	b, err := smallfile.Read(root, "sys/kernel/boot_params/data", 4096)
	l.secureBoot = err == nil && len(b) > offset && b[offset] == enabled
	return l
}

// String returns a sentence for a person, "" if nothing is locked.
func (l lock) String() string {
	const consequence = "only a container whose kernel is signed by a key that this machine trusts can be started"
	switch {
	case l.mode != "" && l.secureBoot:
		return fmt.Sprintf("Secure Boot is on, and the kernel is locked down (%s): %s", l.mode, consequence)
	case l.mode != "":
		return fmt.Sprintf("the kernel is locked down (%s): %s", l.mode, consequence)
	case l.secureBoot:
		return "Secure Boot is on, but this kernel is not locked down, so it starts every kernel"
	}
	return ""
}

// signed says who has signed a kernel, for the error about one that was refused.
func signed(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	switch s, err := kernel.FindSignature(f, info.Size()); {
	case err != nil:
		return fmt.Sprintf(" with a damaged signature (%v)", err)
	case s == nil:
		return " without a signature"
	default:
		return fmt.Sprintf(" signed by %q", s.Signer)
	}
}

// refused returns the error of a kernel that could not be loaded. by says who has signed that kernel.
func (c *cmd) refused(err error, by string) error {
	var e *kexec.Error
	if !errors.As(err, &e) || !e.Unsigned() {
		return fmt.Errorf("cannot start the kernel of %s: %w", c.config.Image, err)
	}
	return fmt.Errorf("cannot start the kernel%s of %s: %w; see docs/secure-boot.md", by, c.config.Image, err)
}
