package credentials

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
)

// auth is base64 of "name:pass:word".
const auth = "bmFtZTpwYXNzOndvcmQ="

func TestRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "auth.json")
	text := `{"auths": {
		"registry.example:5000": {"auth": "` + auth + `"},
		"https://index.docker.io/v1/": {"username": "hub", "password": "secret"},
		"registry.example/part": {"auth": "` + auth + `"},
		"registry.example/part/deep/": {"username": "deep", "password": "secret"},
		"docker.io/team": {"username": "team", "password": "secret"},
		"Upper.example": {"username": "upper", "password": "secret"},
		"token.example": {"identitytoken": "refresh"}
	}}`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	for registry, want := range map[string]authn.AuthConfig{
		"registry.example:5000": {Username: "name", Password: "pass:word"},
		"index.docker.io":       {Username: "hub", Password: "secret"},
		"docker.io":             {Username: "hub", Password: "secret"},
		"token.example":         {IdentityToken: "refresh"},
		"registry.example":      {},

		"registry.example:5000/any/image":  {Username: "name", Password: "pass:word"},
		"registry.example/part":            {Username: "name", Password: "pass:word"},
		"registry.example/part/image":      {Username: "name", Password: "pass:word"},
		"registry.example/part/deep/image": {Username: "deep", Password: "secret"},
		"registry.example/parts/image":     {},
		"index.docker.io/team/image":       {Username: "team", Password: "secret"},
		"index.docker.io/library/debian":   {Username: "hub", Password: "secret"},
		"upper.example/x":                  {Username: "upper", Password: "secret"},
		"other.example":                    {},
	} {
		got, err := c.For(registry).Authorization()
		if err != nil {
			t.Fatal(err)
		}
		got.Auth = "" // the encoded form in the file
		if *got != want {
			t.Errorf("For(%q) = %+v, want %+v", registry, *got, want)
		}
	}
	if got, _ := Credentials(nil).For("x").Authorization(); *got != (authn.AuthConfig{}) {
		t.Errorf("without a file: %+v", got)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	for text, want := range map[string]string{
		"":                                     "docker or podman login",
		"[]":                                   "docker or podman login",
		`{"auths": {"a": {"auth": "sëcret"}}}`: `the entry for "a"`,
		`{"auths": {"a": "secret"}}`:           `the entry for "a"`,
		strings.Repeat(" ", maxFile+1):         "1024 KiB",
	} {
		name := filepath.Join(dir, "auth.json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Read(name)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "cret") {
			t.Errorf("Read of %.40q: %v, want an error with %q and no secret", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"auths": {"https://registry.example/": {"auth": "` + auth + `"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b, "here")
		for registry := range c {
			var helped *Helped
			if _, e := c.For(registry).Authorization(); e != nil || err != nil && !errors.As(err, &helped) {
				t.Errorf("For(%q) = %v, after %v", registry, e, err)
			}
			if _, ok := c.Find(registry); !ok {
				t.Errorf("Find(%q) finds nothing", registry)
			}
		}
	})
}
