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

// unified returns the demo container's kernel as a unified kernel image, with that command line.
func unified(t *testing.T, cmdline string) []byte {
	t.Helper()
	kernel := read(t, vm.Artefact(t, "wyrcan.kernel"))
	img := uki.Image{
		Stub:    read(t, "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"),
		Release: "ID=test\n",
		Cmdline: cmdline,
		Initrd:  []byte("nobody unpacks this"),
		Kernel:  kernel,
	}
	b, err := img.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
