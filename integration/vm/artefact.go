package vm

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Artefact returns the path of a file that make has built. Tests that are to be short do without.
func Artefact(t testing.TB, name string) string {
	t.Helper()
	Long(t)
	file := filepath.Join(out(t), name)
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("%v: run make out/%s first", err, name)
	}
	return file
}

// Version returns the version that make built the artefacts with.
func Version(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(Artefact(t, "version"))
	if err != nil {
		t.Fatal(err)
	}
	version, _, _ := strings.Cut(string(b), " ")
	return version
}

// Long skips a test that "go test -short" leaves out, because it needs what make builds, and mostly a machine to boot
// it.
func Long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: this test needs what make builds")
	}
}

// Program builds a test program from its source directory and returns it. The program is static, because the system
// that runs it has no libraries.
func Program(t testing.TB, source string) []byte {
	t.Helper()
	return ProgramFor(t, runtime.GOARCH, source)
}

// ProgramFor does the same for machines of another architecture.
func ProgramFor(t testing.TB, arch, source string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", file, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build = %v: %s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// out returns the directory out/ of the module whose tests run.
func out(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "out")
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("these tests must run below the directory of go.mod")
		}
		dir = filepath.Dir(dir)
	}
}
