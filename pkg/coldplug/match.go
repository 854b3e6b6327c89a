package coldplug

import "strings"

// match reports whether a modalias matches a pattern of modules.alias, by the rules
// of fnmatch(3) without flags: * matches any text, ? any byte, [a-z] and [!a-z] a
// byte of a set, and \ quotes the next byte. Unlike in path.Match, * also matches
// slashes. Hyphen and underscore are equal except in a set, because depmod and the
// kernel write different ones.
//
// It backtracks only to the last star, so the time is at most the product of the
// two lengths.
func match(pattern, name string) bool {
	var p, n int
	star, mark := -1, 0
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p, n
			p++
			continue
		}
		if next, ok := matchByte(pattern, p, name[n]); ok {
			p, n = next, n+1
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		p, n = star+1, mark
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchByte matches c against the one-byte element of pattern at p, and returns
// where the next one begins.
func matchByte(pattern string, p int, c byte) (next int, ok bool) {
	if p == len(pattern) {
		return p, false
	}
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		if next, ok, set := matchSet(pattern, p, c); set {
			return next, ok
		}
	case '\\':
		if p+1 < len(pattern) {
			return p + 2, pattern[p+1] == c
		}
	}
	return p + 1, underscore(pattern[p]) == underscore(c)
}

// matchSet matches c against the set that begins at p. set is false if there is no
// closing bracket: the opening bracket then stands for itself.
func matchSet(pattern string, p int, c byte) (next int, ok, set bool) {
	i := p + 1
	negate := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negate {
		i++
	}
	for first := i; i < len(pattern); {
		if pattern[i] == ']' && i > first {
			return i + 1, ok != negate, true
		}
		lo, hi := pattern[i], pattern[i]
		if i+2 < len(pattern) && pattern[i+1] == '-' && pattern[i+2] != ']' {
			hi = pattern[i+2]
			i += 2
		}
		ok = ok || lo <= c && c <= hi
		i++
	}
	return p, false, false
}

func underscore(c byte) byte {
	if c == '-' {
		return '_'
	}
	return c
}

// literal returns the part of a pattern before its first special byte, with
// underscores instead of hyphens.
func literal(pattern string) string {
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		pattern = pattern[:i]
	}
	return strings.ReplaceAll(pattern, "-", "_")
}
