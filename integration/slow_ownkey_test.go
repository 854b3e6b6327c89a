//go:build slow

package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/ovmf"
	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// The documented recipe: a unified kernel image with a policy and the name of the image in its command line, signed
// with the key that the machine trusts. What is not signed does not count: the options of the boot entry, the
// configuration in NVRAM, and credentials all ask for another image and a shell. The container's kernel is signed with
// that key, too.
func TestSlowOwnKey(t *testing.T) {
	t.Parallel()
	const document, section = "docs/secure-boot.md", "Your own key"
	dir := copied(t)
	run(t, dir, "sh", "-e", "-c", documentedIn(t, document, section, "openssl rsa"))

	_, kernel := signer{dir}.sign(t, read(t, vm.Artefact(t, "wyrcan.kernel")))
	registry, team := imagetest.Serve(t), imagetest.NewSigner(t, "P-256")
	img := imagetest.Image(t, initLayer(t), imagetest.Files(imagetest.Dir("boot"),
		imagetest.File("boot/wyrcan.kernel", string(kernel))))
	signed, evil := fromGuest(registry.Push(t, "signed", img)), fromGuest(registry.Push(t, "evil", img))
	digest := imagetest.Digest(t, img)
	registry.AttachBundle(t, "signed", digest, team.Bundle(t, digest, "https://sigstore.dev/cosign/sign/v1", nil))

	write(t, filepath.Join(dir, "team.pub"), string(team.Public(t)))
	run(t, dir, "sh", "-e", "-c", documentedIn(t, document, section, "make KEYS=", docImage, allowed(signed), docQuiet,
		consoles))

	const program = `\EFI\Linux\wyrcan.efi`
	disk := fat(t, map[string]string{"EFI/Linux/wyrcan.efi": filepath.Join(dir, "wyrcan.signed.efi")})
	const media, file = 4, 4
	other := "wyr.debug=shell wyr.fail=shell " + vm.Boot(evil)
	vars := append([]ovmf.Variable{configured(t, evil)}, bootEntry(media, file, ucs2(program), "console=ttyS0 "+other)...)
	m := newNVRAMOf(t, filepath.Join(dir, "vars.fd"), vars...).
		secured(medium(t, disk, "virtio-blk-pci,drive=medium")...)
	m.QEMU = append(m.QEMU, "-smbios", "type=11,value=io.systemd.credential:wyr.config="+other)
	v := m.Start(t)
	v.Wait(lockedDown, vm.Patience)
	v.Wait(`^wyrboot: configuration: wyr\.img, wyr\.arg, wyr\.insecure from the command line$`, stepTime)
	v.Wait(`^wyrboot: image `+regexp.QuoteMeta(signed)+`, sha256:`, stepTime)
	v.Wait(`^wyrboot: the image is signed, as the policy asks: key [0-9a-f]{64}$`, stepTime)
	v.Wait(`Kernel is locked down from EFI Secure Boot`, vm.Patience)
	if line := spoke(t, v); line != "console=ttyS0 demo=once" {
		t.Errorf("the container's command line is %q", line)
	}
}

// copied returns a copy of the source, with the kernel and the archive of its modules that make has built. They are
// newer than all else, so make does not build them again: that takes longest, and nothing in them depends on the keys.
func copied(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run(t, "..", "sh", "-e", "-c", `tar -c --exclude=./out --exclude='./.*' . | tar -x -C "$1"`, "sh", dir)
	if err := os.MkdirAll(filepath.Join(dir, "out", "kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "out/kernel/vmlinuz"), string(read(t, vm.Artefact(t, "wyrcan.kernel"))))
	write(t, filepath.Join(dir, "out/kernel/modules"), "") // newer than the kernel, too
	later := time.Now().Add(time.Hour)
	for _, name := range []string{"modules.cpio", "modules.cpio.zst"} {
		to := filepath.Join(dir, "out", name)
		write(t, to, string(read(t, vm.Artefact(t, name))))
		if err := os.Chtimes(to, later, later); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
