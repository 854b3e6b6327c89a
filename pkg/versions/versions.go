// Package versions compares versions by the UAPI group's version format specification (UAPI.10,
// https://uapi-group.org/specifications/specs/version_format_specification/), by which systemd-boot and bootctl choose
// the newest kernel too. A comparison of the texts would take 6.1.0-9 for newer than 6.1.0-10.
package versions

import (
	"cmp"
	"strings"
)

// Compare returns -1 if a is older than b, 1 if it is newer, and 0 if neither is. All texts are versions.
func Compare(a, b string) int {
	for {
		a, b = strings.TrimLeftFunc(a, separator), strings.TrimLeftFunc(b, separator)
		if r, done := prefix(&a, &b, '~'); done {
			return r
		}
		// Behind the "~", because that is older than the end of the text.
		if a == "" || b == "" {
			return cmp.Compare(len(a), len(b))
		}
		for _, c := range []byte("-^.") {
			if r, done := prefix(&a, &b, c); done {
				return r
			}
		}
		if digit(first(a)) || digit(first(b)) {
			if r := number(&a, &b); r != 0 {
				return r
			}
			continue
		}
		x, y := take(&a, letter), take(&b, letter)
		if r := cmp.Compare(x, y); r != 0 {
			return r
		}
	}
}

// prefix removes the character c from the beginning of both texts. If only one of them has it, that one is the older
// one, and the comparison is done.
func prefix(a, b *string, c byte) (r int, done bool) {
	x, y := first(*a) == c, first(*b) == c
	switch {
	case x && y:
		*a, *b = (*a)[1:], (*b)[1:]
	case x:
		return -1, true
	case y:
		return 1, true
	}
	return 0, false
}

// number compares the numbers at the beginning of both texts and removes them. They may be larger than any type of Go.
// No number is older than any.
func number(a, b *string) int {
	x, y := take(a, digit), take(b, digit)
	if x == "" || y == "" {
		return cmp.Compare(len(x), len(y))
	}
	x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
}

// take removes the characters of a kind from the beginning of the text and returns them.
func take(text *string, kind func(byte) bool) string {
	n := 0
	for n < len(*text) && kind((*text)[n]) {
		n++
	}
	taken := (*text)[:n]
	*text = (*text)[n:]
	return taken
}

func first(text string) byte {
	if text == "" {
		return 0
	}
	return text[0]
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// separator reports whether c only ends what is before it.
func separator(r rune) bool {
	return r >= 0x80 || !digit(byte(r)) && !letter(byte(r)) && !strings.ContainsRune("~-^.", r)
}
