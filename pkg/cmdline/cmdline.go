// Package cmdline reads a kernel command line the way the kernel does: next_arg of lib/cmdline.c, called as parse_args of
// kernel/params.c calls it. Order and repeats are kept, since to Wyrcan a second wyr.arg= is another argument and not a new value.
//
// It knows no argument by name, and it does not treat "-" and "_" in a name as equal, as the kernel does for its own.
package cmdline

import "strings"

// Arg is one argument: KEY, or KEY=VALUE.
type Arg struct {
	Key, Value string
	HasValue   bool // an = was there, perhaps with nothing behind it
}

// Parse splits a command line into its arguments. Every line means something to the kernel, so it cannot fail: an
// unclosed quote runs to the end of the line. A "--" is an argument like another; the caller decides what it ends.
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

// next reads the argument at the start of line, which is not empty, and returns what follows it. It makes the
// decisions of next_arg in the same order, odd ones included: they are what the kernel makes of the same bytes.
func next(line string) (Arg, string) {
	quoted := line[0] == '"'
	if quoted {
		line = line[1:]
	}
	inQuote, equals, end := quoted, 0, 0
	for ; end < len(line) && (inQuote || !isSpace(line[end])); end++ {
		switch line[end] {
		case '=':
			if equals == 0 { // so an = in front belongs to the name
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
		// One quote is taken off the end, never two: next_arg writes its NUL over it the first time.
		value = strings.TrimSuffix(value, `"`)
	}
	return Arg{Key: word[:equals], Value: value, HasValue: true}, rest
}

// String returns the argument in the form that Parse reads back, alone or between others, in quotes only where it
// needs them. Not every value has such a form, as the grammar has no escape: one that holds a space outside a pair of
// its own quotes and also a quote may have none, and then the plainest form is returned.
func (a Arg) String() string {
	plain, forms := a.Key, []string{a.Key, `"` + a.Key + `"`}
	if a.HasValue {
		plain = a.Key + "=" + a.Value
		forms = []string{plain, a.Key + `="` + a.Value + `"`, `"` + plain + `"`}
	}
	for _, form := range forms {
		// The word behind shows that a quote left open did not swallow what follows.
		if got := Parse(form + " x"); len(got) == 2 && got[0] == a && got[1] == (Arg{Key: "x"}) {
			return form
		}
	}
	return plain
}

// isSpace is the kernel's isspace: lib/ctype.c knows Latin-1, so the no-break space 0xa0 is one as well. In UTF-8
// text that byte also ends letters such as à, which an argument must therefore quote, as it must for the kernel.
func isSpace(c byte) bool {
	return c == ' ' || '\t' <= c && c <= '\r' || c == 0xa0
}

func skipSpaces(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	return s
}
