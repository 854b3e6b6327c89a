//go:build !amd64 && !arm64

package kexec

import (
	"errors"
	"os"
)

// load uses kexec_file_load: kexec_load needs a layout for each architecture.
func load(kernel, initrd *os.File, cmdline string) (Result, error) {
	return Result{Method: Files}, loadFiles(kernel, initrd, cmdline)
}

func segmentsAllowed() bool { return false }

func loadImage(_, _, _ *os.File, _ string) error { return canLeaveImage() }

func canLeaveImage() error {
	return errors.New("only on amd64 can a file system image be left in memory for the next kernel")
}
