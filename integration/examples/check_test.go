//go:build slow

package examples

import (
	"encoding/json"
	"os/exec"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// clean fails the test if the host tool has a warning about the example that make built.
func clean(t *testing.T, name string) {
	t.Helper()
	check := exec.Command(vm.Artefact(t, "wyrcan"), "check", "-json", "oci:"+vm.Artefact(t, "examples/"+name+".oci"))
	out, err := check.Output()
	if err != nil {
		t.Fatalf("wyrcan check %s = %v: %s", name, err, out)
	}
	var said struct {
		Bootable bool
		Warnings []struct{ ID, Text string }
	}
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatal(err)
	}
	if !said.Bootable || len(said.Warnings) != 0 {
		t.Errorf("wyrcan check says of %s: bootable: %v, warnings: %q", name, said.Bootable, said.Warnings)
	}
}
