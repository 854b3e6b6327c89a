package credentials

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"gitlab.com/wyrcan/wyrcan/pkg/syscred"
)

// file returns a credentials file with a login for each key, whose user has the name of the source.
func file(user string, keys ...string) string {
	var entries []string
	for _, key := range keys {
		entries = append(entries, fmt.Sprintf(`%q: {"username": %q, "password": "hunter2"}`, key, user))
	}
	return `{"auths": {` + strings.Join(entries, ", ") + `}}`
}

func TestGather(t *testing.T) {
	root := fstest.MapFS{
		"etc/wyrcan/auth.json":       {Data: []byte(file("file", "a.example", "b.example/team"))},
		"run/containers/0/auth.json": {Data: []byte(file("podman", "a.example", "b.example"))},
	}
	system := syscred.Set{
		{Name: Name, Data: []byte(file("stub", "b.example", "c.example")), From: "/.extra/credentials/wyr.auth.cred"},
		{Name: "wyr.ca", Data: []byte("no login"), From: "fw_cfg"},
		{Name: Name, Data: []byte(file("fw", "a.example/deep/er", "d.example")), From: "fw_cfg"},
		{Name: Name, Data: []byte(file("smbios", "d.example", "https://index.docker.io/v1/")), From: "SMBIOS"},
	}
	logins, said, wrong := Gather(root, system)
	for repository, want := range map[string]string{
		"a.example/x":               "file",
		"a.example/deep/er/x":       "fw", // the longest entry counts, whatever its source
		"b.example/team/x":          "file",
		"b.example/x":               "podman",
		"c.example/x":               "stub",
		"d.example/x":               "fw",
		"index.docker.io/library/x": "smbios",
		"e.example/x":               "",
	} {
		got, err := logins.For(repository).Authorization()
		if err != nil || got.Username != want {
			t.Errorf("For(%q) = %q, %v, want %q", repository, got.Username, err, want)
		}
	}
	want := []string{
		"logins for a.example, b.example/team: from /etc/wyrcan/auth.json",
		"the login for a.example of /run/containers/0/auth.json does not count: /etc/wyrcan/auth.json has one too",
		"logins for b.example: from /run/containers/0/auth.json",
		"the login for b.example of credential wyr.auth of /.extra/credentials/wyr.auth.cred does not count: " +
			"/run/containers/0/auth.json has one too",
		"logins for c.example: from credential wyr.auth of /.extra/credentials/wyr.auth.cred",
		"logins for a.example/deep/er, d.example: from credential wyr.auth of fw_cfg",
		"the login for d.example of credential wyr.auth of SMBIOS does not count: credential wyr.auth of fw_cfg has one too",
		"logins for docker.io: from credential wyr.auth of SMBIOS",
	}
	if got := strings.Join(said, "\n"); got != strings.Join(want, "\n") || len(wrong) > 0 {
		t.Errorf("Gather says\n%s\n%q\nwant\n%s", got, wrong, strings.Join(want, "\n"))
	}
	if logins, said, wrong := Gather(fstest.MapFS{}, nil); len(logins)+len(said)+len(wrong) > 0 {
		t.Errorf("Gather of nothing = %v, %q, %q", logins, said, wrong)
	}
}

// A source that is wrong does not spoil the others, and its content is not shown.
func TestGatherMalformed(t *testing.T) {
	good := syscred.Set{{Name: Name, Data: []byte(file("fw", "a.example")), From: "fw_cfg"}}
	for text, want := range map[string]string{
		"hunter2":                           "not what docker or podman login write",
		`{"auths": {"a.example": hunter2}}`: "not what docker or podman login write",
		`{"auths": {"a.example": {"auth": "hunter2!"}}}`:                   `the entry for "a.example"`,
		`{"auths": "hunter2"}`:                                             "not what docker or podman login write",
		`{"auths": {"h.example": {}}, "credsStore": "desktop"}`:            "the login for h.example is kept by a",
		`{"credHelpers": {"h.example": "desktop"}}`:                        "the login for h.example is kept by a",
		`{"auths": {"h.example\u001b[2J\n": {}}, "credsStore": "desktop"}`: "kept by a credential helper",
		`{"auths": {"a.example": {}}}`:                                     "", // an empty entry hides none
		`{}`:                                                               "",
		`{"auths": {"a.example": {"auth": "aHVudGVyMg=="}}}`:               `the entry for "a.example"`, // no colon
		`{"auths": {"a.example": {"username": ["hunter2"]}}}`:              `the entry for "a.example"`,
		`{"auths": {` + strings.Repeat(`"a": {`, 20000) + `}`:              "not what docker or podman login write",
		strings.Repeat("x", maxFile+1):                                     "1024 KiB",
	} {
		logins, said, wrong := Gather(fstest.MapFS{"etc/wyrcan/auth.json": {Data: []byte(text)}}, good)
		if got, err := logins.For("a.example/x").Authorization(); err != nil || got.Username != "fw" {
			t.Errorf("%.60s: the login of the other source is %q, %v", text, got.Username, err)
		}
		lines := strings.Join(wrong, "\n")
		if !strings.Contains(lines, want) || strings.Contains(lines, "hunter2") || strings.ContainsRune(lines, '\x1b') ||
			len(wrong) != map[bool]int{true: 0, false: 1}[want == ""] || len(said) != 1 {
			t.Errorf("%.60s: Gather says %q and %q, want %q and no secret", text, said, wrong, want)
		}
	}
}
