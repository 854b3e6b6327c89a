// Package printable makes untrusted text safe to show on a console or in a log: text of a registry, a certificate, a
// DHCP server, an image. Such text could hold escape sequences, which a terminal executes (ECMA-48), or line ends,
// which forge log lines.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limit is how many bytes of an untrusted text are shown. Long is the longest line that may hold such text: enough for
// a whole kernel command line (COMMAND_LINE_SIZE) and a sentence about it.
const (
	Limit = 200
	Long  = 4096
)

// Line returns text as one line of at most Limit bytes of valid UTF-8. It replaces each run of characters that a
// terminal does not show as a visible character by one space: control characters, line ends, invalid UTF-8, characters
// of no width, and those that change the direction of writing. It trims spaces, and ends a longer text in "…".
func Line(text string) string { return Clip(text, Limit) }

// Clip is Line with another limit, for a message that quotes an untrusted text.
func Clip(text string, limit int) string {
	const more = "…"
	var b strings.Builder
	spaces, folded := 0, false // spaces, and characters to replace, since the last character that was written
	for text != "" {
		r, size := utf8.DecodeRuneInString(text)
		mark := text[:size]
		text = text[size:]
		switch {
		case r == ' ':
			spaces++
			continue
		case !Mark(r) || r == utf8.RuneError && size == 1:
			folded = true
			continue
		}
		if folded {
			spaces = 1
		}
		if b.Len() == 0 {
			spaces = 0
		}
		if b.Len()+spaces+len(mark) > limit {
			return cut(b.String(), limit-len(more)) + more
		}
		b.WriteString(strings.Repeat(" ", spaces))
		b.WriteString(mark)
		spaces, folded = 0, false
	}
	return b.String()
}

// Visible reports whether text has visible ASCII characters only: no white space, no control characters.
func Visible(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Mark reports whether a terminal shows r as a visible character or a plain space. Unicode counts some invisible
// characters as graphic (Default_Ignorable_Code_Point, UAX #44); Mark refuses them, so that two different names never
// look the same.
func Mark(r rune) bool {
	return strconv.IsPrint(r) &&
		(r < 0x80 || !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector))
}

// cut returns the first n bytes of s, which is valid UTF-8, or less: without a part of a character or a space at the
// end.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.TrimRight(s[:n], " ")
}
