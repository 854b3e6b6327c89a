package image

import (
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"golang.org/x/sys/cpu"
)

// variants lists the variants of architectures, the least demanding first. "" is what an image that names none has.
// (image-spec, image-index.md, "Platform Variants", and Go's GOAMD64 levels, which buildkit uses.)
var variants = map[string][]string{
	"amd64": {"v1", "v2", "v3", "v4"},
	"arm":   {"v5", "v6", "v7"},
	"arm64": {"v8", "v9"},
}

// plain is the variant that "" stands for.
var plain = map[string]string{"amd64": "v1", "arm": "v7", "arm64": "v8"}

// Normalize gives a platform the names that this package and Go know it by, in place of uname's and Debian's, which some
// tools write: those that containerd takes, and so docker (github.com/containerd/platforms, normalizeArch).
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

// platformRank reports whether a machine that is want can run an image made for have, and how much of the machine such an
// image uses: of two that it can run, the one with the higher rank is the better. Both must be normalized.
func platformRank(have, want v1.Platform) (rank int, ok bool) {
	if have.OS != "" && have.OS != want.OS || have.Architecture != want.Architecture {
		return 0, false
	}
	if have.Variant == want.Variant {
		return variantLevel(want.Architecture, want.Variant) + 1, true
	}
	h, w := variantLevel(have.Architecture, have.Variant), variantLevel(want.Architecture, want.Variant)
	if h < 0 || w < 0 {
		return 0, false // a variant nobody knows runs only on a machine that was called just that
	}
	return h + 1, h <= w
}

// variantLevel returns the place of a variant in its architecture's order, -1 if it has none.
func variantLevel(arch, variant string) int {
	if variant == "" {
		variant = plain[arch]
	}
	for i, v := range variants[arch] {
		if v == variant {
			return i
		}
	}
	if variant == "" {
		return 0 // an architecture that has no variants
	}
	return -1
}

// hostVariant returns the most demanding variant that this machine runs.
func hostVariant() string {
	if runtime.GOARCH != "amd64" {
		return plain[runtime.GOARCH]
	}
	// The levels of the x86-64 psABI. x/sys/cpu does not report LAHF, CMPXCHG16B's and LZCNT's flags by themselves in
	// all versions; no processor has the rest without them.
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

// platformText writes a platform as docker does: "linux/arm64/v8".
func platformText(p v1.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return printable.Line(s)
}
