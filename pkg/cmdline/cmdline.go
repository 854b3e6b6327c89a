// Package cmdline parses a kernel command line exactly as the kernel does: with next_arg of lib/cmdline.c, called as
// parse_args of kernel/params.c calls it. It keeps the order and repeated keys, because to Wyrcan a second wyr.arg= is
// another argument and not a new value.
//
// The package knows no argument by name. Unlike the kernel, it does not treat "-" and "_" in a key as equal.
package cmdline

import "strings"

// Arg is one argument: KEY, or KEY=VALUE.
type Arg struct {
	Key, Value string
	HasValue   bool // there was an =, perhaps with nothing behind it
}

// Parse splits a command line into its arguments. It cannot fail, because the kernel accepts every line: an unclosed
// quote extends to the end of the line. A "--" is an argument like any other; its meaning is up to the caller.
func Parse(line string) []Arg {
	line, _, _ = strings.Cut(line, "\x00") // the kernel's line is a C string
	var args []Arg
	for line = skipSpaces(line); line != ""; line = skipSpaces(line) {
		var a Arg
		a, line = next(line)
		args = append(args, a)
	}
	return args
}

// next cuts the first argument off line, which must not be empty, and returns the rest of the line. It makes the same
// decisions as next_arg in the same order, even the odd ones, so that it reads the same bytes as the kernel does.
func next(line string) (Arg, string) {
	quoted := line[0] == '"'
	if quoted {
		line = line[1:]
	}
	inQuote, equals, end := quoted, 0, 0
	for ; end < len(line) && (inQuote || !isSpace(line[end])); end++ {
		switch line[end] {
		case '=':
			if equals == 0 { // so an = at the start belongs to the key
				equals = end
			}
		case '"':
			inQuote = !inQuote
		}
	}
	word, rest := line[:end], line[end:]

	if equals == 0 {
		if quoted {
			word = strings.TrimSuffix(word, `"`)
		}
		return Arg{Key: word}, rest
	}
	value, opened := strings.CutPrefix(word[equals+1:], `"`)
	if opened || quoted {
		// Trim one quote at most: next_arg overwrites the last quote with a NUL, and sees no second one.
		value = strings.TrimSuffix(value, `"`)
	}
	return Arg{Key: word[:equals], Value: value, HasValue: true}, rest
}

// String returns a form of the argument that Parse reads back as the same argument, also between others. It uses
// quotes only if it must. Some values have no such form, because the grammar has no escape character: a value that
// holds a quote and a space outside quotes, for example. For these, String returns the form without quotes.
func (a Arg) String() string {
	plain, forms := a.Key, []string{a.Key, `"` + a.Key + `"`}
	if a.HasValue {
		plain = a.Key + "=" + a.Value
		forms = []string{plain, a.Key + `="` + a.Value + `"`, `"` + plain + `"`}
	}
	for _, form := range forms {
		// The second argument shows that no unclosed quote includes what follows.
		if got := Parse(form + " x"); len(got) == 2 && got[0] == a && got[1] == (Arg{Key: "x"}) {
			return form
		}
	}
	return plain
}

// isSpace is the kernel's isspace. The table in lib/ctype.c is Latin-1, so 0xa0, the no-break space, is a space too. In
// UTF-8, letters such as à end in that byte, so an argument with such a letter needs quotes.
func isSpace(c byte) bool {
	return c == ' ' || '\t' <= c && c <= '\r' || c == 0xa0
}

func skipSpaces(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	return s
}
