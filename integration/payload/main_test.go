package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	for _, row := range []struct {
		cmdline string
		want    []string
		enter   bool
	}{
		{"quiet demo=once",
			[]string{"6.1.0-test", "quiet demo=once", "tmpfs", "1000 kB in all, 900 kB available", "files         8",
				"up for        3.50 s", "the container's own words"}, false},
		{"quiet", []string{"the container's own words", "press Enter"}, true},
	} {
		root := t.TempDir()
		for name, content := range map[string]string{
			"proc/sys/kernel/osrelease": "6.1.0-test\n",
			"proc/cmdline":              row.cmdline + "\n",
			"proc/self/mounts":          "rootfs / rootfs rw 0 0\nnone / tmpfs rw 0 0\nproc /proc proc rw 0 0\n",
			"proc/meminfo":              "MemTotal:  1000 kB\nMemAvailable:   900 kB\n",
			"proc/uptime":               "3.50 5.00\n",
			"etc/a/b":                   "x",
			"sys/x":                     "",
			"dev/y":                     "",
		} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("etc/a/b", filepath.Join(root, "init")); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		off := false
		c := &cmd{stdin: strings.NewReader("\n"), stdout: &out, root: root, prepare: func() error { return nil },
			poweroff: func() error { off = true; return nil }}
		if err := c.run(); err != nil {
			t.Fatal(err)
		}
		for _, want := range row.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("with %q: %q is not in\n%s", row.cmdline, want, out.String())
			}
		}
		if strings.Contains(out.String(), "press Enter") != row.enter || !off {
			t.Errorf("with %q: asked for Enter = %v (want %v), powered off = %v", row.cmdline, !row.enter, row.enter,
				off)
		}
	}
}

// A container that cannot mount its /proc reports the error.
func TestRunFails(t *testing.T) {
	want := errors.New("no proc")
	c := &cmd{prepare: func() error { return want }}
	if err := c.run(); !errors.Is(err, want) {
		t.Errorf("run() = %v, want %v", err, want)
	}
}
