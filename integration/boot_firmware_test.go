package integration

import (
	"encoding/pem"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// OVMF starts the kernel with its initrd through the kernel's EFI stub, as a boot loader would.
func TestEFI(t *testing.T) {
	t.Parallel()
	m := vm.Machine{Cmdline: consoles + " " + vm.Boot(demo(t)), QEMU: newNVRAM(t).efi()}
	if line := spoke(t, m.Start(t)); line != "console=ttyS0 demo=once" {
		t.Errorf("the container's command line is %q", line)
	}
}

// The medium boots as a CD and as a disk. It boots the image that NVRAM names, and leaves NVRAM unchanged.
func TestISO(t *testing.T) {
	t.Parallel()
	for name, device := range map[string]string{"CD": asCD, "disk": asDisk} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stored := configured(t, demo(t))
			vars := newNVRAM(t, stored)
			v := vars.from(medium(t, vm.Artefact(t, "wyrcan.iso"), device)...).Start(t)
			if line := spoke(t, v); line != "console=ttyS0 demo=once" {
				t.Errorf("the container's command line is %q", line)
			}
			v.Exit(stepTime)
			if got := vars.wyrcan(t); string(got) != string(stored.Data) {
				t.Errorf("NVRAM holds %q, held %q", got, stored.Data)
			}
		})
	}
}

// QEMU's network cards have iPXE in their ROMs, for BIOS and for EFI.
func TestIPXE(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, firmware []string, dir string) {
		card := netboot(dir, "http://"+serveDir(t, dir)+"/boot.ipxe")
		m := vm.Machine{CPUs: 1, NICs: []string{}, Firmware: append(firmware, card...)}
		if line := spoke(t, m.Start(t)); line != "console=ttyS0 demo=once" {
			t.Errorf("the container's command line is %q", line)
		}
	}
	t.Run("EFI", func(t *testing.T) {
		t.Parallel()
		dir := bootDir(t, nil)
		write(t, filepath.Join(dir, "boot.ipxe"),
			documented(t, "iPXE", "#!ipxe", docImage, allowed(demo(t)), docServer, serveDir(t, dir), docQuiet,
				consoles))
		run(t, newNVRAM(t).efi(), dir)
	})
	// The second initrd has the certificate authority, the login and the address of the registry.
	t.Run("BIOS with files", func(t *testing.T) {
		t.Parallel()
		registry := imagetest.ServeTLS(t, login)
		_, port, err := net.SplitHostPort(registry.Host)
		if err != nil {
			t.Fatal(err)
		}
		registry.Push(t, "demo", imagetest.Image(t, kernelLayer(t), initLayer(t)))
		const name = "example.com" // the name in the certificate
		dir := bootDir(t, map[string]string{
			"extra/etc/hosts": "10.0.2.2 " + name + "\n",
			// The login is me:secret.
			"auth.json":        `{"auths": {"` + net.JoinHostPort(name, port) + `": {"auth": "bWU6c2VjcmV0"}}}`,
			"my-authority.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: registry.CA().Raw})),
		})
		archive := exec.Command("sh", "-e", "-c", documented(t, "iPXE", "cpio -o"))
		archive.Dir = dir
		if out, err := archive.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		write(t, filepath.Join(dir, "boot.ipxe"),
			documented(t, "iPXE", "extra.cpio quiet", docImage, net.JoinHostPort(name, port)+"/demo", docServer,
				serveDir(t, dir), docQuiet, consoles))
		run(t, nil, dir)
	})
}

// login requires a password for a registry.
func login(registry http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, password, ok := r.BasicAuth(); !ok || name != "me" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		registry.ServeHTTP(w, r)
	})
}

func TestPXELINUX(t *testing.T) {
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
func TestGRUB(t *testing.T) {
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

// Wyrcan boots Wyrcan, which boots the container: three kernels run. The last one gets the quoted argument.
func TestChain(t *testing.T) {
	t.Parallel()
	image, wyrcan := demo(t), itself(t)
	line := documented(t, "Wyrcan by Wyrcan", "wyr.arg=wyr.arg", docImage, image+" wyr.arg=wyr.insecure="+
		registryOf(image),
		"registry.example/wyrcan", allowed(wyrcan), "\n", "")
	m := vm.Machine{Cmdline: line + " wyr.arg=console=ttyS0 wyr.arg=wyr.arg=console=ttyS0 wyr.arg=wyr.arg=demo=once"}
	v := m.Start(t)
	v.Wait(`wyrboot: starts kernel \S+ of `+wyrcan, vm.Patience)
	if line := spoke(t, v); line != "quiet loglevel=3 console=ttyS0 demo=once" {
		t.Errorf("the container's command line is %q", line)
	}
}
