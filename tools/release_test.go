package tools

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A gitlab is as much of GitLab's interface as a release needs.
type gitlab struct {
	*httptest.Server
	mu      sync.Mutex
	files   map[string]string // by their paths
	release struct {
		TagName     string `json:"tag_name"`
		Description string
		Assets      struct {
			Links []struct {
				Name, URL string
				Path      string `json:"direct_asset_path"`
			}
		}
	}
}

func newGitlab(t *testing.T) *gitlab {
	g := &gitlab{files: make(map[string]string)}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil || r.Header.Get("JOB-TOKEN") != "secret":
			http.Error(w, `{"message":"401 Unauthorized"}`, http.StatusUnauthorized)
			return
		case r.Method == http.MethodPut:
			g.files[r.URL.Path] = string(body)
		case r.Method == http.MethodPost && r.URL.Path == "/api/v4/projects/7/releases" &&
			r.Header.Get("Content-Type") == "application/json":
			if err := json.Unmarshal(body, &g.release); err != nil {
				t.Errorf("the release: %v: %s", err, body)
			}
		default:
			http.Error(w, `{"message":"404 Not Found"}`, http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintln(w, `{"message":"201 Created"}`)
	}))
	t.Cleanup(g.Close)
	return g
}

// publish runs .ci/release in a copy of the tree, for the tag v0.9.0.
func (g *gitlab) publish(t *testing.T, changelog, token string, files map[string]string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		put(t, filepath.Join(dir, "out/release", name), text)
	}
	put(t, filepath.Join(dir, "CHANGELOG.md"), changelog)
	put(t, filepath.Join(dir, ".ci/release"), string(get(t, "../.ci/release")))
	put(t, filepath.Join(dir, "tools/need"), string(get(t, "need")))
	if err := os.Chmod(filepath.Join(dir, "tools/need"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", ".ci/release", "out/release")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CI_API_V4_URL="+g.URL+"/api/v4", "CI_PROJECT_ID=7", "CI_COMMIT_TAG=v0.9.0",
		"CI_JOB_TOKEN="+token)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

const changelog = "# Changelog\n\n## [Unreleased]\n\n## [0.9.0] - 2026-11-27\n\n- \"New\".\n\n## [0.8.0]\n\n- Old.\n"

func TestPublish(t *testing.T) {
	kernel := "wyrcan-v0.9.0-amd64.kernel"
	sums := fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte("k")), kernel)
	whole := map[string]string{kernel: "k", "SHA256SUMS": sums}

	g := newGitlab(t)
	if out, err := g.publish(t, changelog, "secret", whole); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, text := range whole {
		at := "/api/v4/projects/7/packages/generic/wyrcan/v0.9.0/" + name
		if g.files[at] != text {
			t.Errorf("%s is %q, want %q", at, g.files[at], text)
		}
		found := false
		for _, l := range g.release.Assets.Links {
			found = found || l.Name == name && l.URL == g.URL+at && l.Path == "/"+name
		}
		if !found {
			t.Errorf("the page has no link to %s: %+v", name, g.release.Assets.Links)
		}
	}
	if r := g.release; r.TagName != "v0.9.0" || strings.TrimSpace(r.Description) != `- "New".` {
		t.Errorf("the release is %+v", r)
	}

	for _, tt := range []struct {
		name, changelog, token string
		change                 map[string]string
		want                   string
	}{
		{"a file that has changed", changelog, "secret", map[string]string{kernel: "x"}, "FAILED"},
		{"a tree with changes", changelog, "secret", map[string]string{"wyrcan-v0.9.0-dirty-amd64.iso": ""}, "is none of"},
		{"another version", changelog, "secret", map[string]string{"wyrcan-v0.8.0-amd64.iso": ""}, "is none of v0.9.0"},
		{"no notes", strings.ReplaceAll(changelog, "0.9.0", "0.9.1"), "secret", nil, "has no section ## [0.9.0]"},
		{"a wrong token", changelog, "wrong", nil, "401"},
	} {
		files := map[string]string{}
		for _, m := range []map[string]string{whole, tt.change} {
			for name, text := range m {
				files[name] = text
			}
		}
		g := newGitlab(t)
		out, err := g.publish(t, tt.changelog, tt.token, files)
		if err == nil || !strings.Contains(out, tt.want) || g.release.TagName != "" {
			t.Errorf("with %s: %v, want an error with %q and no release: %s", tt.name, err, tt.want, out)
		}
		if strings.Contains(out, "secret") {
			t.Errorf("with %s the token is in the output: %s", tt.name, out)
		}
	}
}

// TestLatest moves the branch that the download links name, forwards only.
func TestLatest(t *testing.T) {
	get(t, "../.ci/latest")
	script, err := filepath.Abs("../.ci/latest")
	if err != nil {
		t.Fatal(err)
	}
	s := scratch(t.TempDir())
	s.run(t, "git", "init", "-q")
	hub := filepath.Join(t.TempDir(), "wyrcan")
	s.run(t, "git", "init", "-q", "--bare", hub+".git")
	var commits []string
	for range 2 {
		s.run(t, "git", "commit", "-q", "--allow-empty", "-m", "x")
		commits = append(commits, strings.TrimSpace(s.run(t, "git", "rev-parse", "HEAD")))
	}
	move := func(commit, token string) (string, error) {
		cmd := exec.Command(script)
		cmd.Dir = string(s)
		cmd.Env = append(os.Environ(), "CI_PROJECT_URL=file://"+hub, "CI_COMMIT_SHA="+commit, "CI_COMMIT_TAG=v0.9.0",
			"LATEST_TOKEN="+token)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := move(commits[0], "")
	if err == nil || !strings.Contains(out, "push origin v0.9.0^{commit}:refs/heads/latest") {
		t.Errorf("without a token: %v: %s", err, out)
	}
	for _, commit := range commits {
		if out, err := move(commit, "secret"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got := s.run(t, "git", "ls-remote", hub+".git", "refs/heads/latest"); !strings.HasPrefix(got, commit) {
			t.Errorf("latest is %s, want %s", got, commit)
		}
	}
	if out, err := move(commits[0], "secret"); err == nil {
		t.Errorf("latest went back: %s", out)
	}
}
