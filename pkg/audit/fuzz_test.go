package audit

import (
	"strings"
	"testing"
	"unicode"
)

// The parsers take any text.
func FuzzParsers(f *testing.F) {
	for _, text := range []string{
		"", "ID=debian\nID_LIKE='rhel fedora'\n", "nameserver 127.0.0.53\n#x\n", "127.0.0.1 localhost # x\n",
		"L+ /etc/resolv.conf - - - - ../run/x\nd /run\n", "UUID=1 / ext4 defaults\n", "SELINUX=enforcing\nSELINUXTYPE=../x\n",
		"=\n==\n\x00\xff", "'\"'\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		familyOf(text).install("a")
		if s := nameServers(text); isStub(s) && len(s) == 0 {
			t.Error("no server is a stub")
		}
		if hostsHas(text, "localhost") && !strings.Contains(text, "localhost") {
			t.Error("localhost is in a text without it")
		}
		for _, line := range parseTmpfiles(text) {
			if line.replaces() && !line.makes() {
				t.Errorf("%+v", line)
			}
		}
		if s := rootSource(text); s != "" && !strings.Contains(text, s) {
			t.Errorf("%q is not in the text", s)
		}
		if _, kind := selinuxMode(text); strings.Contains(kind, "/") {
			t.Errorf("%q is no name", kind)
		}
	})
}

// However a path is called, it is one word for a shell.
func FuzzQuoted(f *testing.F) {
	for _, path := range []string{"/boot/vmlinuz-6.1", "a b", "a'b", "'", "$(x)", "\n", "-"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := quoted([]string{path})
		if strings.ContainsFunc(got, unicode.IsControl) {
			t.Fatalf("%q has control characters", got)
		}
		// What is left outside of the quotes is harmless.
		rest := strings.ReplaceAll(got, `'\''`, "")
		if a, b, ok := strings.Cut(rest, "'"); ok {
			inside, after, closed := strings.Cut(b, "'")
			if a != "" || after != "" || !closed || strings.Contains(inside, "'") {
				t.Fatalf("%q is not one word", got)
			}
		} else if strings.ContainsAny(got, " $`\"\\;&|<>()*?[]{}!#") {
			t.Fatalf("%q is not quoted", got)
		}
	})
}
