package integration

import (
	"os"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/uki"
)

// read returns the content of a file.
func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pushed serves an image with this kernel as /boot/wyrcan.kernel, and returns the image's name for a machine.
func pushed(t *testing.T, kernel []byte) string {
	t.Helper()
	layer := imagetest.Files(imagetest.Dir("boot"), imagetest.File("boot/wyrcan.kernel", string(kernel)))
	return fromGuest(imagetest.Serve(t).Push(t, "demo", imagetest.Image(t, layer, initLayer(t))))
}

// TestShortHeader boots a kernel whose header is too short for kexec_load. So kexec_file_load loads it, as it loads
// every kernel under lockdown.
func TestShortHeader(t *testing.T) {
	t.Parallel()
	kernel := read(t, vm.Artefact(t, "wyrcan.kernel"))
	kernel[0x201] = 0x62 // the header ends before handover_offset, which only firmware uses
	v := vm.Machine{Cmdline: consoles + " " + vm.Boot(pushed(t, kernel))}.Start(t)
	v.Wait(`wyrboot: loaded the kernel with kexec_file_load, which takes longer: a bzImage with a damaged header`,
		vm.Patience)
	if line := spoke(t, v); line != "console=ttyS0 demo=once" {
		t.Errorf("the container's command line is %q", line)
	}
}

// TestUnifiedKernel boots a container whose kernel is a unified kernel image. The kernel comes from that image, and its
// command line stands before the arguments. The initrd is the container, not that of the image.
func TestUnifiedKernel(t *testing.T) {
	t.Parallel()
	img := uki.Image{
		Stub:    read(t, "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"),
		Release: "ID=test\n",
		Cmdline: "console=ttyS0 loglevel=5 panic=-1",
		Initrd:  []byte("nobody unpacks this"),
		Kernel:  read(t, vm.Artefact(t, "wyrcan.kernel")),
	}
	kernel, err := img.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	v := vm.Machine{Cmdline: vm.Boot(pushed(t, kernel)) + " wyr.arg=loglevel=6 wyr.arg=demo=once"}.Start(t)
	if line := spoke(t, v); line != "console=ttyS0 loglevel=5 panic=-1 loglevel=6 demo=once" {
		t.Errorf("the container's command line is %q", line)
	}
	v.Exit(stepTime)
	v.Never(`Initramfs unpacking failed`)
}
