package memory

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Info
		ok   bool
	}{
		"linux": {
			"MemTotal:       16384000 kB\nMemFree:         1000 kB\nMemAvailable:   16000000 kB\nHugePages_Total:   " +
				"    0\n",
			Info{16384000 << 10, 16000000 << 10}, true,
		},
		"empty":        {"", Info{}, false},
		"no available": {"MemTotal: 5 kB\n", Info{}, false},
		"nonsense":     {"MemTotal: lots\nMemAvailable: 99999999999999999999 kB\n", Info{}, false},
	} {
		file := filepath.Join(t.TempDir(), "meminfo")
		if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(file); got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: Read = %v, %v, want %v", name, got, err, c.want)
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("Read of no file: want an error")
	}
	if m, err := Read("/proc/meminfo"); err != nil || m.Available > m.Total {
		t.Errorf("Read(/proc/meminfo) = %v, %v", m, err)
	}
}

// TestKernel reads the size of the running kernel where its boot loader has handed the header of its file over.
func TestKernel(t *testing.T) {
	page := func(change func(b []byte)) []byte {
		b := make([]byte, 4096)
		copy(b[0x202:], "HdrS\x0f\x02")
		copy(b[0x260:], "\x00\x00\xf8\x03")
		change(b)
		return b
	}
	for name, c := range map[string]struct {
		content []byte
		want    int64
	}{
		"its header":     {page(func([]byte) {}), 0x3f80000},
		"an old header":  {page(func(b []byte) { b[0x206] = 9 }), 0},
		"another header": {page(func(b []byte) { b[0x202] = 0 }), 0},
		"short":          {page(func([]byte) {})[:0x263], 0},
		"empty":          {nil, 0},
	} {
		file := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(file, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Kernel(file); got != c.want {
			t.Errorf("%s: Kernel = %#x, want %#x", name, got, c.want)
		}
	}
	if got := Kernel("/none"); got != 0 {
		t.Errorf("Kernel of no file = %d", got)
	}
}
