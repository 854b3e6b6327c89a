package cores

import "testing"

func TestCores(t *testing.T) {
	c := New(2)
	if c.Number() != 2 || !c.Take() || !c.Take() || c.Take() {
		t.Error("there are not two processors")
	}
	c.Use() // of somebody who does not ask
	c.Give()
	if c.Take() {
		t.Error("there is a third processor")
	}
	c.Give()
	if !c.Take() {
		t.Error("a processor that was given back is not free")
	}
}
