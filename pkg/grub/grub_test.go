package grub

import (
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

func TestConfig(t *testing.T) {
	got, err := Entry{Kernel: "/kernel", Initrd: "/initrd", Timeout: 5,
		Cmdline: `console=ttyS0,115200 quiet wyr.arg="a $b" "wyr.arg=c;d  e" wyr.img=registry.example/${mac}:x`}.Config()
	const want = `set timeout=5
menuentry 'Wyrcan ~ The Container Bootloader' {
  linux /kernel console=ttyS0,115200 quiet 'wyr.arg=a $b' 'wyr.arg=c;d  e' 'wyr.img=registry.example/${mac}:x'
  initrd /initrd
}
`
	if err != nil || got != want {
		t.Errorf("Config = %v,\n%s", err, got)
	}
}

// A file with room is found where a CD has it, and only there and whole.
func TestPadded(t *testing.T) {
	e := Entry{Kernel: "/kernel", Initrd: "/initrd", Cmdline: "quiet", Timeout: 5}
	text, err := e.Padded()
	config, _ := e.Config()
	if err != nil || len(text) != Room || strings.TrimRight(text, "\n") != mark+strings.TrimRight(config, "\n") {
		t.Fatalf("Padded = %v, %d bytes:\n%.300s", err, len(text), text)
	}
	empty := func(n int) string { return strings.Repeat("\x00", n) }
	for name, c := range map[string]struct {
		medium string
		want   int64 // -1: nowhere
	}{
		"at the start": {text, 0}, "in the middle": {empty(3<<20) + text + empty(2048), 3 << 20},
		"at the end": {empty(2048*511) + text, 2048 * 511}, "cut": {empty(2048) + text[:Room-1], -1},
		"between sectors": {empty(1024) + text + empty(1024), -1}, "none": {empty(1 << 20), -1}, "nothing": {"", -1},
	} {
		at, err := Find(strings.NewReader(c.medium), int64(len(c.medium)))
		if (err != nil) != (c.want < 0) || err == nil && at != c.want {
			t.Errorf("%s: Find = %d, %v, want %d", name, at, err, c.want)
		}
	}
	e.Cmdline = strings.Repeat("x", Room)
	if _, err := e.Padded(); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("a long line: %v", err)
	}
}

// What GRUB would change on its way to the kernel is refused.
func TestRefused(t *testing.T) {
	for _, line := range []string{
		`wyr.arg=wyr.arg="quiet loglevel=3"`, `a=it's`, `a=\x`, "wyr.arg=\"a\tb\"", "wyr.arg=\"a\nb\"", `x"y`, `""`,
		"a='b c'",
	} {
		text, err := Entry{Kernel: "/k", Initrd: "/i", Cmdline: line}.Config()
		if err == nil || !strings.Contains(err.Error(), "GRUB cannot pass") {
			t.Errorf("%s: %v,\n%s", line, err, text)
		}
	}
}

// FuzzConfig compares the arguments that go in with those that a kernel gets: as a small model of GRUB reads the text.
func FuzzConfig(f *testing.F) {
	for _, line := range []string{"quiet", `a="b c" d`, "x='y", `"k=v w"`, "$a ${b} #c ;d &e |f", "\xa0", "a\\b"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		text, err := Entry{Kernel: "/k", Initrd: "/i", Cmdline: line}.Config()
		if err != nil {
			return
		}
		_, rest, _ := strings.Cut(text, "  linux /k")
		words, _, _ := strings.Cut(rest, "\n  initrd /i\n}\n")
		var kernel []string
		for _, w := range shell(t, words) {
			kernel = append(kernel, passed(w))
		}
		got, want := cmdline.Parse(strings.Join(kernel, " ")), cmdline.Parse(line)
		if len(got) != len(want) {
			t.Fatalf("%q becomes %q", line, kernel)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%q becomes %q", want[i], got[i])
			}
		}
	})
}

// shell splits words as GRUB's shell language does. Outside single quotes it knows no character with a meaning.
func shell(t *testing.T, line string) (words []string) {
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		if rest, ok := strings.CutPrefix(line, "'"); ok {
			word, after, closed := strings.Cut(rest, "'")
			if !closed || after != "" && after[0] != ' ' {
				t.Fatalf("a quote in %q", line)
			}
			words, line = append(words, word), after
			continue
		}
		word, after, _ := strings.Cut(line, " ")
		if strings.ContainsAny(word, "\"\\$#;&|<>{}()[]*?~^`!\n\t") {
			t.Fatalf("%q has a character with a meaning", word)
		}
		words, line = append(words, word), after
	}
	return words
}
