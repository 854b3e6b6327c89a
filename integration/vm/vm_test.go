package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStrip(t *testing.T) {
	var e escapes
	var got []byte
	for _, piece := range []string{"a\x1b[2", "Jb\r\n\x1b[1;31mc\x1b", "[0md\x1bcf"} {
		got = e.strip(got, []byte(piece))
	}
	if want := "ab\ncdf"; string(got) != want {
		t.Errorf("strip = %q, want %q", got, want)
	}
}

// TestStart runs scripts instead of QEMU, one line for each start that is allowed.
func TestStart(t *testing.T) {
	const hangs, ends = "echo BdsDxe; exec sleep 60", "echo no such device; exit 1"
	const stalls = "echo '[    0.000000] Linux version'; echo '[   44.109843] rcu: rcu_preempt kthread starved'; " +
		"exec sleep 60"
	const speaks = "echo '[    0.000000] Linux version'; echo '[    2.100000] Run /init as init process'; exec sleep 60"
	for name, tt := range map[string]struct {
		starts []string
		first  string
		want   string // of the error
	}{
		"speaks":            {starts: []string{speaks}},
		"hangs once":        {starts: []string{hangs, speaks}},
		"stalls once":       {starts: []string{stalls, speaks}},
		"quiet":             {starts: []string{"echo 'wyrboot: Wyrcan 1.0'; exec sleep 60"}},
		"hangs twice":       {starts: []string{hangs, hangs}, want: "no "},
		"ends":              {starts: []string{ends}, want: "the machine ended without "},
		"ends at second":    {starts: []string{hangs, ends}, want: "the machine ended without "},
		"a menu":            {starts: []string{hangs}, first: `^Bds`},
		"a kernel, no menu": {starts: []string{speaks, speaks}, first: `Boot in`, want: `no "Boot in"`},
		"a menu at second":  {starts: []string{speaks, hangs}, first: `^Bds`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var script strings.Builder
			fmt.Fprintf(&script, "echo >> %s/starts\ncase $(wc -l < %[1]s/starts) in\n", dir)
			for i, line := range tt.starts {
				fmt.Fprintf(&script, "%d) %s;;\n", i+1, line)
			}
			script.WriteString("esac\n")
			file := filepath.Join(dir, "qemu")
			if err := os.WriteFile(file, []byte(script.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			v, err := Machine{Firmware: []string{}, First: tt.first, command: "sh " + file, patience: time.Second,
				logs: dir}.start(t)
			switch {
			case err == nil && tt.want != "", err != nil && (tt.want == "" || !strings.HasPrefix(err.Error(), tt.want)):
				t.Errorf("start = %v, want %q", err, tt.want)
			case err == nil && len(v.Wait(`^\S+`, time.Second)) == 0:
				t.Error("the first text is lost")
			}
			if b, err := os.ReadFile(filepath.Join(dir, "starts")); err != nil || len(b) != len(tt.starts) {
				t.Errorf("%d starts, %v, want %d", len(b), err, len(tt.starts))
			}
			if logs, err := filepath.Glob(filepath.Join(dir, "RETRY-*")); err != nil || len(logs) != len(tt.starts)-1 {
				t.Errorf("the logs of machines that hung are %q, %v, want %d", logs, err, len(tt.starts)-1)
			}
		})
	}
}
