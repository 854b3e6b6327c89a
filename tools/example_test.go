package tools

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestExample builds on an image without any program, which needs no network: with a file of examples/ and a build
// argument, and with a command that fails. Neither leaves anything behind, and a failure leaves the old image as it is.
func TestExample(t *testing.T) {
	imagetest.NeedsRoot(t, "buildah mounts what it builds")
	imagetest.NeedsPrograms(t, "buildah")
	base, out, temporary := t.TempDir(), filepath.Join(t.TempDir(), "example.oci"), t.TempDir()
	path, err := layout.Write(base, empty.Index)
	if err == nil {
		err = path.AppendImage(imagetest.Image(t, imagetest.Files(imagetest.File("etc/base", "base\n"))))
	}
	if err != nil {
		t.Fatal(err)
	}
	build := func(commands string, arguments ...string) error {
		t.Helper()
		dir := t.TempDir()
		put(t, filepath.Join(dir, "Containerfile"), "ARG BASE\nFROM ${BASE}\n"+commands)
		c := exec.Command("./example", append([]string{out, base, dir}, arguments...)...)
		c.Env = append(os.Environ(), "TMPDIR="+temporary)
		said, err := c.CombinedOutput()
		t.Logf("%s", said)
		if left, _ := filepath.Glob(temporary + "/*/storage"); len(left) != 0 {
			t.Errorf("%q are left", left)
		}
		if mounts := string(get(t, "/proc/self/mounts")); strings.Contains(mounts, temporary) {
			t.Errorf("something is left mounted below %s", temporary)
		}
		return err
	}
	if err := build("ARG WORDS\nLABEL words=${WORDS}\nCOPY common/root/etc/hosts /etc/\n", "WORDS=one two"); err != nil {
		t.Fatal(err)
	}
	built := func() string {
		t.Helper()
		img := imagetest.Layout(t, out)
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Config.Labels["words"] != "one two" || len(config.RootFS.DiffIDs) < 2 {
			t.Errorf("the image is %+v", config)
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return digest.String()
	}
	first := built()
	if err := build("RUN [\"/nothing\"]\n"); err == nil {
		t.Error("a command that is not there has succeeded")
	}
	if built() != first {
		t.Error("the failure has changed the image")
	}
}
