package main

import (
	"cmp"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// colourful reports whether w is a terminal that shows colours and signs beyond ASCII, and whose person wants them:
// no-color.org, locale(7).
func colourful(w io.Writer, getenv func(string) string) bool {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || getenv("NO_COLOR") != "" {
		return false
	}
	if kind := getenv("TERM"); kind == "" || kind == "dumb" {
		return false
	}
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")))
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}

// A sign is what a line of a report is: its sign, and the colour of the whole line (ECMA-48, SGR).
type sign struct{ mark, colour string }

var (
	plain   = sign{" ", ""}
	good    = sign{"✓", "\x1b[32m"}
	caution = sign{"⚠", "\x1b[33m"}
	bad     = sign{"✗", "\x1b[31m"}
)

// before returns what stands before the line.
func (s sign) before(colour bool) string {
	if !colour {
		return ""
	}
	return s.colour + s.mark + " "
}

// after returns what stands behind it.
func (s sign) after(colour bool) string {
	if !colour || s.colour == "" {
		return ""
	}
	return "\x1b[0m"
}
