package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestLoneTool copies the tool, and nothing else, to where nothing is: it checks and converts images for both
// architectures with the wyrinit that make has built for them, and says what it is.
func TestLoneTool(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tool := filepath.Join(dir, "alone", "wyrcan")
	program, err := os.ReadFile(vm.Artefact(t, "wyrcan"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Dir(tool), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tool, program, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) []byte {
		t.Helper()
		c := exec.Command(tool, args...)
		c.Dir, c.Env = dir, []string{"HOME=" + dir, "PATH=/nowhere"}
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("wyrcan %q = %v\n%s", args, err, out)
		}
		return out
	}

	var images []v1.Image
	for arch, kernel := range map[string][]byte{"amd64": imagetest.BzImage("6.1.0"), "arm64": imagetest.Arm64Image("6.1.0")} {
		images = append(images, imagetest.Spec{Platform: v1.Platform{OS: "linux", Architecture: arch}, Layers: []imagetest.Layer{imagetest.Files(
			imagetest.File("boot/wyrcan.kernel", string(kernel)),
			imagetest.File("bin/sh", "a shell for "+arch).Mode(0o755),
			imagetest.File("init", "#!/bin/sh\n").Mode(0o755),
		)}}.Image(t))
	}
	oci := filepath.Join(dir, "oci")
	if _, err := layout.Write(oci, imagetest.Index(t, images...)); err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		if out := run("check", oci, "-arch", arch); !strings.Contains(string(out), "bootable      yes\n") {
			t.Errorf("check for %s:\n%s", arch, out)
		}
		name := filepath.Join(arch, "wyrinit")
		if arch == runtime.GOARCH {
			name = "wyrinit"
		}
		want, err := os.ReadFile(vm.Artefact(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(program, want) {
			t.Errorf("the tool does not hold out/%s", name)
		}
		run("morph", oci, "-arch", arch, "-kernel", "kernel", "-initrd", "initrd")
		initrd, err := exec.Command("zstd", "-dcq", filepath.Join(dir, "initrd")).Output()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(initrd, want) {
			t.Errorf("an initrd for %s does not hold out/%s", arch, name)
		}
	}
	if out := run("version"); !regexp.MustCompile(`^wyrcan \S+\ncommit [0-9a-f]{40}\ndate   \d{4}-\d\d-\d\d\nGo     go\S+ linux/\S+\n$`).Match(out) {
		t.Errorf("wyrcan version: %s", out)
	}
}
