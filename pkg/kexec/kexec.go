// Package kexec hands the machine to another kernel: kexec_load(2) where it may, else kexec_file_load(2), then reboot(2) with
// LINUX_REBOOT_CMD_KEXEC, the latter two through u-root's boot/kexec. It does not unpack or check kernels.
package kexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/boot/kexec"
	"golang.org/x/sys/unix"
)

// loadedFile is "1" once a kernel is ready to be jumped to: Documentation/ABI/testing/sysfs-kernel-kexec-kdump
const loadedFile = "/sys/kernel/kexec_loaded"

// Load makes kernel, with initrd as its initramfs and cmdline as its command line, the one that Jump starts. Both files
// are read from their start; nothing of them is needed afterwards. On amd64 it uses kexec_load, which is several times as
// fast (docs/benchmarks.md), and kexec_file_load where that is forbidden, as under lockdown, or cannot start the kernel: then
// slow says why. On other architectures it is the other way round.
func Load(kernel, initrd *os.File, cmdline string) (slow, err error) {
	return load(kernel, initrd, cmdline)
}

// Copies tells how often the running kernel holds an initrd in memory while it is loaded, beside the file: once where it
// goes straight into the pages that the next kernel finds it in, twice where kexec_file_load reads the file before.
func Copies() int {
	if segmentsAllowed() {
		return 1
	}
	return 2
}

// loadFiles has the running kernel read the files.
func loadFiles(kernel, initrd *os.File, cmdline string) error {
	if err := kexec.FileLoad(kernel, initrd, cmdline); err != nil {
		return explain(err)
	}
	return nil
}

// explain says what the errors of kexec_file_load mean: kernel/kexec_file.c, kernel_read_file(9), crypto/asymmetric_keys.
func explain(err error) error {
	for _, e := range []struct {
		errno unix.Errno
		says  string
	}{
		{unix.EPERM, "this kernel is locked down and trusts no signature of the container's kernel, or it forbids kexec (sysctl kernel.kexec_load_disabled=1)"},
		{unix.ENODATA, "Secure Boot asks for a signed kernel and the container's kernel has no signature"},
		{unix.EKEYREJECTED, "the signature of the container's kernel does not fit it"},
		{unix.ENOKEY, "the container's kernel is signed by a key that this machine does not trust"},
		{unix.ENOEXEC, "the container's kernel is not in a form that this kernel can start"},
		{unix.EINVAL, "the container's kernel, or its command line, was refused by this kernel"},
		{unix.ENOMEM, "there is not enough memory to hold the container's kernel and initrd a second time"},
		{unix.EADDRNOTAVAIL, "there is no stretch of free memory large enough for the container's initrd"},
		{unix.EBUSY, "another kexec is in progress"},
	} {
		if errors.Is(err, e.errno) {
			return fmt.Errorf("%s: kexec_file_load: %w", e.says, e.errno)
		}
	}
	return err
}

// Unload makes the running kernel forget what was loaded. It is no error if nothing was.
func Unload() error {
	err := unix.KexecFileLoad(-1, -1, "", unix.KEXEC_FILE_UNLOAD)
	if errors.Is(err, unix.ENOSYS) {
		// No segments: kexec_load(2).
		if _, _, errno := unix.Syscall6(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0, 0, 0); errno != 0 {
			return fmt.Errorf("cannot unload the kernel: kexec_load: %w", errno)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot unload the kernel: kexec_file_load: %w", err)
	}
	return nil
}

// Loaded tells whether a kernel is loaded and ready to be jumped to.
func Loaded() (bool, error) {
	b, err := os.ReadFile(loadedFile)
	if err != nil {
		return false, fmt.Errorf("cannot ask for kexec's state: %w", err)
	}
	return strings.TrimSpace(string(b)) == "1", nil
}

// Wait returns when a kernel is loaded. kexec_file_load loads before it returns, but a kernel that was loaded by another
// process (or that kexec_load is still busy with) shows up here only when it is ready.
func Wait(ctx context.Context) error {
	for {
		ok, err := Loaded()
		if ok || err != nil {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the loaded kernel does not become ready: %w", ctx.Err())
		}
	}
}

// Jump starts the loaded kernel at once. File systems are synced first; no process is told. It returns only if that fails.
func Jump() error {
	unix.Sync()
	return kexec.Reboot()
}
