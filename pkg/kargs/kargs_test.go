package kargs

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                   nil,
		"# nothing\n":                        nil,
		`kargs = ["mitigations=auto,nosmt"]`: {"mitigations=auto,nosmt"},
		"kargs = [\n  'a', # why\n  \"b=\\\"c d\\\"\",\n]\n": {"a", `b="c d"`},
		`kargs = []`:                       nil,
		`"kargs" = ["a"]`:                  {"a"},
		`match-architectures = ["x86_64"]`: nil,
		"kargs = ['a']\nmatch-architectures = ['aarch64', 'x86_64']": {"a"},
		"match-architectures = ['aarch64']\nkargs = ['a']":           nil,
		"kargs = ['a']\nmatch-architectures = []":                    nil,
		"kargs = ['a']\nmatch-architectures = ['amd64']":             nil, // Rust has another name for it
	} {
		if got, err := Parse([]byte(text), "amd64"); err != nil || !slices.Equal(got, want) {
			t.Errorf("Parse(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	if got, err := Parse([]byte("kargs = ['a']\nmatch-architectures = ['aarch64']"), "arm64"); err != nil ||
		len(got) != 1 {
		t.Errorf("Parse for arm64 = %q, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"a = [":                            "line 1 is not TOML",
		"\n\nkargs = ['a'":                 "line 3 is not TOML",
		`kargs = "quiet"`:                  "kargs: want an array of texts",
		`kargs = ["a", 1]`:                 "kargs: want an array of texts",
		`kargs = [["a"]]`:                  "kargs: want an array of texts",
		`kargs = ["a\nb"]`:                 "is no text",
		`kargs = ["a\u0000b"]`:             "is no text",
		"kargs = ['a']\nkargs = ['b']":     "kargs is there twice",
		"karg = ['a']":                     `"karg" in it is unknown: want kargs and match-architectures`,
		"match_architectures = ['x86_64']": "is unknown",
		"[kargs]\na = 'b'":                 "is unknown",
		"[[install]]\nkargs = ['b']":       "is unknown",
		"kargs.a = ['b']":                  `"kargs.a" in it is unknown`,
		strings.Repeat("#", MaxSize+1):     "more than 64 KiB",
	} {
		if got, err := Parse([]byte(text), "amd64"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.80q) = %q, %v, want an error with %q", text, got, err, want)
		}
	}
}

// FuzzParse checks that no file takes long, and that all arguments are text.
func FuzzParse(f *testing.F) {
	f.Add([]byte("kargs = ['a', \"b\"] # c\nmatch-architectures = [\n'x86_64']\n"))
	f.Add([]byte("[a]\nb.c = {d = [1]}"))
	f.Add([]byte("kargs = [" + strings.Repeat("[", 1000)))
	f.Fuzz(func(t *testing.T, text []byte) {
		began := time.Now()
		list, _ := Parse(text, "amd64")
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("Parse takes %v", d)
		}
		for _, a := range list {
			if strings.ContainsAny(a, "\x00\n") {
				t.Errorf("Parse returns %q", a)
			}
		}
	})
}
