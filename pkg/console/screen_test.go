package console

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// untrusted are texts that could control a terminal, forge a log line or deceive a person.
var untrusted = map[string]string{
	"clear the screen":     "a\x1b[2Jb",
	"set the title":        "a\x1b]0;owned\x07b",
	"answer back":          "a\x1b[6n\x05b",
	"CSI as C1":            "a\u009b2Jb",
	"CSI as a byte":        "a\x9b2Jb",
	"DCS, APC, ST":         "a\x90x\x9c\u009fy\u009cb",
	"overwrite":            "harmless\rwyrboot: starts kernel",
	"backspace":            "a\b\b\x7fb",
	"shift out":            "a\x0eb",
	"line separators":      "a\u2028b\u2029c\u0085d",
	"vertical":             "a\vb\fc",
	"direction":            "a\u202eb\u2066c",
	"no width":             "a\u200bb\ufeffc",
	"not UTF-8":            "a\xff\xfe\xc3b",
	"half of an escape":    "a\x1b",
	"null":                 "a\x00b",
	"escapes, 1 MiB":       strings.Repeat("\x1b[2J", 1<<18),
	"one line of 1 MiB":    strings.Repeat("x", 1<<20),
	"1 MiB of line breaks": strings.Repeat("\n", 1<<20),
}

// unfit returns the first character of a text that must not reach a console, or "".
func unfit(text string) string {
	if !utf8.ValidString(text) {
		return "bytes that are not UTF-8"
	}
	for _, r := range text {
		control := r < ' ' || 0x7f <= r && r < 0xa0
		if r != '\n' && r != '\t' && (control || strings.ContainsRune("\u2028\u2029\u202e\u2066\u200b\ufeff", r)) {
			return fmt.Sprintf("%q", r)
		}
	}
	return ""
}

func TestScreenCleansUntrustedText(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		for what, text := range untrusted {
			var out bytes.Buffer
			s := NewScreen(&out, terminal)
			if n, err := s.Write([]byte(text)); n != len(text) || err != nil {
				t.Errorf("%s: Write = %d, %v", what, n, err)
			}
			if found := unfit(out.String()); found != "" {
				t.Errorf("%s, terminal %v: the screen got %s", what, terminal, found)
			}
			if out.Len() > maxWrite+100 {
				t.Errorf("%s: the screen got %d bytes", what, out.Len())
			}
			for line := range strings.Lines(out.String()) {
				if len(line) > printable.Long+10 {
					t.Errorf("%s: the screen got a line of %d bytes", what, len(line))
				}
			}
			// The same for a status, without the escape sequences that Status itself adds.
			out.Reset()
			s = NewScreen(&out, terminal)
			s.Status(text, true)
			shown := strings.TrimSuffix(strings.TrimPrefix(out.String(), "\r"), clear)
			widest := 80
			if !terminal {
				widest = printable.Long + 10
			}
			if found := unfit(shown); found != "" || strings.Count(shown, "\n") > 1 || len(shown) > widest {
				t.Errorf("%s, terminal %v: the status is %d bytes with %s", what, terminal, len(shown), found)
			}
		}
	}
}

func TestScreen(t *testing.T) {
	const help = "wyr.img=REF\tGröße 大小 — é\n\n  and so on\n"
	for _, tt := range []struct {
		what     string
		terminal bool
		do       func(*Screen)
		want     string
	}{
		{"text as it is", false, func(s *Screen) { fmt.Fprint(s, help) }, help},
		{"a line above the status", true, func(s *Screen) {
			s.Status("pull 1%", false)
			fmt.Fprintln(s, "eth0")
			s.Status("pull 2%", false)
			s.Status("", false)
			fmt.Fprintln(s, "done")
		}, "\rpull 1%\x1b[K" + "\r\x1b[Keth0\n\rpull 1%\x1b[K" + "\rpull 2%\x1b[K" + "\r\x1b[K" + "done\n"},
		{"no status behind a question", true, func(s *Screen) {
			s.Status("pull 1%", false)
			fmt.Fprint(s, "sure? ")
			s.Status("pull 2%", false)
			fmt.Fprintln(s, "no")
		}, "\rpull 1%\x1b[K" + "\r\x1b[Ksure? " + "no\n\rpull 2%\x1b[K"},
		{"a log", false, func(s *Screen) {
			s.Status("pull 1%", false)
			s.Status("pull 2%", true)
			fmt.Fprintln(s, "eth0")
			fmt.Fprint(s, "half")
			s.Status("pull 3%", true)
			s.Status("", false)
		}, "pull 2%\neth0\nhalf\npull 3%\n"},
		{"wider than a screen", true, func(s *Screen) { s.Status(strings.Repeat("x", 200), false) },
			"\r" + strings.Repeat("x", 76) + "…\x1b[K"},
	} {
		var out bytes.Buffer
		tt.do(NewScreen(&out, tt.terminal))
		if got := out.String(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, got, tt.want)
		}
	}
}

