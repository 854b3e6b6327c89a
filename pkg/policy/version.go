package policy

import (
	"fmt"
	"strings"
	"time"
)

// A version is one that can be compared: numbers, and perhaps a pre-release.
type version struct {
	numbers []string // without leading zeros
	pre     []string // nil for a release
}

// maxVersion bounds a version's length. Real ones have some 20 characters.
const maxVersion = 128

// parseVersion reads numbers with dots between them, "2024.11.3" or "v1.2", and after them a pre-release and metadata
// as in Semantic Versioning 2.0.0, "1.2.0-rc.1+build5". Unlike there, a version may have any number of numbers, and
// numbers may have leading zeros.
func parseVersion(s string) (version, error) {
	var v version
	wrong := fmt.Errorf("%q is not a version that can be compared: "+
		"want numbers between dots, such as 1.4.2 or 2024.11, perhaps with a pre-release such as -rc.1", clip(s))
	if len(s) > maxVersion {
		return v, wrong
	}
	text, metadata, found := strings.Cut(strings.TrimPrefix(s, "v"), "+")
	if found && !identifiers(strings.Split(metadata, ".")) {
		return v, wrong
	}
	core, pre, found := strings.Cut(text, "-")
	if found {
		if v.pre = strings.Split(pre, "."); !identifiers(v.pre) {
			return v, wrong
		}
	}
	for _, n := range strings.Split(core, ".") {
		if !digits(n) {
			return v, wrong
		}
		v.numbers = append(v.numbers, strings.TrimLeft(n, "0"))
	}
	return v, nil
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// identifiers reports whether all of list are identifiers as Semantic Versioning has them.
func identifiers(list []string) bool {
	for _, s := range list {
		bad := func(r rune) bool {
			return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '-')
		}
		if s == "" || strings.ContainsFunc(s, bad) {
			return false
		}
	}
	return true
}

// compare returns a negative number if v is older than w, 0 if they are equal, and a positive number if v is newer
// (semver.org, item 11). A missing number counts as zero.
func (v version) compare(w version) int {
	for i := range max(len(v.numbers), len(w.numbers)) {
		if c := compareNumbers(at(v.numbers, i), at(w.numbers, i)); c != 0 {
			return c
		}
	}
	switch {
	case v.pre == nil && w.pre == nil:
		return 0
	case v.pre == nil:
		return 1
	case w.pre == nil:
		return -1
	}
	for i := range min(len(v.pre), len(w.pre)) {
		a, b := v.pre[i], w.pre[i]
		c := 0
		switch {
		case digits(a) && digits(b):
			c = compareNumbers(strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0"))
		case digits(a):
			c = -1
		case digits(b):
			c = 1
		default:
			c = strings.Compare(a, b)
		}
		if c != 0 {
			return c
		}
	}
	return len(v.pre) - len(w.pre)
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// compareNumbers compares numbers without leading zeros, of any length.
func compareNumbers(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// parseTime reads a time (RFC 3339), or a date, which stands for its first moment in UTC.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time: want 2026-11-27T08:00:00Z or 2026-11-27", clip(s))
}
