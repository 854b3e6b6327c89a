//go:build slow

package integration

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// TestSlowLockdown boots a kernel without a signature. It starts on an ordinary machine, but not on one in lockdown
// mode, which Secure Boot enables.
func TestSlowLockdown(t *testing.T) {
	t.Parallel()
	kernel := read(t, vm.Artefact(t, "wyrcan.kernel"))
	// The signatures are at the end of the file (PE format, "The Attribute Certificate Table").
	at, size := signature(t, kernel)
	copy(kernel[at:], make([]byte, 8))
	kernel = kernel[:len(kernel)-size]
	cmdline := "wyr.arg=console=ttyS0 wyr.arg=demo=once " + vm.Boot(pushed(t, kernel))

	t.Run("open", func(t *testing.T) {
		t.Parallel()
		spoke(t, vm.Machine{Cmdline: cmdline}.Start(t))
	})
	t.Run("locked down", func(t *testing.T) {
		t.Parallel()
		v := vm.Machine{Cmdline: "lockdown=integrity " + cmdline}.Start(t)
		v.Wait(`Kernel is locked down from command line`, bootTime)
		v.Wait(`^wyrboot: cannot start the kernel without a signature of \S+: the running kernel is locked down and trusts `+
			`no signature of the container's kernel`, 4*stepTime)
		rebootsOnEnter(t, v)
	})
}

// signature returns the position of the header entry for the signatures of a PE program, and their size.
func signature(t *testing.T, program []byte) (entry, size int) {
	t.Helper()
	f, err := pe.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	dir := f.OptionalHeader.(*pe.OptionalHeader64).DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY]
	if dir.Size == 0 || int(dir.VirtualAddress+dir.Size) != len(program) {
		t.Fatalf("the kernel's signatures are %d bytes from %d of %d", dir.Size, dir.VirtualAddress, len(program))
	}
	b := binary.LittleEndian.AppendUint32(nil, dir.VirtualAddress)
	b = binary.LittleEndian.AppendUint32(b, dir.Size)
	return bytes.Index(program, b), int(dir.Size)
}
