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

// loadedFile is "1" once a kernel is loaded: Documentation/ABI/testing/sysfs-kernel-kexec-kdump.
const loadedFile = "/sys/kernel/kexec_loaded"

// Method is the system call that loads a kernel.
type Method string

const (
	Segments Method = "kexec_load"      // the caller says which bytes go to which address
	Files    Method = "kexec_file_load" // the running kernel reads the files itself
)

// Result says how a kernel was loaded.
type Result struct {
	Method Method
	Why    error // why not with the faster method; nil if it was that one, or if there is no other
}

// Load makes kernel, with initrd as its initramfs and cmdline as its command line, the one that Jump starts. Both files
// are read from their start; nothing of them is needed afterwards. On amd64 and arm64 it uses kexec_load, which is
// several times as fast (docs/benchmarks.md) or the only one that there is, and kexec_file_load where kexec_load is
// forbidden, as under lockdown, or cannot start the kernel.
func Load(kernel, initrd *os.File, cmdline string) (Result, error) {
	return load(kernel, initrd, cmdline)
}

// LoadImage does the same as Load, and leaves image, a file system image, in memory as well: the next kernel finds it
// as a block device, without a copy, and package pram finds the device. The memory is the image's as long as that
// kernel runs. The next kernel needs the drivers nd_e820 and nd_pmem. It uses kexec_load and nothing else.
func LoadImage(kernel, initrd, image *os.File, cmdline string) error {
	return loadImage(kernel, initrd, image, cmdline)
}

// Hold does the same as Load or, with an image, as LoadImage; image may be nil. But the running kernel gets no copies:
// everything stays in the pages of this process, and comes to its place between the two kernels. So only this process
// can start the kernel, with Jump of what is returned, and it must not end before. Nothing may write to the files until
// then; they may be closed.
//
// If Hold returns an error, nothing is loaded, and the files are as they were: Load and LoadImage may still work.
func Hold(kernel, initrd, image *os.File, cmdline string) (*Held, error) {
	return holdKernel(kernel, initrd, image, cmdline)
}

// CanHold returns nil if Hold can work on this machine, else why not.
func CanHold() error { return canHold() }

// CanLeaveImage returns nil if LoadImage can work on this machine, else why not. The sizes of the files may still be
// too large for the machine: kexec_load takes no more than half of its memory.
func CanLeaveImage() error { return canLeaveImage() }

// Copies returns how often the running kernel holds an initrd in memory while it loads it, besides the file: once where
// kexec_load puts it straight into the pages of the next kernel, twice where kexec_file_load reads the file first. With
// Hold it holds none.
func Copies() int {
	if segmentsAllowed() {
		return 1
	}
	return 2
}

// loadFiles loads with kexec_file_load.
func loadFiles(kernel, initrd *os.File, cmdline string) error {
	err := kexec.FileLoad(kernel, initrd, cmdline)
	var errno unix.Errno
	if err == nil || !errors.As(err, &errno) {
		return err
	}
	return &Error{Method: Files, Errno: errno, Kernel: size(kernel), Initrd: size(initrd), Cmdline: len(cmdline)}
}

// size returns how many bytes a file has, 0 if that is not known.
func size(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// Unload makes the running kernel forget the loaded one. It is no error if none was loaded.
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

// Loaded reports whether a kernel is loaded that Jump can start.
func Loaded() (bool, error) {
	b, err := os.ReadFile(loadedFile)
	if err != nil {
		return false, fmt.Errorf("cannot ask for kexec's state: %w", err)
	}
	return strings.TrimSpace(string(b)) == "1", nil
}

// Wait returns when a kernel is loaded. Load has loaded it when it returns; but a kernel that another process is still
// loading with kexec_load shows only when it is ready.
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

// Jump starts the loaded kernel at once. It syncs file systems first; it tells no process. It returns only on failure.
func Jump() error {
	unix.Sync()
	return kexec.Reboot()
}
