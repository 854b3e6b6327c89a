package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDependencies checks what package image adds to the boot environment, where every init function runs in process 1.
// go-containerregistry's authn imports the docker client's configuration for a keychain that Wyrcan does not use. The
// linker leaves out all of it but its package variables, about 10 kB, as long as nothing refers to it.
func TestDependencies(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test builds a program")
	}
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "linked")
	run := func(name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
		}
		return string(out)
	}
	run("go", "build", "-o", binary, "./testdata/linked")
	symbols := run("go", "tool", "nm", binary)
	if !strings.Contains(symbols, "pkg/image.(*Source).Resolve") {
		t.Fatal("the program has no symbols to check")
	}
	for banned, why := range map[string]string{
		" github.com/docker/cli/cli/config/":                 "reads docker's configuration files",
		" github.com/docker/docker-credential-helpers/":      "runs docker's credential helpers",
		" github.com/sirupsen/logrus.New":                    "is a second logging library",
		" github.com/spf13/":                                 "is a command line framework",
		" os/exec.":                                          "starts programs",
		" text/template.":                                    "keeps the linker from leaving unused methods out",
		" net/http/pprof.":                                   "opens the program to whoever can reach it",
		" github.com/therootcompany/xz.":                     "decompresses what only archives on a person's disk have",
		" compress/bzip2.":                                   "decompresses what only archives on a person's disk have",
		" archive/tar.(*Reader).Next":                        "belongs to local sources, which the boot environment has not",
		" gitlab.com/wyrcan/wyrcan/pkg/image.(*Source).Open": "opens local sources, which the boot environment has not",
	} {
		if i := strings.Index(symbols, banned); i >= 0 {
			line, _, _ := strings.Cut(symbols[i+1:], "\n")
			t.Errorf("%s is linked: it %s", line, why)
		}
	}
	for _, path := range strings.Fields(run("go", "list", "-f", `{{join .Imports "\n"}}`, ".")) {
		if strings.HasPrefix(path, "github.com/docker/") || strings.HasSuffix(path, "/crane") ||
			strings.HasSuffix(path, "/remote") {
			t.Errorf("package image imports %s itself", path)
		}
	}
}
