package integration

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestLoneTool copies only the tool to an empty directory. There it checks and converts images for both architectures,
// with the wyrinit that make embedded for each, and prints its version.
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
	for arch, kernel := range map[string][]byte{"amd64": imagetest.BzImage("6.1.0"),
		"arm64": imagetest.Arm64Image("6.1.0")} {
		images = append(images,
			imagetest.Spec{Platform: v1.Platform{OS: "linux", Architecture: arch},
				Layers: []imagetest.Layer{imagetest.Files(
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
	version := `^wyrcan ` + regexp.QuoteMeta(vm.Version(t)) +
		`\ncommit ([0-9a-f]{40}|unknown)\ndate   (\d{4}-\d\d-\d\d|unknown)\nGo     go\S+ linux/\S+\n$`
	if out := run("version"); !regexp.MustCompile(version).Match(out) {
		t.Errorf("wyrcan version: %s", out)
	}
}

// TestRunStatus runs machines as a person does, who presses Enter when the machine asks for it. The exit status says
// whether the container was started. The output has no sequences that change the terminal.
func TestRunStatus(t *testing.T) {
	t.Parallel()
	registry := imagetest.Serve(t)
	good := registry.Push(t, "good", imagetest.Image(t, kernelLayer(t), initLayer(t)))
	bad := registry.Push(t, "nokernel", imagetest.Image(t, initLayer(t))) // no kernel
	for name, c := range map[string]struct {
		ref    string
		status int
		shows  string
	}{
		"started":                {good, 0, "reboot: Power down"},
		"not started, no kernel": {bad, 1, "before the container's kernel was started"},
		"no image":               {strings.Replace(good, "good", "nope", 1), 1, "does not have it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := exec.CommandContext(t.Context(), vm.Artefact(t, "wyrcan"), "run", c.ref, "-arg", "quiet", "-smp",
				"1", "-m", "512")
			keys, err := run.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			console := &enter{on: "press Enter", keys: keys}
			run.Stdout, run.Stderr = console, console
			free := vm.Turn(t)
			if err := run.Start(); err != nil {
				t.Fatal(err)
			}
			// Not SIGKILL, so that the program can end what it has started.
			late := time.AfterFunc(bootTime+3*stepTime+kexecTime, func() { run.Process.Signal(syscall.SIGTERM) })
			defer late.Stop()
			err = run.Wait()
			free()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			shown := string(console.shown)
			if run.ProcessState.ExitCode() != c.status || !strings.Contains(shown, c.shows) {
				t.Errorf("status %d, want %d and %q in\n%s", run.ProcessState.ExitCode(), c.status, c.shows, shown)
			}
			if c.ref == bad {
				// An image that cannot be booted is refused, and nothing is started when Enter has been pressed.
				const want = `wyrboot: cannot boot \S+/nokernel\S*: the image is not bootable: /?boot/wyrcan\.kernel`
				if !regexp.MustCompile(want).MatchString(shown) {
					t.Errorf("the image without a kernel is not refused:\n%s", shown)
				}
				if took := time.Since(console.pressed); took > 50*time.Second { // it would reboot without as well
					t.Errorf("the machine has rebooted %v after Enter", took)
				}
				if started := regexp.MustCompile(`wyrboot: starts kernel|` + words).FindString(shown); started != "" {
					t.Errorf("the machine said %q", started)
				}
			}
			for _, sequence := range []string{"\x1bc", "\x1b[?7l", "\x1b[2J", "SeaBIOS"} {
				if strings.Contains(shown, sequence) {
					t.Errorf("the terminal gets %q:\n%q", sequence, shown)
				}
			}
		})
	}
}

// enter is the console of a person who presses Enter when it shows some text.
type enter struct {
	shown   []byte
	pressed time.Time
	on      string
	keys    io.Writer
}

func (e *enter) Write(b []byte) (int, error) {
	e.shown = append(e.shown, b...)
	if e.on != "" && bytes.Contains(e.shown, []byte(e.on)) {
		e.on, e.pressed = "", time.Now()
		io.WriteString(e.keys, "\r")
	}
	return len(b), nil
}
