package integration

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/tools/document"
)

// TestDocumentedMachines starts QEMU by each command of the documents, with its processors stopped, and has it quit. So
// QEMU has taken all options and opened all files. It has no KVM here. What the machines do is the subject of the other
// tests, which start them by options of their own.
func TestDocumentedMachines(t *testing.T) {
	vm.Long(t)
	blocks, err := document.All("..", "docs/troubleshooting.md", "CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, b := range blocks {
		for _, line := range b.Lines() {
			if strings.HasPrefix(line, "qemu-system-") {
				n++
				t.Run(b.String(), func(t *testing.T) { startStopped(t, line) })
			}
		}
	}
	if n < 8 {
		t.Errorf("only %d commands of QEMU were found", n)
	}
}

func startStopped(t *testing.T, line string) {
	dir := t.TempDir()
	out := filepath.Dir(vm.Artefact(t, "wyrcan.iso"))
	rom := filepath.Join(out, "payload/coreboot.rom") // make test-slow builds it
	if _, err := os.Stat(rom); err != nil {
		rom = "bios-256k.bin" // which QEMU has
	}
	for name, target := range map[string]string{"out": out, "signed.iso": filepath.Join(out, "wyrcan.iso")} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	vars := "/usr/share/OVMF/OVMF_VARS_4M.fd"
	if strings.Contains(line, "snakeoil") {
		vars = "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"
	}
	b, err := os.ReadFile(vars)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"vars.fd": b, "arguments": []byte("quiet"), "auth.json": []byte("{}")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	line = strings.NewReplacer("-enable-kvm", "-accel tcg", "…", "", "out/payload/coreboot.rom", rom).Replace(line)
	words := exec.Command("bash", "-c", `printf '%s\0' `+line)
	words.Dir = dir
	printed, err := words.Output()
	if err != nil {
		t.Fatal(err)
	}
	args := strings.Split(strings.TrimSuffix(string(printed), "\x00"), "\x00")
	if !slices.Contains(args, "-serial") { // an example of one option
		args = append(args, "-display", "none", "-serial", "mon:stdio")
	}
	args = append(args, "-S")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Dir = dir
	c.Stdin = strings.NewReader("\x01cquit\n") // Ctrl-A, c: from the serial line to QEMU's monitor
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Run(); err != nil || !strings.Contains(said.String(), "(qemu)") {
		t.Errorf("%q: %v\n%s", args, err, said.String())
	}
}
