// Package printable makes a stranger's text fit for a console: the words of a registry, a certificate, a DHCP server,
// an image. A terminal obeys escape sequences (ECMA-48), a log is read by lines, and a person believes what the screen
// shows.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limit is how many bytes of a stranger's text are shown, and Long how many a line has at most that holds some: as much
// as the kernel's command line, which is shown whole (COMMAND_LINE_SIZE), and a sentence about it.
const (
	Limit = 200
	Long  = 4096
)

// Line returns text as one line of at most Limit bytes of valid UTF-8. What a terminal would not show as a mark of its
// own becomes a space, and many in a row one: control characters, line ends, invalid UTF-8, characters of no width,
// those that change the direction of writing. There is no space at its ends. A text that is longer ends in "…".
func Line(text string) string { return Clip(text, Limit) }

// Clip is Line with another limit, for a text that is only in part a stranger's: a sentence about his.
func Clip(text string, limit int) string {
	const more = "…"
	var b strings.Builder
	spaces, folded := 0, false // between what is written and what comes next
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

// Mark reports whether a terminal shows r as a mark of its own, or as a plain space. Of what Unicode counts as graphic
// it refuses what is made to be invisible (Default_Ignorable_Code_Point, UAX #44): two names that look the same must be
// the same.
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
