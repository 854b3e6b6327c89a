package image

import (
	"cmp"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/cpu"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// variants lists the variants of architectures, the least demanding first (image-spec, image-index.md, "Platform
// Variants", and Go's GOAMD64 levels, which buildkit uses).
var variants = map[string][]string{
	"amd64": {"v1", "v2", "v3", "v4"},
	"arm":   {"v5", "v6", "v7"},
	"arm64": {"v8", "v9"},
}

// plain is the variant of an image that names none.
var plain = map[string]string{"amd64": "v1", "arm": "v7", "arm64": "v8"}

// Normalize returns p with Go's names of architectures, which this package uses. Some tools write the names of uname
// or Debian instead. It knows the names that containerd and docker accept (github.com/containerd/platforms,
// normalizeArch).
func Normalize(p v1.Platform) v1.Platform {
	p.OS, p.Architecture, p.Variant = strings.ToLower(p.OS), strings.ToLower(p.Architecture), strings.ToLower(p.Variant)
	switch p.Architecture {
	case "i386":
		p.Architecture, p.Variant = "386", ""
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	switch v := p.Variant; p.Architecture {
	case "arm64":
		switch v {
		case "8", "8.0", "v8.0":
			p.Variant = "v8"
		case "9", "9.0", "v9.0":
			p.Variant = "v9"
		}
	case "arm":
		if v == "5" || v == "6" || v == "7" || v == "8" {
			p.Variant = "v" + v
		}
	}
	return p
}

// platformRank reports whether a machine of platform want can run an image for platform have. Of two images that it
// can run, the one with the higher rank is better: it uses more of the machine's features. Both platforms must be
// normalized.
func platformRank(have, want v1.Platform) (rank int, ok bool) {
	if have.OS != "" && have.OS != want.OS || have.Architecture != want.Architecture {
		return 0, false
	}
	if have.Variant == want.Variant {
		return variantLevel(want.Architecture, want.Variant) + 1, true
	}
	h, w := variantLevel(have.Architecture, have.Variant), variantLevel(want.Architecture, want.Variant)
	if h < 0 || w < 0 {
		return 0, false // an unknown variant runs only on a machine of the same variant
	}
	return h + 1, h <= w
}

// variantLevel returns the position of a variant in the order of its architecture, or -1 for an unknown variant.
func variantLevel(arch, variant string) int {
	if variant = cmp.Or(variant, plain[arch]); variant == "" {
		return 0 // an architecture that has no variants
	}
	return slices.Index(variants[arch], variant)
}

// hostVariant returns the most demanding variant that this machine can run.
func hostVariant() string {
	if runtime.GOARCH != "amd64" {
		return plain[runtime.GOARCH]
	}
	// The levels of the x86-64 psABI. Some versions of x/sys/cpu have no flag of their own for LAHF, CMPXCHG16B or
	// LZCNT, but no processor has the others without these.
	x := &cpu.X86
	switch {
	case !(x.HasSSE3 && x.HasSSSE3 && x.HasSSE41 && x.HasSSE42 && x.HasPOPCNT && x.HasCX16):
		return "v1"
	case !(x.HasAVX && x.HasAVX2 && x.HasBMI1 && x.HasBMI2 && x.HasFMA && x.HasOSXSAVE):
		return "v2"
	case !(x.HasAVX512F && x.HasAVX512BW && x.HasAVX512CD && x.HasAVX512DQ && x.HasAVX512VL):
		return "v3"
	}
	return "v4"
}

// platformText returns a platform as docker writes it: "linux/arm64/v8".
func platformText(p v1.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return printable.Line(s)
}
