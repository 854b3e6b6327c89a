package bundle

import (
	"encoding/binary"
	"errors"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
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

// TestUnder compares what a container needs with the memory that its own kernel leaves.
func TestUnder(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ total, running, next, want int64 }{
		{457, 64, 52, 469},
		{470, 52, 64, 458},
		{470, 52, 52, 470},
		{470, 0, 64, 470}, // nobody knows
		{470, 52, 0, 470},
		{0, 52, 64, 0},
		{10, 1, 64, 0}, // but not 0, which is not known
	} {
		r := room(c.total*mib, 0)
		r.Kernel = c.running * mib
		got := r.under(c.next * mib)
		if got.Total/mib != c.want || (got.Total == 0) != (c.total == 0) {
			t.Errorf("of %d MiB under a kernel of %d there are %d bytes under one of %d, want %d MiB", c.total, c.running,
				got.Total, c.next, c.want)
		}
		if again := got.under(c.next * mib); again.Total != got.Total {
			t.Errorf("of %d MiB under the same kernel there are %d", got.Total, again.Total)
		}
	}
}

// TestKernelRoom refuses a container for which only the running kernel, and not its own, would leave the memory.
func TestKernelRoom(t *testing.T) {
	const room16 = 16 << 20
	image := imagetest.BzImage(version)
	binary.LittleEndian.PutUint32(image[0x260:], room16) // init_size
	entries := append(bootable(imagetest.File("zeros", string(make([]byte, 64<<20)))),
		imagetest.File("boot/vmlinuz", string(image)))
	p := inspect(t, Options{}, entries...)
	need := needs(p.booted(), p.booted().Bytes/5)
	for running, fits := range map[int64]bool{0: true, room16: true, room16 - 1<<20: false} {
		r := room(need, 1<<40)
		r.Kernel = running
		q, err := Inspect(t.Context(), tree(t, entries...), Options{Room: r})
		if err == nil {
			q.Close()
		}
		if fits != (err == nil) {
			t.Errorf("a kernel of %d bytes, while one of %d runs: Inspect = %v", p.Kernel.Room, running, err)
		}
	}
}
