package image

import "strings"

// A challenge says how a server wants a client to authenticate (RFC 9110, section 11.3).
type challenge struct {
	scheme string            // in lower case: "bearer", "basic"
	params map[string]string // by their names in lower case
}

// parseChallenges parses WWW-Authenticate headers (RFC 9110, section 11.6.1). Each may hold several challenges; a comma
// separates challenges, and also the parameters of one challenge. Where a header is malformed, parsing of it stops, and
// the challenges before that place are returned.
func parseChallenges(headers []string) []challenge {
	var list []challenge
	for _, h := range headers {
		list = append(list, parseChallengeHeader(h)...)
	}
	return list
}

func parseChallengeHeader(s string) []challenge {
	var list []challenge
	for {
		s = strings.TrimLeft(s, " \t,")
		word, rest := cutToken(s)
		if word == "" {
			return list
		}
		after := strings.TrimLeft(rest, " \t")
		if !strings.HasPrefix(after, "=") { // no parameter: the scheme of another challenge
			list = append(list, challenge{scheme: strings.ToLower(word), params: make(map[string]string)})
			s = rest
			continue
		}
		value, rest, ok := cutValue(strings.TrimLeft(after[1:], " \t"))
		if !ok || len(list) == 0 {
			return list
		}
		params := list[len(list)-1].params
		if key := strings.ToLower(word); params[key] == "" {
			params[key] = value
		}
		s = rest
	}
}

// cutToken cuts the token (RFC 9110, section 5.6.2) off the beginning of s. The token is empty if s begins with none.
func cutToken(s string) (token, rest string) {
	i := 0
	for i < len(s) && isTokenByte(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// cutValue cuts the parameter value off the beginning of s: a quoted string, or the text up to a blank or a comma,
// since some servers send the realm without quotes.
func cutValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		if i := strings.IndexAny(s, " \t,"); i >= 0 {
			return s[:i], s[i:], true
		}
		return s, "", true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
