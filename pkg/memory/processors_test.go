package memory

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestProcessors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "possible")
	for text, want := range map[string]int{
		"0\n": 1, "0-63\n": 64, "0-3,8-11": 12, "0,2": 3, "0-65535": 65536,
		"": 0, "\n": 0, "-": 0, "0-": 0, "many": 0, "0-65536": 0, "0-99999999999999999999": 0,
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := Processors(file); got != want {
			t.Errorf("of %q it says %d, want %d", text, got, want)
		}
	}
	if n := Processors(filepath.Join(t.TempDir(), "none")); n != 0 {
		t.Errorf("of no file it says %d", n)
	}
	if n := Processors(Possible); n < runtime.NumCPU() {
		t.Errorf("this machine may have %d processors, and this program can use %d", n, runtime.NumCPU())
	}
}
