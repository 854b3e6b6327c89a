package tools

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInitrdMax checks that make ends with an error where firmware makes the initrd too large to be loaded over a
// network, and that it then leaves none.
func TestInitrdMax(t *testing.T) {
	s := newScratch(t)
	get(t, "../Makefile") // go test repeats a test only if a file has changed that the test itself has read
	for _, tt := range []struct {
		size int64
		args []string
		ok   bool
	}{
		{5, nil, true},
		{32<<20 - 8, nil, true},
		{32 << 20, nil, false},
		{32 << 20, []string{"INITRD_MAX=40000000"}, true},
	} {
		for name, size := range map[string]int64{"busybox": 6, "modules": tt.size} {
			file := filepath.Join(string(s), "out", name+".cpio.zst")
			put(t, file, "")
			if err := os.Truncate(file, size); err != nil {
				t.Fatal(err)
			}
		}
		initrd := filepath.Join(string(s), "out", "wyrcan.initrd")
		os.Remove(initrd)
		// -o: what the initrd is made of is as it is.
		args := append([]string{"-s", "-o", "out/busybox.cpio.zst", "-o", "out/modules.cpio.zst", "out/wyrcan.initrd"},
			tt.args...)
		make := exec.Command("make", args...)
		make.Dir = string(s)
		make.Env = append(os.Environ(), "MAKEFLAGS=")
		out, err := make.CombinedOutput()
		fi, e := os.Stat(initrd)
		switch {
		case !tt.ok && (err == nil || e == nil || !strings.Contains(string(out), "may have 33554432: leave out firmware")):
			t.Errorf("modules of %d bytes: %v, the initrd: %v, want an error: %s", tt.size, err, e, out)
		case tt.ok && (err != nil || e != nil || fi.Size() != (6+tt.size+3)/4*4):
			t.Errorf("modules of %d bytes: %v, the initrd: %v: %s", tt.size, err, e, out)
		}
	}
}
