package bundle

import "testing"

// TestReading limits what layers may hold by the memory, and by their own size if they are packed as real ones are.
func TestReading(t *testing.T) {
	for name, c := range map[string]struct {
		available, size, want int64 // MiB
	}{
		"a bomb on a small machine":     {1000, 0, 1000},
		"a bomb on a large machine":     {200 << 10, 0, 64 << 10},
		"a real image, little memory":   {400, 200, 3200},
		"a real image, plenty":          {16000, 200, 16000},
		"more than is ever taken":       {1000, 5000, 64 << 10},
		"a size that would not be true": {1000, 1 << 40, 64 << 10},
	} {
		opt := room(1<<50, c.available<<20).Reading(c.size << 20)
		if opt.MaxBytes != c.want<<20 || opt.Memory < 1 {
			t.Errorf("%s: %d MiB, %d of them as they are, want %d", name, opt.MaxBytes>>20, opt.Memory>>20, c.want)
		}
	}
}
