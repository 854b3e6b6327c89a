package integration

import (
	"encoding/pem"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

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

// TestISO starts the medium as a CD. As a disk it is a slow test.
func TestISO(t *testing.T) {
	t.Parallel()
	bootsISO(t, asCD)
}

// bootsISO checks that the medium boots the image that NVRAM names, and leaves NVRAM unchanged.
func bootsISO(t *testing.T, device string) {
	t.Helper()
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
