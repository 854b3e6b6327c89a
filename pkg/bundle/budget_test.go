package bundle

import (
	"errors"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// TestBudget has each program's remedy in the sentence with which it gives up, and a Room that carries it on.
func TestBudget(t *testing.T) {
	broken := errors.New("cannot tell")
	for _, c := range []struct {
		available, reserve int64 // MiB
		remedy             string
		err                error
		want               string
	}{
		{64, 64, "end other programs", nil, ""},
		{63, 64, "end other programs", nil,
			"too little memory: of the 512 MiB of this machine 63 MiB are left, and the image wants more; " +
				"end other programs"},
		{23, 24, "use a smaller image or add memory", nil,
			"too little memory: of the 512 MiB of this machine 23 MiB are left, and the image wants more; " +
				"use a smaller image or add memory"},
		{100, 24, "", broken, "cannot tell"},
	} {
		read := func() (memory.Info, error) {
			return memory.Info{Total: 512 << 20, Available: c.available << 20}, c.err
		}
		b := Budget{Read: read, Copies: 2, Reserve: c.reserve << 20, Remedy: c.remedy}
		err := b.Enough()
		if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("Enough with %d MiB = %v, want %q", c.available, err, c.want)
		}
		if err != nil && !errors.As(err, new(*Shortage)) || c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("Enough = %#v, want a Shortage", err)
		}
		r, err := b.Room()
		if err != c.err || r.Available != c.available<<20 || r.Copies != 2 || r.Remedy != c.remedy {
			t.Errorf("Room = %+v, %v", r, err)
		}
	}
}
