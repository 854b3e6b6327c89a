package main

import "embed"

// embedded has wyrinit/ARCH for each architecture if make has built this program, and none otherwise: see
// wyrinit/README.
//
//go:embed wyrinit
var embedded embed.FS

// embeddedWyrinit returns the embedded wyrinit for an architecture, or nil if there is none.
func embeddedWyrinit(arch string) []byte {
	b, err := embedded.ReadFile("wyrinit/" + arch)
	if err != nil {
		return nil
	}
	return b
}
