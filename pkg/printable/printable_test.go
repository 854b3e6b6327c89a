package printable

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	for _, c := range []struct{ what, text, want string }{
		{"plain", "no such image", "no such image"},
		{"empty", "", ""},
		{"other alphabets", "Größe 大小 ελληνικά é́ 😀", "Größe 大小 ελληνικά é́ 😀"},
		{"clear the screen", "a\x1b[2Jb", "a [2Jb"},
		{"set the title", "\x1b]0;owned\x07rest", "]0;owned rest"},
		{"CSI as C1, in UTF-8", "a\u009b2Jb", "a 2Jb"},
		{"CSI as a byte", "a\x9b2Jb", "a 2Jb"},
		{"NEL", "a\u0085b", "a b"},
		{"overwrite", "real\rfake", "real fake"},
		{"lines", "one\ntwo\r\n\r\nthree\n", "one two three"},
		{"tabs and spaces", "  a\t \v\f b  ", "a b"},
		{"only spaces", "wyr.arg=\"a  b\"   ", "wyr.arg=\"a  b\""},
		{"many spaces", "a" + strings.Repeat(" ", Limit) + "b", "a…"},
		{"backspace and delete", "ab\b\b\x7fc", "ab c"},
		{"null", "a\x00b", "a b"},
		{"shift out", "a\x0eb\x0f", "a b"},
		{"line and paragraph separators", "a\u2028b\u2029c", "a b c"},
		{"direction", "a\u202egnp.exe\u202c \u2066x\u2069 \u200f\u061cy", "a gnp.exe x y"},
		{"no width", "doc\u200bker\ufeff\u2060\u00adx", "doc ker x"},
		{"invisible letters", "a\u3164b\uffa0c\u115fd\u034fe", "a b c d e"},
		{"variation selectors", "a\ufe0fb\U000e0100c", "a b c"},
		{"tags", "a\U000e0041b", "a b"},
		{"other spaces", "a\u00a0b\u3000c", "a b c"},
		{"private use", "a\ue000b", "a b"},
		{"invalid", "a\xff\xfeb\xc3", "a b"},
		{"surrogate", "a\xed\xa0\x80b", "a b"},
		{"the replacement character itself", "a\ufffdb", "a\ufffdb"},
		{"full", strings.Repeat("x", Limit), strings.Repeat("x", Limit)},
		{"one too many", strings.Repeat("x", Limit+1), strings.Repeat("x", Limit-3) + "…"},
		{"cut between characters", strings.Repeat("é", Limit), strings.Repeat("é", (Limit-3)/2) + "…"},
		{"spaces at the limit", strings.Repeat("x", Limit) + "   \n", strings.Repeat("x", Limit)},
	} {
		if got := Line(c.text); got != c.want {
			t.Errorf("%s: Line(%q) = %q, want %q", c.what, c.text, got, c.want)
		}
	}
}

// An untrusted text may be very long.
func TestLineOfLongText(t *testing.T) {
	for _, unit := range []string{"x", "\x1b[2J", "\n", "\u202e", "\xff", "😀 "} {
		begin := time.Now()
		got := Line(strings.Repeat(unit, 1<<20/len(unit)))
		if len(got) > Limit || !utf8.ValidString(got) {
			t.Errorf("1 MiB of %q is %d bytes, valid %v, want at most %d", unit, len(got), utf8.ValidString(got), Limit)
		}
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("1 MiB of %q took %v", unit, d)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{"", "a b", "\x1b[2J", "\u009b", "\xff\xc3", "a\u2028b", strings.Repeat("é ", Limit)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Line(s)
		if len(got) > Limit || !utf8.ValidString(got) || strings.TrimSpace(got) != got {
			t.Errorf("Line(%q) = %q", s, got)
		}
		for _, r := range got {
			if !Mark(r) {
				t.Errorf("Line(%q) = %q, which holds %q", s, got, r)
			}
		}
		if again := Line(got); again != got {
			t.Errorf("Line(%q) = %q, and of that %q", s, got, again)
		}
	})
}

func TestVisible(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "a~!": true, "a b": false, "\t": false, "\x7f": false, "é": false, "\xff": false, "a\x00": false,
	} {
		if Visible(text) != want {
			t.Errorf("Visible(%q) = %v", text, !want)
		}
	}
}
