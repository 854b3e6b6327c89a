package vm

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestCost has this process be the machine, which uses a processor for a while.
func TestCost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	c := cost{pidFile: file}
	c.look(time.Now())
	if c.seconds != 0 {
		t.Errorf("a machine that has not begun costs %f s", c.seconds)
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.look(c.read.Add(pause / 2))
	if c.seconds != 0 {
		t.Error("the cost was read again at once")
	}
	before := c
	for begin := time.Now(); c.seconds <= before.seconds && time.Since(begin) < time.Minute; {
		c.look(c.read.Add(pause))
	}
	if c.seconds <= before.seconds {
		t.Errorf("this process costs %f s after a minute", c.seconds)
	}
	for stat, want := range map[string]float64{
		"1 (a) b) S 1 1 1 0 -1 4194560 1 1 1 1 250 150 9 9 20 0 4 0 100\n": 4,
		"1 (a) S 1": -1, "": -1, "1 (a) S 1 1 1 0 -1 4194560 1 1 1 1 x 150 9": -1,
	} {
		if got, err := spent(stat); err == nil && got != want || err != nil && want >= 0 {
			t.Errorf("spent(%q) = %f, %v, want %f", stat, got, err, want)
		}
	}
}
