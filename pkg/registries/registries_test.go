package registries

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// config returns the configuration of files by their names, where "" is registries.conf.
func config(t *testing.T, files map[string]string) Config {
	t.Helper()
	c, err := Read(files2fs(files))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func files2fs(files map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, text := range files {
		at := File
		if name != "" {
			at = Dir + "/" + name
		}
		root[at] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

const hex = "sha256:0123456789012345678901234567890123456789012345678901234567890123"

func TestPlaces(t *testing.T) {
	mirrored := `
		[[registry]]
		location = "docker.io"
		[[registry.mirror]]
		location = "cache.example:5000"
		insecure = true
		[[registry.mirror]]
		location = "other.example/hub/"
		pull-from-mirror = "digest-only"
		[[registry.mirror]]
		location = "third.example"
		pull-from-mirror = "tag-only"`
	for _, c := range []struct {
		name, conf, ref string
		want            []Place
	}{
		{"nothing", "", "r.example/a:1", []Place{{Ref: "r.example/a:1"}}},
		{"another registry", mirrored, "r.example/a:1", []Place{{Ref: "r.example/a:1"}}},
		{"a tag", mirrored, "docker.io/library/debian:13", []Place{
			{"cache.example:5000/library/debian:13", true, true},
			{"third.example/library/debian:13", false, true},
			{Ref: "docker.io/library/debian:13"}}},
		{"a digest", mirrored, "docker.io/library/debian@" + hex, []Place{
			{"cache.example:5000/library/debian@" + hex, true, true},
			{"other.example/hub/library/debian@" + hex, false, true},
			{Ref: "docker.io/library/debian@" + hex}}},
		{"a tag and a digest", mirrored, "docker.io/library/debian:13@" + hex, []Place{
			{"cache.example:5000/library/debian:13@" + hex, true, true},
			{"other.example/hub/library/debian:13@" + hex, false, true},
			{Ref: "docker.io/library/debian:13@" + hex}}},
		{"mirror-by-digest-only", `
			[[registry]]
			location = "r.example"
			mirror-by-digest-only = true
			[[registry.mirror]]
			location = "m.example"`, "r.example/a:1", []Place{{Ref: "r.example/a:1"}}},
		{"moved", `
			[[registry]]
			prefix = "r.example/team"
			location = "new.example/archive/team"
			insecure = true`, "r.example/team/a:1", []Place{{Ref: "new.example/archive/team/a:1", Insecure: true}}},
		{"the longest prefix", `
			[[registry]]
			location = "r.example"
			[[registry]]
			prefix = "r.example/team/a"
			location = "a.example/a"
			[[registry]]
			prefix = "r.example/team"
			location = "team.example"`, "r.example/team/a:1", []Place{{Ref: "a.example/a:1"}}},
		{"a part of a name is no prefix", `
			[[registry]]
			prefix = "r.example/tea"
			location = "x.example"`, "r.example/team/a:1", []Place{{Ref: "r.example/team/a:1"}}},
		{"a whole name", `
			[[registry]]
			prefix = "r.example/a:1"
			location = "x.example/b:2"`, "r.example/a:1", []Place{{Ref: "x.example/b:2"}}},
		{"subdomains", `
			[[registry]]
			prefix = "*.r.example"
			insecure = true`, "x.y.r.example:5000/a:1", []Place{{Ref: "x.y.r.example:5000/a:1", Insecure: true}}},
		{"not the domain itself", `
			[[registry]]
			prefix = "*.r.example"
			insecure = true`, "r.example/a:1", []Place{{Ref: "r.example/a:1"}}},
		{"no subdomain in a path", `
			[[registry]]
			prefix = "*.r.example"
			insecure = true`, "evil.example/x.r.example/a:1", []Place{{Ref: "evil.example/x.r.example/a:1"}}},
		{"subdomains moved", `
			[[registry]]
			prefix = "*.r.example"
			location = "one.example"`, "x.r.example/a:1", []Place{{Ref: "one.example/a:1"}}},
		{"what else the form has", `
			unqualified-search-registries = ["docker.io"]
			short-name-mode = "enforcing"
			credential-helpers = ["containers-auth.json"]
			[aliases]
			"debian" = "docker.io/library/debian"`, "r.example/a:1", []Place{{Ref: "r.example/a:1"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := config(t, map[string]string{"": c.conf}).Places(c.ref)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Places(%q) (-want +got)\n%s", c.ref, diff)
			}
		})
	}
}

func TestBlocked(t *testing.T) {
	c := config(t, map[string]string{"": `
		[[registry]]
		location = "r.example"
		blocked = true
		[[registry]]
		location = "r.example/free"`})
	var blocked *Blocked
	got, err := c.Places("r.example/a:1")
	if !errors.As(err, &blocked) || !strings.Contains(err.Error(), "/etc/containers/registries.conf blocks r.example") {
		t.Errorf("Places = %v, %v, want a refusal", got, err)
	}
	if got, err := c.Places("r.example/free/a:1"); err != nil || len(got) != 1 {
		t.Errorf("Places = %v, %v, want one place", got, err)
	}
}

// TestDropIns: later files replace whole entries.
func TestDropIns(t *testing.T) {
	c := config(t, map[string]string{
		"": "[[registry]]\nlocation = \"r.example\"\ninsecure = true\n" +
			"[[registry.mirror]]\nlocation = \"m.example\"",
		"10-a.conf":    "[[registry]]\nlocation = \"r.example\"\nblocked = true",
		"20-b.conf":    "[[registry]]\nlocation = \"r.example\"\n[[registry.mirror]]\nlocation = \"n.example\"",
		"30-c.disable": "no TOML at all",
	})
	got, err := c.Places("r.example/a:1")
	if want := []Place{{"n.example/a:1", false, true}, {Ref: "r.example/a:1"}}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("Places = %v, %v, want %v", got, err, want)
	}
}

func TestReadRefuses(t *testing.T) {
	var many strings.Builder
	many.WriteString("[[registry]]\nlocation = \"r.example\"\n")
	for i := range maxMirrors + 1 {
		fmt.Fprintf(&many, "[[registry.mirror]]\nlocation = \"m%d.example\"\n", i)
	}
	for _, c := range []struct{ name, conf, want string }{
		{"no TOML", "[[registry", "registries.conf"},
		{"a wrong type", "[[registry]]\nlocation = 1", "registries.conf"},
		{"version 1", "[registries.search]\nregistries = ['docker.io']", "version 1"},
		{"neither", "[[registry]]\ninsecure = true", "neither a prefix nor a location"},
		{"a scheme", "[[registry]]\nlocation = \"http://r.example\"", "has a scheme"},
		{"a star inside", "[[registry]]\nprefix = \"r.*.example\"\nlocation = \"a\"", "a star stands at the beginning"},
		{"a star as a location", "[[registry]]\nlocation = \"*.r.example\"", "only a prefix may have one"},
		{"a mirror of nothing", "[[registry]]\nlocation = 'r'\n[[registry.mirror]]\ninsecure = true", "has no location"},
		{"pull-from-mirror", "[[registry]]\nlocation = 'r'\n[[registry.mirror]]\nlocation = 'm'\npull-from-mirror = 'never'",
			"want all"},
		{"both ways", "[[registry]]\nlocation = 'r'\nmirror-by-digest-only = true\n" +
			"[[registry.mirror]]\nlocation = 'm'\npull-from-mirror = 'all'",
			"mirror-by-digest-only"},
		{"in conflict", "[[registry]]\nlocation = 'r'\n[[registry]]\nprefix = 'p'\nlocation = 'r'\ninsecure = true",
			"only one says"},
		{"many mirrors", many.String(), "more than 16 mirrors"},
		{"a line in a location", "[[registry]]\nlocation = \"r.example\\nx\"", "characters"},
		{"large", strings.Repeat("#", maxFile+1), "more than 1024 KiB"},
	} {
		if got, err := Read(files2fs(map[string]string{"": c.conf})); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Read = %v, %v, want an error with %q", c.name, got, err, c.want)
		}
	}
}

func TestAddMirrors(t *testing.T) {
	c := config(t, map[string]string{"": `
		[[registry]]
		location = "r.example"
		[[registry.mirror]]
		location = "old.example"`})
	for _, add := range []struct {
		host    string
		mirrors []string
	}{{"r.example", []string{"a.example:5000", "b.example/r"}}, {"docker.io", []string{"c.example"}}} {
		if err := c.AddMirrors(add.host, add.mirrors...); err != nil {
			t.Fatal(err)
		}
	}
	for ref, want := range map[string][]Place{
		"r.example/x:1": {{"a.example:5000/x:1", false, true}, {"b.example/r/x:1", false, true},
			{"old.example/x:1", false, true}, {Ref: "r.example/x:1"}},
		"docker.io/library/debian:13": {{"c.example/library/debian:13", false, true}, {Ref: "docker.io/library/debian:13"}},
	} {
		if got, err := c.Places(ref); err != nil || !cmp.Equal(got, want) {
			t.Errorf("Places(%q) = %v, %v, want %v", ref, got, err, want)
		}
	}
	for _, bad := range []string{"", "http://m.example", "*.m.example"} {
		if err := c.AddMirrors("r.example", bad); err == nil {
			t.Errorf("AddMirrors took %q", bad)
		}
	}
}

// TestDeep: a file is refused, in a short time, for values inside of values without end, or entries without end.
func TestDeep(t *testing.T) {
	for name, text := range map[string]string{
		"arrays":       "a = " + strings.Repeat("[", maxFile-8),
		"tables":       "a = " + strings.Repeat("{a=", maxFile/3-8),
		"many keys":    strings.Repeat(strings.Repeat("a.", 1000)+"a = 1\n", 400),
		"many entries": strings.Repeat("[[registry]]\nlocation = 'r'\n", maxFile/30),
	} {
		start := time.Now()
		if _, err := parse(text); err == nil {
			t.Errorf("%s: parse took it", name)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: parse took %v", name, took)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[[registry]]\nprefix = '*.r.example'\nlocation = 'x/y'\n[[registry.mirror]]\nlocation = 'm'", "a.r.example/b:1")
	f.Add("[[registry]]\nlocation = \"docker.io\"\nblocked = true", "docker.io/library/a@"+hex)
	f.Fuzz(func(t *testing.T, text, ref string) {
		list, err := parse(text)
		if err != nil {
			return
		}
		c := Config{registries: list}
		if places, err := c.Places(ref); err == nil && len(places) == 0 {
			t.Errorf("nowhere to ask for %q", ref)
		}
	})
}
