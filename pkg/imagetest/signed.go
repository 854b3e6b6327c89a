package imagetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// EFIProgram is an EFI program that is not signed: systemd-stub of Debian's package systemd-boot-efi.
const EFIProgram = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"

// SignedEFI returns EFIProgram as sbsign has signed it with a new key, whose certificate has this name.
func SignedEFI(t testing.TB, name string) []byte {
	t.Helper()
	NeedsPrograms(t, "sbsign", "openssl")
	dir := t.TempDir()
	for _, argv := range [][]string{
		{"openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=" + name + "/",
			"-keyout", "key", "-out", "crt"},
		{"sbsign", "--key", "key", "--cert", "crt", "--output", "signed", EFIProgram},
	} {
		c := exec.Command(argv[0], argv[1:]...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", argv, err, out)
		}
	}
	signed, err := os.ReadFile(filepath.Join(dir, "signed"))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
