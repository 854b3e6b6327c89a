// Package examples boots the images of examples/.
package examples

import (
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// TestMain lets more tests start than machines can run.
func TestMain(m *testing.M) { vm.Main(m) }
