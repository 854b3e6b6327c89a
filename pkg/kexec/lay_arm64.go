package kexec

import (
	"os"

	"github.com/u-root/u-root/pkg/boot/kexec"
)

// lay lays out what the next kernel will find in memory, on the machine that /sys and /proc show.
func lay(n next) (uintptr, kexec.Segments, error) {
	b, err := readBoard("/", uint64(os.Getpagesize()))
	if err != nil {
		return 0, nil, err
	}
	return b.lay(n)
}
