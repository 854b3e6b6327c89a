package main

import (
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/config"
)

// TestRootCheck passes the option of run on to wyrboot, and refuses another value.
func TestRootCheck(t *testing.T) {
	for _, value := range []string{"", "yes", "no"} {
		var r rootCheck
		if err := r.Set(value); err != nil {
			t.Error(err)
		}
		found, _ := config.Load(r.argument())
		if len(found.Warnings) > 0 || found.Verity != value {
			t.Errorf("-verity %q gives wyrboot %q, with the warnings %q", value, found.Verity, found.Warnings)
		}
	}
	if c, _, _ := tool(t, "run", "-verity", "maybe", "image"); code(c.run(t.Context())) != 2 {
		t.Error("run -verity maybe is no wrong use")
	}
}
