//go:build !amd64 && !arm64

package kexec

import (
	"errors"
	"os"

	"github.com/u-root/u-root/pkg/boot/kexec"
	"github.com/u-root/u-root/pkg/boot/linux"
	"golang.org/x/sys/unix"
)

// load uses kexec_file_load, and u-root's kexec_load where the running kernel was built without the former.
func load(kernel, initrd *os.File, cmdline string) (Result, error) {
	err := loadFiles(kernel, initrd, cmdline)
	if !errors.Is(err, unix.ENOSYS) {
		return Result{Method: Files}, err
	}
	err = linux.KexecLoad(kernel, initrd, cmdline, nil, nil)
	var refused kexec.ErrKexec
	if errors.As(err, &refused) {
		err = &Error{Method: Segments, Errno: refused.Errno, Entry: refused.Entry,
			Segments: described(refused.Segments), Flags: refused.Flags}
	}
	return Result{Method: Segments}, err
}

func segmentsAllowed() bool { return false }
