package bundle

import (
	"fmt"
	"strings"
	"testing"
)

// TestTwiceRoom decides which layers are read twice, and which images are refused before that or in between.
func TestTwiceRoom(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		available, size int64 // MiB
		twice           bool
		want            string
	}{
		{400, 131, false, ""},
		{227, 131, false, ""},
		{226, 131, true, ""},
		{81, 131, true, ""},
		{80, 131, true, "to hold even a quarter of the image's layers takes 81 MiB and this machine has 80 MiB free; close"},
		{1000, 1 << 30, true, "free; close"},
	} {
		r := room(1<<40, c.available*mib)
		if got := r.Twice(c.size * mib); got != c.twice {
			t.Errorf("layers of %d MiB and %d MiB available: Twice = %v", c.size, c.available, got)
		}
		got := fmt.Sprint(r.CanReadTwice(c.size * mib))
		if c.want == "" && got != "<nil>" || !strings.Contains(got, c.want) {
			t.Errorf("layers of %d MiB and %d MiB available: CanReadTwice = %v, want %q", c.size, c.available, got, c.want)
		}
	}
	for _, c := range []struct {
		available, files, layers, size int64 // MiB
		want                           string
	}{
		{100, 262, 384, 131, ""},
		{92, 262, 384, 131, "to hold the image's files, of 262 MiB, takes 93 MiB or more, even packed, and this machine " +
			"has 92 MiB free"},
		{48, 0, 0, 0, ""}, // no files
		{60, 1, 384, 131, ""},
		{1 << 20, 1 << 30, 1 << 40, 1 << 40, "or more"},
	} {
		got := fmt.Sprint(room(1<<40, c.available*mib).CanKeep(c.files*mib, c.layers*mib, c.size*mib))
		if c.want == "" && got != "<nil>" || !strings.Contains(got, c.want) {
			t.Errorf("CanKeep(%d, %d, %d) with %d = %v, want %q", c.files, c.layers, c.size, c.available, got, c.want)
		}
	}
	// What the running kernel will hold copies of is refused before it is downloaded for that.
	for copies, c := range []struct {
		layers, files int64 // MiB, the least with which they are not refused
		says          string
	}{
		{81, 93, ""},
		{114, 138, " (with a copy while the kernel loads it)"},
		{147, 183, " (with 2 copies while the kernel loads it)"},
	} {
		for less := range int64(2) {
			r := room(1<<40, (c.layers-less)*mib)
			r.Copies = copies
			err := r.CanReadTwice(132 * mib)
			if refused := less > 0; refused != (err != nil) || refused && !strings.Contains(err.Error(), " MiB"+c.says+" and ") {
				t.Errorf("%d copies, %d MiB: CanReadTwice = %v", copies, c.layers-less, err)
			}
			r.Available = (c.files - less) * mib
			err = r.CanKeep(262*mib, 384*mib, 131*mib)
			if refused := less > 0; refused != (err != nil) || refused && !strings.Contains(err.Error(), "packed"+c.says+", ") {
				t.Errorf("%d copies, %d MiB: CanKeep = %v", copies, c.files-less, err)
			}
		}
	}
	for available, want := range map[int64]int{150: 2, 2000: 0} {
		if got := room(1<<40, available*mib).Reading(131 * mib).AtOnce; got != want {
			t.Errorf("with %d MiB, %d layers are read at once, want %d", available, got, want)
		}
	}
}
