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
