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
