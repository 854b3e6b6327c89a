package vm

import (
	"path/filepath"
	"testing"

	"github.com/hugelgupf/vmtest/qemu"
)

// A board is what differs between the machines of two architectures.
type board struct {
	arch    qemu.Arch
	dir     string                  // where make puts the artefacts, below out
	console string                  // the first serial line
	command func(testing.TB) string // QEMU with its machine and processor
}

// boards returns the board of each architecture, by GOARCH's name.
func boards() map[string]board {
	return map[string]board{
		"amd64": {arch: qemu.ArchAMD64, console: "ttyS0", command: accelerated},
		"arm64": {arch: qemu.ArchArm64, dir: "arm64", console: "ttyAMA0",
			command: func(testing.TB) string { return emulated }},
	}
}

// emulated is QEMU for arm64. A kernel that is started directly finds a device tree, one that firmware starts finds
// ACPI. The processor has no pointer authentication, which costs a third of the time under emulation.
const emulated = "qemu-system-aarch64 -machine virt -accel tcg -cpu cortex-a72"

// artefact returns the name below out/ of what make has built for this architecture.
func (b board) artefact(name string) string { return filepath.Join(b.dir, name) }
