package efivar

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mountAt mounts efivarfs on dir, unless it is mounted there. u-root's init cannot mount it in most kernels, where
// efivarfs is a module that is loaded later.
func mountAt(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err == nil && st.Type == unix.EFIVARFS_MAGIC {
		return nil
	}
	// The kernel makes /sys/firmware/efi if and only if EFI firmware started it.
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

// checkSpace returns an error if size bytes of data do not fit into NVRAM. In newer kernels statfs(2) on efivarfs
// returns the sizes of the firmware's QueryVariableInfo(). The available size excludes 5 KiB that the kernel reserves
// on x86, because some firmware bricks the machine when NVRAM is full. Older kernels, and firmware without that call,
// report 0 of 0 bytes. Then checkSpace cannot tell, and if NVRAM is full the write fails with ENOSPC.
func (v Var) checkSpace(size int) error {
	var st unix.Statfs_t
	if err := unix.Statfs(v.dir(), &st); err != nil {
		return fmt.Errorf("cannot see how much NVRAM is free: %w", err)
	}
	free, need := st.Bavail*uint64(st.Bsize), uint64(size+overhead)
	if st.Blocks != 0 && free < need {
		return fmt.Errorf("cannot write the EFI variable Wyrcan: it needs %d bytes of NVRAM and %d are available; "+
			"shorten the configuration, or delete what is not needed (wyr.efi=clear, old boot entries in the firmware's setup)",
			need, free)
	}
	return nil
}

// explain returns an error that says why the operation op on the variable failed, and what to do. The causes are the
// errors that the kernel makes of EFI's (efi_status_to_err of drivers/firmware/efi/vars.c), and those of the mount.
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
