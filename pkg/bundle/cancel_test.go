package bundle

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
)

// ending is a context that ends after it was asked left times.
type ending struct {
	context.Context
	left int
}

func (e *ending) Err() error {
	if e.left--; e.left < 0 {
		return context.Canceled
	}
	return nil
}

// unified is a unified kernel image with a kernel, whose section is at off.
func unified(kernel []byte, off int) string {
	b := make([]byte, 512)
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[0x46:], 1)
	copy(b[0x58:], ".linux")
	binary.LittleEndian.PutUint32(b[0x58+16:], uint32(max(len(kernel), 512)))
	binary.LittleEndian.PutUint32(b[0x58+20:], uint32(off))
	return string(append(b, kernel...))
}

// TestCancel ends the context at every place where it is asked. The work must end there with the context's error.
func TestCancel(t *testing.T) {
	entries := bootable(imagetest.File("boot/vmlinuz", unified(imagetest.BzImage(version), 512)))
	heard := 0
	for left := 0; ; left++ {
		opt := Options{Wyrinit: []byte("wyrinit"), Room: room(4<<30, 4<<30)}
		ctx := &ending{t.Context(), left}
		p, err := Inspect(ctx, tree(t, entries...), opt)
		if err == nil {
			var b *Bundle
			if b, err = p.Make(ctx); err == nil {
				b.Close()
			}
			p.Close()
		}
		if ctx.left >= 0 {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the context ended when it was asked the %d. time: %v, want its error", left+1, err)
		}
		heard++
	}
	// Inspect and Make ask it for each file each time that they go through the tree.
	if heard < 50 {
		t.Errorf("the context was asked %d times", heard)
	}
}

// TestHostileKernel has kernels that must be refused before they cost time or memory.
func TestHostileKernel(t *testing.T) {
	for name, c := range map[string]struct {
		kernel imagetest.Entry
		want   string
	}{
		"itself": {imagetest.File("boot/vmlinuz", unified(nil, 0)), "inside another"},
		"too large": {
			imagetest.PAXSparse("boot/vmlinuz", "x", 0, kernel.MaxFile+1), "no kernel has more than 1024 MiB",
		},
	} {
		_, err := Inspect(t.Context(), tree(t, bootable(c.kernel)...), Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Inspect = %v, want an error with %q", name, err, c.want)
		}
	}
	grown := errors.New("the memory has come to its end")
	large := tree(t, bootable(imagetest.PAXSparse("boot/vmlinuz", "x", 0, 16<<20))...)
	_, err := Inspect(t.Context(), large, Options{Grow: func() error { return grown }})
	if !errors.Is(err, grown) {
		t.Errorf("Inspect of a kernel for which there is no memory = %v, want what Grow says", err)
	}
}
