// Package printable makes a stranger's text fit for a console: the words of a registry, a certificate, a DHCP server, an
// image. A terminal obeys escape sequences (ECMA-48), a log is read by lines, and a person believes what the screen shows.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limit is how many bytes of a stranger's text are shown.
const Limit = 200

// Line returns text as one line of at most Limit bytes. See Clip.
func Line(text string) string { return Clip(text, Limit) }

// Clip returns text as one line of at most limit bytes of valid UTF-8. What a terminal would not show as a mark of its own
// becomes a space: control characters, line ends, invalid UTF-8, characters of no width, those that change the direction of
// writing. White space is folded as strings.Fields does. A text that is longer ends in "…".
func Clip(text string, limit int) string {
	const more = "…"
	var b strings.Builder
	gap := false
	for text != "" {
		r, size := utf8.DecodeRuneInString(text)
		if r == ' ' || !Mark(r) || r == utf8.RuneError && size == 1 {
			gap = b.Len() > 0
			text = text[size:]
			continue
		}
		word := text[:size]
		if gap {
			word = " " + word
		}
		if b.Len()+len(word) > limit {
			return cut(b.String(), limit-len(more)) + more
		}
		b.WriteString(word)
		gap, text = false, text[size:]
	}
	return b.String()
}

// Mark reports whether a terminal shows r as a mark of its own, or as a plain space. Of what Unicode counts as graphic it
// refuses what is made to be invisible (Default_Ignorable_Code_Point, UAX #44): two names that look the same must be the same.
func Mark(r rune) bool {
	return strconv.IsPrint(r) && (r < 0x80 || !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector))
}

// cut returns the first n bytes of valid UTF-8, without a part of a character or a space at the end.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.TrimRight(s[:n], " ")
}
