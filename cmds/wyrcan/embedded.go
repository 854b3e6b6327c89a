package main

import "embed"

// embedded has wyrinit/ARCH for each architecture if make has built this program, else neither: see wyrinit/README.
//
//go:embed wyrinit
var embedded embed.FS

// embeddedWyrinit returns the wyrinit for an architecture that this program has in it, nil for none.
func embeddedWyrinit(arch string) []byte {
	b, err := embedded.ReadFile("wyrinit/" + arch)
	if err != nil {
		return nil
	}
	return b
}
