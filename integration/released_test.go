package integration

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// TestReleased runs what the CI's job images runs, in a copy of the tree with the files that make has built, and looks
// for the files that people download.
func TestReleased(t *testing.T) {
	t.Parallel()
	kernel := vm.Artefact(t, "wyrcan.kernel")
	vm.Artefact(t, "arm64/wyrcan.iso")
	top := copyTree(t, filepath.Dir(filepath.Dir(kernel)))

	var pipeline struct {
		Images struct {
			Script    []string
			Artifacts struct{ Paths []string }
		}
	}
	text, err := os.ReadFile("../.gitlab-ci.yml")
	if err == nil {
		err = yaml.Unmarshal(text, &pipeline)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(vm.Artefact(t, "version"))
	if err != nil {
		t.Fatal(err)
	}
	built := strings.Split(strings.TrimSuffix(string(b), "\n"), " ") // version, commit, time
	for _, line := range pipeline.Images.Script {
		cmd := exec.CommandContext(t.Context(), "bash", "-ec", line)
		cmd.Dir = top
		cmd.Env = append(os.Environ(), "MAKEFLAGS=VERSION="+built[0]+" COMMIT="+built[1], "SOURCE_DATE_EPOCH="+built[2])
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}

	for _, path := range pipeline.Images.Artifacts.Paths {
		if _, err := os.Stat(filepath.Join(top, path)); err != nil {
			t.Errorf("the artefact %s: %v", path, err)
		}
	}
	for _, name := range []string{"wyrcan.kernel", "wyrcan.initrd", "wyrcan.iso", "arm64/wyrcan.efi"} {
		if !bytes.Equal(read(t, filepath.Join(top, name)), read(t, vm.Artefact(t, name))) {
			t.Errorf("%s at the top is not the one in out/", name)
		}
	}
	released := filepath.Join(top, "out/release")
	for _, dir := range []string{top, released} {
		check := exec.Command("sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS")
		check.Dir = dir
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("the checksums in %s: %v: %s", dir, err, out)
		}
	}
	for _, arch := range []string{"amd64", "arm64"} {
		checkParts(t, released, "wyrcan-"+built[0]+"-"+arch, arch)
	}
}

// copyTree returns a copy of the tree with the files of a release, as make has left them. It takes nothing else of
// out/, where make builds what other tests use at the same time.
func copyTree(t *testing.T, tree string) string {
	t.Helper()
	top := t.TempDir()
	script := `cd "$1"
		tar -c --exclude='./.*' --exclude=./out . | tar -C "$2" -x
		find out -mindepth 1 -maxdepth 1 \( -type f -o -name arm64 -o -name kernel -o -name 'systemd-*' -o -name wyrcan.oci \) |
		tar -c --exclude='*/lib/modules/*/kernel' -T - | tar -C "$2" -x`
	if out, err := exec.Command("bash", "-ec", "-o", "pipefail", script, "copy", tree, top).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	return top
}

// parts is an SPDX document, as far as these tests look at it.
type parts struct {
	Packages []struct{ Name, SPDXID, VersionInfo, LicenseDeclared string }
	Files    []struct{ FileName string }
}

// checkParts compares the list of the parts of a release with what is there: the files; the packages whose functions
// the busybox has; and the version of the kernel.
func checkParts(t *testing.T, dir, prefix, arch string) {
	t.Helper()
	var list parts
	if err := json.Unmarshal(read(t, filepath.Join(dir, prefix+".spdx.json")), &list); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
	if err != nil || len(files) != len(list.Files)+1 {
		t.Errorf("%s: %q are released, and %+v are in the list of parts: %v", arch, files, list.Files, err)
	}
	var modules []string
	kernel := ""
	for _, p := range list.Packages {
		modules = append(modules, p.Name)
		if strings.HasPrefix(p.Name, "linux-image-") {
			kernel = p.Name + " " + p.VersionInfo
		}
		if p.LicenseDeclared == "NOASSERTION" {
			t.Errorf("%s: the list of parts has no licence of %s", arch, p.Name)
		}
	}
	if arch != "amd64" {
		if !strings.HasSuffix(strings.Fields(kernel + " ")[0], arch) {
			t.Errorf("the kernel for %s is %s", arch, kernel)
		}
		return
	}
	// The kernel names the version of its package itself, beside its own.
	_, version, _ := strings.Cut(kernel, " ")
	unpacked := read(t, vm.Unpacked(t))
	if kernel == "" || !bytes.Contains(unpacked, []byte("Debian "+version+" ")) {
		t.Errorf("the kernel in the list of parts is %q, and the kernel does not say so", kernel)
	}
	for _, pkg := range compiled(t) {
		if !slices.ContainsFunc(modules, func(m string) bool { return pkg == m || strings.HasPrefix(pkg, m+"/") }) {
			t.Errorf("the busybox has the package %s, which is of no module in the list of parts", pkg)
		}
	}
}

// compiled returns the packages that the busybox was compiled from, but for this module's and the standard library's.
func compiled(t *testing.T) []string {
	t.Helper()
	found := make(map[string]bool)
	for _, f := range functions(t) {
		// Dots in the last element of a path are escaped.
		pkg := strings.ReplaceAll(f.PackageName(), "%2e", ".")
		host, _, _ := strings.Cut(pkg, "/")
		if !strings.Contains(host, ".") || strings.HasPrefix(pkg, "gitlab.com/wyrcan/wyrcan/") {
			continue
		}
		// gobusybox copies its own package under this name.
		found[strings.Replace(pkg, "bb.u-root.com/bb/", "github.com/u-root/gobusybox/src/", 1)] = true
	}
	if len(found) < 20 {
		t.Fatalf("the busybox seems to have only the packages %v", found)
	}
	var out []string
	for pkg := range found {
		out = append(out, pkg)
	}
	slices.Sort(out)
	return out
}
