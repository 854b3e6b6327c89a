package console

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// trouble returns a Trouble on a Screen, and what the screen shows.
func trouble(terminal bool) (*Trouble, *bytes.Buffer) {
	var out bytes.Buffer
	s := NewScreen(&out, terminal)
	sayf := func(format string, args ...any) { fmt.Fprintf(s, "boot: "+format+"\n", args...) }
	return &Trouble{Out: s, Sayf: sayf, Prefix: "boot: "}, &out
}

// TestTroubleInLog has a registry that is dead for ten minutes: its cause is said at once, and then every 30 seconds.
func TestTroubleInLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // with a fake clock
		trouble, out := trouble(false)
		begin := time.Now()
		var lines []time.Duration
		for time.Since(begin) < 10*time.Minute {
			before := strings.Count(out.String(), "\n")
			trouble.Failed("dead", "registry r is dead", 206*time.Millisecond)
			if strings.Count(out.String(), "\n") > before {
				lines = append(lines, time.Since(begin))
			}
			time.Sleep(206 * time.Millisecond)
		}
		for i := 1; i < len(lines); i++ {
			if d := lines[i] - lines[i-1]; d < 30*time.Second || d > 31*time.Second {
				t.Errorf("line %d comes %v after the one before, want 30 s", i, d)
			}
		}
		first, rest, _ := strings.Cut(out.String(), "\n")
		if first != "boot: registry r is dead; tries again in 0.2 s" {
			t.Errorf("the first line is %q", first)
		}
		second, _, _ := strings.Cut(rest, "\n")
		if second != "boot: tries again in 0.2 s (try 148, failing for 30 s): registry r is dead" {
			t.Errorf("the second line is %q", second)
		}
		out.Reset()
		trouble.Works("registry r")
		trouble.Works("registry r")
		if got := out.String(); got != "boot: registry r answers again after 10 min, 2913 tries\n" {
			t.Errorf("the end is %q, want one line", got)
		}
	})
}

// TestTroubleOnTerminal checks that one cause is one line, and below it a line that is rewritten.
func TestTroubleOnTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trouble, out := trouble(true)
		for range 100 {
			trouble.Failed("dead", "registry r is dead", time.Second)
			time.Sleep(time.Second)
		}
		shown := out.String()
		if strings.Count(shown, "\n") != 1 || !strings.Contains(shown, "(try 101, failing for 99 s): registry r") {
			t.Errorf("the screen got\n%q", shown)
		}
		out.Reset()
		trouble.Works("registry r")
		if got := out.String(); got != "\r"+clear+"boot: registry r answers again after 100 s, 100 tries\n" {
			t.Errorf("the end is %q", got)
		}
	})
}

func TestTroubleCauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trouble, out := trouble(false)
		said := func(want string) {
			t.Helper()
			if got := strings.ReplaceAll(out.String(), "boot: ", ""); got != want {
				t.Errorf("it said\n%swant\n%s", got, want)
			}
			out.Reset()
		}
		fail := func(cause, text string) { trouble.Failed(cause, text, time.Second) }

		// A changed cause is said at once. Two that alternate are not said again and again.
		for range 20 {
			fail("a", "A")
			time.Sleep(time.Second / 2)
			fail("b", "B")
			time.Sleep(time.Second / 2)
		}
		said("A; tries again in 1 s\nB; tries again in 1 s\n")
		if trouble.Last() != "B" {
			t.Errorf("Last = %q, want B", trouble.Last())
		}
		trouble.Works("r")
		said("r answers again after 20 s, 40 tries\n")

		// A connection that breaks now and then, with progress between, is one line in 30 seconds.
		time.Sleep(time.Minute)
		for i := range 25 {
			fail("broke", fmt.Sprintf("broke after %d bytes", i))
			time.Sleep(time.Second)
			trouble.Works("r")
		}
		said("broke after 0 bytes; tries again in 1 s\n")
		if trouble.Last() != "" {
			t.Errorf("Last = %q after a success", trouble.Last())
		}

		// A server that invents a cause for each attempt does not flood a log.
		time.Sleep(time.Minute)
		for i := range 1000 {
			fail(fmt.Sprint(i), "x")
			time.Sleep(10 * time.Millisecond)
		}
		if n := strings.Count(out.String(), "\n"); n != maxCauses {
			t.Errorf("1000 causes in 10 seconds are %d lines, want %d", n, maxCauses)
		}
	})
}

// TestMoved has mirrors that fail: each is one line, which does not count as a failure of who is asked next.
func TestMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trouble, out := trouble(false)
		trouble.Moved("dead", "mirror m is dead", "registry r")
		time.Sleep(time.Minute)
		trouble.Works("registry r")
		if got := out.String(); got != "boot: mirror m is dead; asks registry r\n" {
			t.Errorf("it said %q", got)
		}

		// A mirror that has broken off before. Another blob then fails there too.
		out.Reset()
		time.Sleep(time.Minute)
		for range 3 {
			trouble.Failed("broke", "mirror m broke", time.Second)
			time.Sleep(10 * time.Second)
		}
		trouble.Moved("broke", "mirror m broke", "registry r")
		if trouble.Last() != "" {
			t.Errorf("Last = %q after a move", trouble.Last())
		}
		trouble.Moved("broke", "mirror m broke", "registry r")
		time.Sleep(time.Minute)
		trouble.Works("registry r")
		want := "boot: mirror m broke; tries again in 1 s\nboot: mirror m broke; asks registry r\n"
		if got := out.String(); got != want {
			t.Errorf("it said\n%swant\n%s", got, want)
		}
	})
}
