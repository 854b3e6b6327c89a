package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shown returns the lines of a screen.
func shown(s *screen) string {
	var list []string
	for _, l := range s.lines {
		var b strings.Builder
		for _, c := range trim(l) {
			b.WriteRune(c.r)
		}
		list = append(list, b.String())
	}
	return strings.Join(list, "|")
}

func TestScreen(t *testing.T) {
	for name, c := range map[string]struct{ wrote, want string }{
		"lines":               {"one\r\ntwo\n", "one|two"},
		"a status":            {"10 %\r20 %\x1b[K\rdone\x1b[K\r\n", "done"},
		"a shorter status":    {"a long line\rab\x1b[K", "ab"},
		"backspace":           {"ab\b \bc", "ac"},
		"colours":             {"\x1b[1;32mok\x1b[0m \x1b[38;5;12mx\x1b[m", "ok x"},
		"unknown sequences":   {"\x1b[?2004ha\x1b]0;title\x07b\x1b(Bc\x1b=d", "abcd"},
		"cleared":             {"old\r\n\x1b[2J\x1b[Hnew", "old|new"},
		"up":                  {"a\r\nb\x1b[Ac", "ac|b"},
		"tab":                 {"a\tb", "a       b"},
		"wraps":               {strings.Repeat("x", columns) + "y", strings.Repeat("x", columns) + "|y"},
		"not text":            {"a\xffb", "a�b"},
		"a sequence in parts": {"a\x1b[", "a"},
	} {
		var s screen
		for i := range len(c.wrote) { // as pieces of one byte
			s.write([]byte(c.wrote[i : i+1]))
		}
		if got := shown(&s); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzScreen(f *testing.F) {
	f.Add([]byte("a\x1b[2J\x1b[9999;9999Hb\x1b[9999A\x1b[38;5mc\x1b[1K\x1b[J"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s screen
		s.write(b)
		if s.row < s.home || s.row >= s.home+rows || s.col < 0 || s.col > columns {
			t.Errorf("the cursor is at %d, %d of the screen at %d", s.row, s.col, s.home)
		}
	})
}

func TestFilm(t *testing.T) {
	var events []event
	for i, text := range []string{"10 %", "\r20 %", "\r\x1b[Kdone\r\n"} {
		events = append(events, event{time.Duration(i) * time.Minute, []byte(text)})
	}
	for range rows {
		events = append(events, event{3 * time.Minute, []byte("line\r\n")})
	}
	p := film(events)
	if want := 3*pause + hold; p.length != want {
		t.Errorf("it takes %v, want %v", p.length, want)
	}
	v := p.versions
	if v[0].end != v[1].begin || v[1].end != v[2].begin || v[2].end != 0 || v[1].begin != pause {
		t.Errorf("the versions of the first line are %+v", v[:3])
	}
	if last := p.shots[len(p.shots)-1]; last.top != 2 {
		t.Errorf("the last shot is %+v, want line 2 at the top", last)
	}
}

// TestPlay records real commands.
func TestPlay(t *testing.T) {
	dir := t.TempDir()
	script, out := filepath.Join(dir, "script"), filepath.Join(dir, "out.svg")
	if err := os.WriteFile(script, []byte("# a comment\n$ test -t 1 && echo 'a <b> & c'\n$ read x; echo got $x; read y; "+
		"printf \"$y\" | od -An -tx1\nwait \ntype typed\nwait got typed\npress 41 0d\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(script, out, "A title"); err == nil {
		t.Error("a step without a text is no error")
	}
	text, _ := os.ReadFile(script)
	if err := os.WriteFile(script, []byte(strings.Replace(string(text), "wait \n", "", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(script, out, "A title"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	said := textOf(t, string(b))
	for _, want := range []string{"A title", "a <b> & c", "got typed", "41"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not shown: %s", want, said)
		}
	}
	for _, wrong := range []string{"$ false\n", "$ echo x\nwait y\n", "wait x\n", "press zz\n", "", "go x\n"} {
		if err := os.WriteFile(script, []byte(wrong), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := run(script, out, ""); err == nil {
			t.Errorf("%q is no error", wrong)
		}
	}
}

// textOf returns the text of an SVG, with which it also checks that it is well formed.
func textOf(t *testing.T, svg string) string {
	t.Helper()
	var b strings.Builder
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		switch n := token.(type) {
		case xml.CharData:
			b.Write(n)
		case xml.StartElement:
			for _, a := range n.Attr {
				if strings.Contains(a.Value, "://") && a.Name.Local != "xmlns" {
					t.Errorf("it needs %s", a.Value)
				}
			}
		}
	}
}

// TestRecording looks at the file that the documents show.
func TestRecording(t *testing.T) {
	b, err := os.ReadFile("../../docs/wyrcan.svg")
	if err != nil {
		t.Fatal(err)
	}
	svg := string(b)
	if len(b) > 100_000 {
		t.Errorf("it has %d bytes", len(b))
	}
	said := textOf(t, svg)
	for _, want := range []string{"wyrcan check", "bootable", "wyrcan run", "stage pull", "login:", "root@"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not show %q", want)
		}
	}
	for _, want := range []string{"<title", "<desc", "prefers-reduced-motion", `role="img"`} {
		if !strings.Contains(svg, want) {
			t.Errorf("it has no %s", want)
		}
	}
	for _, bad := range []string{"<script", "@import", "@font-face", "url("} {
		if strings.Contains(svg, bad) {
			t.Errorf("it has %s", bad)
		}
	}
}
