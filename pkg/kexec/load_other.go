//go:build !amd64

package kexec

import (
	"errors"
	"os"

	"github.com/u-root/u-root/pkg/boot/linux"
	"golang.org/x/sys/unix"
)

// load uses kexec_file_load, and u-root's kexec_load where the running kernel was built without the former.
func load(kernel, initrd *os.File, cmdline string) (slow, err error) {
	err = loadFiles(kernel, initrd, cmdline)
	if errors.Is(err, unix.ENOSYS) {
		err = linux.KexecLoad(kernel, initrd, cmdline, nil, nil)
	}
	return nil, err
}

func segmentsAllowed() bool { return false }
