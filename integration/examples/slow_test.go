//go:build slow

// Package examples boots what examples/ has, as make builds it from Debian's packages, from docker's registry.
package examples

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestMain lets more tests start than machines can run.
func TestMain(m *testing.M) { vm.Main(m) }

// TestSlowUpdate is the life of a server with Debian 13: its firmware starts the medium in its drive, and the first
// boot stores the configuration in NVRAM. The next one needs nothing else. Then the tag moves at the registry, the
// running system sees that, and reboots into the new image. The first boot only loads what it has pulled, so until then
// the tag is a small image's.
func TestSlowUpdate(t *testing.T) {
	t.Parallel()
	clean(t, "debian-trixie")
	clean(t, "server-trixie")
	registry := imagetest.Distribution{}.Start(t)
	stable, first := registry.Host+"/debian:stable", registry.Host+"/debian:first"
	push(t, small(t), stable)
	old := push(t, server(t, "trixie"), first)
	v, at := fromDrive(t, "wyr.efi=write,yes "+vm.Boot(fromGuest(stable))+" wyr.arg=console=ttyS0")
	v.Wait(`^wyrboot: NVRAM holds the configuration`, patience)
	skopeo(t, "docker://"+first, "docker://"+stable)
	v.Wait(`^wyrboot: reboots`, time.Minute)
	v.Wait(`^wyrboot: configuration: wyr\.img, .* from NVRAM`, patience)
	v.Wait(`^wyrboot: starts kernel 6\.12\.\S+ of `+fromGuest(stable), patience)

	dns := nameServer(t)
	before := at.probe(t, v, dns)
	sound(t, before, map[string]string{"release": "trixie", "cmdline": "console=ttyS0", "second": ""})

	next := push(t, server(t, "trixie", imagetest.File("etc/second", "yes\n")), registry.Host+"/debian:next")
	if next == old {
		t.Fatal("the two images are the same")
	}
	skopeo(t, "docker://"+registry.Host+"/debian:next", "docker://"+stable)
	at.reboots(t, next)
	v.Wait(`^wyrboot: configuration: wyr\.img, .* from NVRAM`, patience)
	after := at.probe(t, v, dns)
	sound(t, after, map[string]string{"release": "trixie", "second": "yes"})
	different(t, before, after)
}

// small returns an image that has what Wyrcan needs, and nothing else.
func small(t *testing.T) v1.Image {
	t.Helper()
	return imagetest.Image(t, imagetest.Files(imagetest.Dir("boot"),
		imagetest.File("boot/wyrcan.kernel", read(t, vm.Artefact(t, "wyrcan.kernel"))),
		imagetest.File("init", read(t, vm.Artefact(t, "wyrcan.demo"))).Mode(0o755)))
}

// fromDrive starts a machine with OVMF from out/wyrcan.iso. The hypervisor gives it the arguments of Wyrcan.
func fromDrive(t *testing.T, arguments string) (*vm.VM, host) {
	t.Helper()
	at := newHost(t)
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(arguments), 0o600); err != nil {
		t.Fatal(err)
	}
	v := vm.Machine{
		CPUs: 1, Long: true, Reboots: true, NICs: []string{},
		Firmware: []string{"-machine", "q35",
			"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
			"-drive", "if=pflash,format=raw,unit=1,file=" + variables(t),
			"-drive", "if=none,id=medium,format=raw,readonly=on,media=cdrom,file=" + vm.Artefact(t, "wyrcan.iso"),
			"-device", "ide-cd,drive=medium,bootindex=1"},
		QEMU: []string{"-netdev", "user,id=net," + at.forward(), "-device", "virtio-net-pci,netdev=net,romfile=",
			"-fw_cfg", "name=opt/io.systemd.credentials/wyr.config,file=" + file},
	}.Start(t)
	return v, at
}

// documented returns the command line with a quoted argument that docs/booting.md has for Wyrcan by Wyrcan.
func documented(t *testing.T) string {
	t.Helper()
	_, section, _ := strings.Cut(read(t, "../../docs/booting.md"), "\n## Wyrcan by Wyrcan\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "    ") && strings.Contains(line, `wyr.arg=wyr.arg="`) {
			return strings.TrimSpace(line)
		}
	}
	t.Fatal("docs/booting.md has no such line")
	return ""
}

// TestSlowTwoMachines boots one image of Debian 12 twice: once directly, once by way of the Wyrcan that is a container.
func TestSlowTwoMachines(t *testing.T) {
	t.Parallel()
	clean(t, "debian-bookworm")
	clean(t, "server-bookworm")
	registry := imagetest.Distribution{}.Start(t)
	dns := nameServer(t)
	stable, wyrcan := registry.Host+"/debian:stable", registry.Host+"/wyrcan"
	push(t, server(t, "bookworm"), stable)
	skopeo(t, "oci:"+vm.Artefact(t, "wyrcan.oci"), "docker://"+wyrcan)

	chain := strings.NewReplacer("registry.example/wyrcan", fromGuest(wyrcan), "registry.example/debian",
		fromGuest(stable)).Replace(documented(t))
	chain += " wyr.insecure=" + fromGuest(registry.Host) + " wyr.arg=wyr.insecure=" + fromGuest(registry.Host) +
		" wyr.arg=console=ttyS0 wyr.arg=wyr.arg=console=ttyS0"
	facts := make([]map[string]string, 2)
	t.Run("machines", func(t *testing.T) {
		for i, line := range []string{vm.Boot(fromGuest(stable)) + " wyr.arg=console=ttyS0", chain} {
			t.Run([]string{"direct", "chained"}[i], func(t *testing.T) {
				t.Parallel()
				at := newHost(t)
				v := vm.Machine{Kernel: vm.Unpacked(t), Long: true, Cmdline: line,
					NICs: []string{vm.UserNIC("virtio-net-pci", at.forward())}}.Start(t)
				facts[i] = at.probe(t, v, dns)
				sound(t, facts[i], map[string]string{"release": "bookworm", "image": fromGuest(stable),
					"cmdline": []string{"console=ttyS0", "quiet loglevel=3 console=ttyS0"}[i]})
			})
		}
	})
	different(t, facts[0], facts[1])
}
