package bundle

import (
	"fmt"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

// join makes the container kernel's command line of its parts, in order, with one blank between them. White space
// inside a part stays, because quoted kernel parameters may hold it.
func join(parts ...string) string {
	var words []string
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" {
			words = append(words, p)
		}
	}
	return strings.Join(words, " ")
}

// fold makes one line of a file: each run of white space outside of quotes becomes a blank. People break the lines of
// /boot/wyrcan.cmdline only to read them better.
func fold(text string) string {
	var b strings.Builder
	quoted, space := false, false
	for _, c := range text {
		switch {
		case c == '"':
			quoted = !quoted
		case !quoted && strings.ContainsRune(" \t\r\n\v\f", c):
			space = b.Len() > 0
			continue
		case c == 0:
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(c)
	}
	return b.String()
}

// fits refuses a command line that the kernel would cut off.
func fits(line string, most int) error {
	if len(line) > most {
		return fmt.Errorf("the container's kernel takes a command line of at most %d bytes and this one has %d: "+
			"shorten /boot/wyrcan.cmdline or wyr.arg", most, len(line))
	}
	return nil
}

// has reports whether the command line sets the kernel parameter key.
func has(line, key string) bool {
	for _, a := range cmdline.Parse(line) {
		if a.Key == key {
			return true
		}
	}
	return false
}
