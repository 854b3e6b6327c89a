//go:build slow

package integration

import (
	"fmt"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/newc"
)

// TestSlowHandover boots a container with microcode for the machine's processor, and with crashkernel=. The machine
// does not look like a virtual one, so its kernel looks for microcode; the emulated processors refuse it. Then the
// kernel that is still in the container's root takes over from the one that crashes.
func TestSlowHandover(t *testing.T) {
	t.Parallel()
	program := string(vm.Program(t, "./crasher"))
	second := newc.Header(nil,
		cpio.Info{Name: "init", Mode: unix.S_IFREG | 0o755, NLink: 1, FileSize: uint64(len(program))})
	second = newc.Trailer(newc.Pad(append(second, program...), int64(len(program))))
	// 06-3c-04 is the processor that QEMU calls Haswell.
	const revision = 0x7654
	ref := fromGuest(imagetest.Serve(t).Push(t, "crasher", imagetest.Image(t, layerOf(t, "wyrcan.kernel"), imagetest.Files(
		imagetest.File("init", program).Mode(0o755),
		imagetest.File("boot/second.initrd", string(second)),
		imagetest.File("usr/lib/firmware/intel-ucode/06-3c-04", string(imagetest.Microcode(0x306c4, revision))),
	))))
	v := vm.Machine{
		Kernel: vm.Unpacked(t), CPUs: 2, QEMU: []string{"-cpu", "Haswell,-hypervisor"},
		Cmdline: vm.Boot(ref) + " wyr.arg=console=ttyS0 wyr.arg=crashkernel=256M",
	}.Start(t)
	v.Wait(`^wyrboot: its first 2\.56 kB are microcode for this processor$`, bootTime+4*stepTime)
	v.Wait(fmt.Sprintf(`^crasher: kernel: .*microcode: CPU1 update to revision %#x failed$`, revision), kexecTime)
	v.Wait(`^crasher: kexec_crash_loaded is 1$`, stepTime)
	v.Wait(`^crasher: kexec_crash_size is 268435456$`, stepTime)
	v.Wait(`^crasher: the second kernel has a core of [0-9]{3,} MiB$`, kexecTime)
	v.Exit(stepTime)
	v.Never(`crasher: /kernel is there|npacking failed`)
}
