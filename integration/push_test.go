package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestPush sends Wyrcan to docker's registry server with make push. skopeo, which shares no code with Wyrcan, fetches
// it, and every byte must be the same.
func TestPush(t *testing.T) {
	t.Parallel()
	built := vm.Artefact(t, "wyrcan.oci")
	ref := imagetest.Distribution{}.Start(t).Host + "/boot/wyrcan:1"
	// The tests build nothing: with -o make does not rebuild these files.
	push := exec.Command("make", "-C", "..", "-o", "out/wyrcan", "-o", "out/wyrcan.oci", "push", "REF="+ref)
	push.Env = slices.DeleteFunc(os.Environ(),
		func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS=") })
	if out, err := push.CombinedOutput(); err != nil {
		t.Fatalf("make push = %v: %s", err, out)
	}
	home := t.TempDir()
	fetched := filepath.Join(home, "fetched")
	skopeo := exec.Command("skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests",
		"--src-tls-verify=false", "docker://"+ref, "oci:"+fetched)
	skopeo.Env = append(os.Environ(), "HOME="+home, "XDG_RUNTIME_DIR="+home, "XDG_DATA_HOME="+home)
	if out, err := skopeo.CombinedOutput(); err != nil {
		t.Fatalf("skopeo copy = %v: %s", err, out)
	}
	if out, err := exec.Command("diff", "-r", filepath.Join(built, "blobs"),
		filepath.Join(fetched, "blobs")).CombinedOutput(); err != nil {
		t.Errorf("what was fetched is not what was built: %v: %s", err, out)
	}
}
