//go:build slow

package integration

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

func TestSlowISOAsDisk(t *testing.T) {
	t.Parallel()
	bootsISO(t, asDisk)
}

func TestSlowPXELINUX(t *testing.T) {
	t.Parallel()
	dir := bootDir(t, map[string]string{
		"pxelinux.0":           "/usr/lib/PXELINUX/pxelinux.0",
		"ldlinux.c32":          "/usr/lib/syslinux/modules/bios/ldlinux.c32",
		"pxelinux.cfg/default": documented(t, "PXELINUX", "DEFAULT", docImage, allowed(demo(t)), docQuiet, consoles),
	})
	m := vm.Machine{CPUs: 1, NICs: []string{}, Firmware: netboot(dir, "pxelinux.0")}
	if line := spoke(t, m.Start(t)); line != "console=ttyS0 demo=once" {
		t.Errorf("the container's command line is %q", line)
	}
}

// The card has no ROM, so OVMF itself fetches GRUB.
func TestSlowGRUB(t *testing.T) {
	t.Parallel()
	dir := bootDir(t, map[string]string{
		"grubnetx64.efi": "/usr/lib/grub/x86_64-efi/monolithic/grubnetx64.efi",
		"grub/grub.cfg": documented(t, "GRUB", "menuentry", docImage, allowed(demo(t))+` "wyr.arg=two words"`,
			docQuiet, consoles),
	})
	m := vm.Machine{CPUs: 1, NICs: []string{}, Firmware: append(newNVRAM(t).efi(), netboot(dir, "grubnetx64.efi")...)}
	m.Firmware[len(m.Firmware)-1] += ",romfile="
	if line := spoke(t, m.Start(t)); line != "console=ttyS0 demo=once two words" {
		t.Errorf("the container's command line is %q", line)
	}
}

// itself serves Wyrcan as a container, and returns its name for a machine.
func itself(t *testing.T) string {
	t.Helper()
	index, err := layout.ImageIndexFromPath(vm.Artefact(t, "wyrcan.oci"))
	if err != nil {
		t.Fatal(err)
	}
	return fromGuest(imagetest.Serve(t).Push(t, "wyrcan", index))
}
