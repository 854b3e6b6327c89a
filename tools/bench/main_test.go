package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	ways := []way{{name: "floor"}, {name: "ours"}}
	s := time.Second
	results := map[string][]result{
		"floor": {{wall: 4 * s, cpu: s}, {wall: 2 * s, cpu: 4 * s}, {wall: 1 * s, cpu: 6 * s}},
		"ours": {{wall: 3 * s, cpu: s, memory: 5e6, size: 7e6}, {wall: 9 * s, cpu: 3 * s, memory: 6e6, size: 7e6},
			{wall: 1 * s, cpu: 2 * s, memory: 4e6, size: 7e6}},
	}
	var out bytes.Buffer
	c := &cmd{stdout: &out, runs: 3}
	if err := c.table(ways, results); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"medians of 3 turns", "| floor | 2.00 s | 1.00 | 4.00 s | 1.00 | - | - |",
		"| ours | 3.00 s | 1.50 | 2.00 s | 0.50 | 5 MB | 7 MB |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestOnce(t *testing.T) {
	dir := t.TempDir() + "/turn"
	r, err := once(t.Context(), dir, "printf 12345 | cat >initrd; sleep 0.05")
	if err != nil || r.size != 5 || r.wall < 50*time.Millisecond {
		t.Errorf("once = %+v, %v", r, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("once left its directory behind")
	}
	if _, err := once(t.Context(), dir, "echo broken >&2; false | cat >initrd"); err == nil ||
		!strings.Contains(err.Error(), "broken") {
		t.Errorf("once of a pipe that breaks = %v, want an error with what it said", err)
	}
}

// TestOnceInterrupted checks that nothing runs on when somebody presses Ctrl-C.
func TestOnceInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := once(ctx, t.TempDir()+"/turn", "sleep 60 | sleep 60"); err == nil ||
		time.Since(begin) > 30*time.Second {
		t.Errorf("once = %v after %v", err, time.Since(begin))
	}
}

// TestGroup checks that the memory of a turn is measured, memory without a name too, if the machine has control groups.
func TestGroup(t *testing.T) {
	g := newGroup()
	if g.dir == "" {
		t.Log("no control group can be made here")
	}
	g.close()
	// tail keeps the last lines in memory. These zeros are one line, and sleep does not read it.
	r, err := once(t.Context(), t.TempDir()+"/turn", `head -c 100000000 /dev/zero | { tail || true; } | sleep 0.5`)
	if err != nil {
		t.Fatal(err)
	}
	if measured := r.memory > 90e6 && r.memory < 200e6; measured != (g.dir != "") {
		t.Errorf("100 MB are measured as %d bytes", r.memory)
	}
}

func TestStamp(t *testing.T) {
	const log = "[    0.100000] Trying to unpack rootfs image as initramfs...\r\n" +
		"[    2.600000] Freeing initrd memory: 100K\r\n"
	for text, want := range map[string]time.Duration{
		"Trying to unpack rootfs image as initramfs": 100 * time.Millisecond,
		"Freeing initrd memory":                      2600 * time.Millisecond,
	} {
		if got, err := stamp([]byte(log), text); err != nil || got != want {
			t.Errorf("stamp(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	if _, err := stamp([]byte(log), "Kernel panic"); err == nil {
		t.Error("stamp finds a time for a line that is not there")
	}
}
