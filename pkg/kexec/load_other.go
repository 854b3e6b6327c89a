//go:build !amd64 && !arm64

package kexec

import "os"

// load uses kexec_file_load: kexec_load needs a layout for each architecture.
func load(kernel, initrd *os.File, cmdline string) (Result, error) {
	return Result{Method: Files}, loadFiles(kernel, initrd, cmdline)
}

func segmentsAllowed() bool { return false }