// seen returns the lines that a terminal shows after it has received text.
func seen(text string) []string {
	var lines []string
	var line []byte
	column := 0
	for text = strings.ReplaceAll(text, clear, "\x1b"); text != ""; text = text[1:] {
		switch c := text[0]; c {
		case '\r':
			column = 0
		case '\x1b':
			line = line[:column]
		case '\n':
			lines, line, column = append(lines, string(line)), nil, 0
		default:
			line = append(line[:column], append([]byte{c}, line[min(column+1, len(line)):]...)...)
			column++
		}
	}
	return append(lines, string(line))
}

// Several goroutines write while a status changes: every line appears complete, and once.
func TestScreenConcurrentWrites(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var out bytes.Buffer
		s := NewScreen(&out, terminal)
		var writers sync.WaitGroup
		var want []string
		for w := range 8 {
			for i := range 50 {
				want = append(want, fmt.Sprintf("line %d of writer %d", i, w))
			}
			writers.Go(func() {
				for i := range 50 {
					fmt.Fprintf(s, "line %d of writer %d\n", i, w)
				}
			})
		}
		writers.Go(func() {
			for i := range 500 {
				s.Status(fmt.Sprintf("pull %d%%", i), i%50 == 0)
			}
		})
		writers.Wait()
		s.Status("", false)
		got := slices.DeleteFunc(seen(out.String()), func(line string) bool {
			return line == "" || !terminal && strings.HasPrefix(line, "pull ")
		})
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("terminal %v: the lines are %q", terminal, got)
		}
	}
}

// A virtual terminal shows the progress in place, a serial line shows it as lines. On both, other lines stay complete.
func TestConsoleStatus(t *testing.T) {
	t.Parallel() // it waits for progress to appear
	root, far := world(t, "tty1", "ttyS0")
	c := Open(root)
	read := func(f *os.File, end string) string {
		shown := ""
		f.SetReadDeadline(time.Now().Add(10 * time.Second))
		for b := make([]byte, 4096); !strings.HasSuffix(shown, end); {
			n, err := f.Read(b)
			if err != nil {
				t.Fatalf("the console shows %q, then %v", shown, err)
			}
			shown += string(b[:n])
		}
		return strings.ReplaceAll(shown, "\r\n", "\n") // the terminal turns \n into \r\n
	}
	ctx, cancel := context.WithCancel(t.Context())
	shown := make(chan struct{})
	go func() {
		Progress{Out: c, Label: "pull", Read: func() (int64, int64) { return 5e6, 10e6 }}.Run(ctx)
		close(shown)
	}()
	time.Sleep(1500 * time.Millisecond)
	fmt.Fprintln(c, "eth0 \x1b[2Jnow has an address")
	time.Sleep(300 * time.Millisecond)
	cancel()
	<-shown
	fmt.Fprintln(c, "stage pull")
	screen, log := read(far[0], "stage pull\r\n"), read(far[1], "stage pull\r\n")
	want := []string{"eth0  [2Jnow has an address", "stage pull", ""}
	if got := seen(screen); !slices.Equal(got, want) || strings.Count(screen, "pull  50%") < 3 {
		t.Errorf("the screen shows %q, after %q", got, screen)
	}
	want = append([]string{"pull  50%  5.00 MB of 10.0 MB"}, want...)
	got := strings.Split(log, "\n")
	if len(got) != len(want) || !strings.HasPrefix(got[0], want[0]) || !slices.Equal(got[1:], want[1:]) {
		t.Errorf("the serial line says %q, want %q…", got, want)
	}
}

func TestRecords(t *testing.T) {
	for what, text := range untrusted {
		got := records("wyrboot: " + text)
		for _, r := range got {
			if found := unfit(r); found != "" || strings.ContainsAny(r, "\n\t") {
				t.Errorf("%s: the kernel's log got %q", what, r)
			}
			if len(r) > 970 {
				t.Errorf("%s: the kernel's log refuses a record of %d bytes", what, len(r))
			}
		}
		if !strings.HasPrefix(got[0], "wyrboot: ") && text != untrusted["1 MiB of line breaks"] || len(got) > 6 {
			t.Errorf("%s: %d records, the first %q", what, len(got), got[0])
		}
	}
	words := strings.TrimSpace(strings.Repeat("argument=value ", 150))
	if got := records(words); len(got) != 3 || strings.Join(got, " ") != words {
		t.Errorf("a command line of %d bytes becomes %q", len(words), got)
	}
}
