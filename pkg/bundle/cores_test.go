package bundle

import (
	"runtime"
	"testing"
)

// TestCores has several processors decompress a layer only where there is memory for that.
func TestCores(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16))
	for name, c := range map[string]struct {
		available, size int64 // MiB
		want            int
	}{
		"plenty":                       {16 << 10, 200, 16},
		"plenty, and nothing known":    {16 << 10, 0, 16},
		"enough for some":              {2 << 10, 100, 8},
		"too little for more than one": {500, 1, 1},
		"an image that is packed":      {2 << 10, 400, 0},
		"none":                         {0, 100, 0},
	} {
		if got := room(1<<50, c.available<<20).Reading(c.size << 20).Cores; got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
