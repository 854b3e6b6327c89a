package efivar

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mountAt puts efivarfs on dir, unless it is there. u-root's init mounts what the kernel knows when it starts, and in
// most kernels efivarfs is a module that comes later.
func mountAt(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err == nil && st.Type == unix.EFIVARFS_MAGIC {
		return nil
	}
	// The kernel makes /sys/firmware/efi if, and only if, EFI firmware started it.
	if _, err := os.Stat(filepath.Dir(filepath.Clean(dir))); errors.Is(err, fs.ErrNotExist) {
		return ErrNoEFI
	}
	err := unix.Mount("efivarfs", dir, "efivarfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	switch {
	case err == nil || errors.Is(err, unix.EBUSY): // EBUSY: another process was faster
		return nil
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("cannot reach NVRAM: the kernel has no efivarfs; load its module (%w)", err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("cannot reach NVRAM: the firmware offers no variables once the kernel runs (%w)", err)
	}
	return fmt.Errorf("cannot mount efivarfs on %s: %w", dir, err)
}

// checkSpace fails if size bytes of data do not fit. In newer kernels statfs(2) on efivarfs tells what the firmware's
// QueryVariableInfo() says, and as available what the kernel lets be used: on x86 it keeps 5 KiB back, as some
// firmware bricks the machine when full. Older kernels, and firmware without that call, tell 0 of 0 bytes. Then nothing
// is known beforehand, and a full NVRAM shows as ENOSPC of the write.
func (v Var) checkSpace(size int) error {
	var st unix.Statfs_t
	if err := unix.Statfs(v.dir(), &st); err != nil {
		return fmt.Errorf("cannot see how much NVRAM is free: %w", err)
	}
	free, need := st.Bavail*uint64(st.Bsize), uint64(size+overhead)
	if st.Blocks != 0 && free < need {
		return fmt.Errorf("cannot write the EFI variable Wyrcan: it needs %d bytes of NVRAM and %d are available; shorten the configuration, or delete what is not needed (wyr.efi=clear, old boot entries in the firmware's setup)",
			need, free)
	}
	return nil
}

// explain turns the error of an operation on the variable into what a person can do about it. The errors are those
// that the kernel makes of EFI's (efi_status_to_err of drivers/firmware/efi/vars.c), and those of the mount.
func explain(op string, err error) error {
	next := ""
	switch {
	case errors.Is(err, unix.ENOSPC):
		next = "NVRAM has no room for it; delete what is not needed, such as old boot entries, in the firmware's setup"
	case errors.Is(err, unix.EROFS):
		next = "the firmware or the mount of efivarfs is read-only; look for a write protection in the firmware's setup"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, fs.ErrPermission):
		next = "the kernel or the firmware forbids it; run as root, and look for a write protection in the firmware's setup"
	case errors.Is(err, unix.EIO):
		next = "the firmware reports a device error; its NVRAM may be worn out"
	case errors.Is(err, unix.EINVAL):
		next = "the firmware refuses this variable"
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
		next = "the firmware cannot do that once the kernel runs"
	default:
		return fmt.Errorf("cannot %s the EFI variable Wyrcan: %w", op, err)
	}
	return fmt.Errorf("cannot %s the EFI variable Wyrcan: %s (%w)", op, next, err)
}
