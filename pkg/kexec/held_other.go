//go:build !amd64

package kexec

import (
	"errors"
	"os"
)

// Held is a loaded kernel whose contents lie in pages of this process: see Hold.
//
// There is none but on amd64. On arm64 the running kernel ends with the MMU off, and with it the caches. What lies in
// pages of ours would have to be written from the caches to the memory before, which the running kernel does only for
// its segments (arch/arm64/kernel/machine_kexec.c, kexec_segment_flush or kexec_list_flush).
type Held struct{}

// Jump returns an error.
func (*Held) Jump() error { return canHold() }

// Close does nothing.
func (*Held) Close() error { return nil }

func holdKernel(_, _, _ *os.File, _ string) (*Held, error) { return nil, canHold() }

func canHold() error { return errors.New("only on amd64 can a kernel be loaded without a copy") }
