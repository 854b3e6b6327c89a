//go:build slow

package integration

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestSlowStrangersURoot builds a u-root of somebody else, in a module of its own and as documented, with Wyrcan's
// commands among others. Booted with a kernel and its modules, it boots a container.
func TestSlowStrangersURoot(t *testing.T) {
	t.Parallel()
	modules := vm.Artefact(t, "modules.cpio.zst")
	dir := foreignModule(t)
	build := exec.Command("bash", "-e", "-c", documentedIn(t, "docs/linuxboot.md", "In your own u-root", "go tool u-root"))
	build.Dir = dir
	// What the module needs is there already. The shell finds u-root by the module of the test.
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	archive, err := os.ReadFile(filepath.Join(dir, "initrd.cpio"))
	if err != nil {
		t.Fatal(err)
	}
	drivers, err := os.ReadFile(modules)
	if err != nil {
		t.Fatal(err)
	}
	const lost = `wyrboot: this initrd was built without /usr/lib/wyrcan/wyrinit: .* -files PROGRAM:usr/lib/wyrcan/wyrinit`
	boot := func(t *testing.T, archive []byte) *vm.VM {
		t.Helper()
		initrd := filepath.Join(t.TempDir(), "initrd")
		write(t, initrd, string(archive)+string(drivers))
		ref := fromGuest(imagetest.Serve(t).Push(t, "demo", imagetest.Image(t, kernelLayer(t), initLayer(t))))
		v := vm.Machine{Kernel: vm.Unpacked(t), Initrd: initrd, CPUs: 1, Cmdline: consoles + " " + vm.Boot(ref)}.Start(t)
		v.Wait(`wyrboot: Wyrcan unreleased, the container bootloader`, bootTime)
		if line := spoke(t, v); line != "console=ttyS0 demo=once" {
			t.Errorf("the container's command line is %q", line)
		}
		return v
	}
	t.Run("as documented", func(t *testing.T) {
		t.Parallel()
		boot(t, archive).Never(lost)
	})
	t.Run("without wyrinit", func(t *testing.T) {
		t.Parallel()
		v := boot(t, without(t, archive, "usr/lib/wyrcan/wyrinit"))
		if !regexp.MustCompile(lost).MatchString(v.Said()) {
			t.Error("nobody says what is lost without wyrinit")
		}
	})
}

// foreignModule returns the directory of a module that needs this one. The network is not needed for that: what this
// module needs is in the cache, and the other one needs no more.
func foreignModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	here, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(here, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(b))
	}
	const wyrcan = "gitlab.com/wyrcan/wyrcan"
	run(t, dir, "go", "mod", "edit", "-module=example.com/firmware", "-require="+wyrcan+"@v0.0.0",
		"-replace="+wyrcan+"="+here, "-tool="+wyrcan+"/cmds/wyrboot", "-tool="+wyrcan+"/cmds/wyrnet",
		"-tool="+wyrcan+"/cmds/wyrefi")
	return dir
}

// without returns a cpio archive without one of its files.
func without(t *testing.T, archive []byte, name string) []byte {
	t.Helper()
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var found bool
	w := cpio.Newc.Writer(&out)
	for _, r := range records {
		if found = found || r.Name == name; r.Name == name {
			continue
		}
		if err := w.WriteRecord(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Errorf("there is no %s in the archive", name)
	}
	if n := out.Len() % 512; n != 0 {
		io.WriteString(&out, strings.Repeat("\x00", 512-n))
	}
	return out.Bytes()
}
