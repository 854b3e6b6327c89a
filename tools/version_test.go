// Package tools has the tests of the tree as a whole: the version that make gives to the programs, and the map of the
// packages in docs/architecture.md.
package tools

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// scratch is a copy of the tree that has a history of its own.
type scratch string

// newScratch copies those of the files that make and go build read.
func newScratch(t *testing.T) scratch {
	dir := t.TempDir()
	names := []string{"Makefile", "firmware.mk", "install.mk", "release.mk", "uroot-template.yaml", "go.mod", "go.sum",
		"cmds", "pkg", "tools"}
	for _, name := range names {
		if out, err := exec.Command("cp", "-a", filepath.Join("..", name), dir).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v\n%s", err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("/out/\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return scratch(dir)
}

// given are the variables through which make test may have been told something about the tree that it runs in.
var given = []string{"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "VERSION", "COMMIT", "SOURCE_DATE_EPOCH", "GOFLAGS"}

// run runs a command in the copy, without git's configuration and without what make test was told.
func (s scratch) run(t *testing.T, command string, args ...string) string {
	t.Helper()
	cmd := exec.Command(command, args...)
	cmd.Dir = string(s)
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "GIT_") && !slices.Contains(given, name) {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_CEILING_DIRECTORIES="+filepath.Dir(string(s)),
		"GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x@example", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x@example")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", command, args, err, out)
	}
	return string(out)
}

// version returns the version that make would build.
func (s scratch) version(t *testing.T) string {
	t.Helper()
	s.run(t, "make", "-s", "out/version")
	b, err := os.ReadFile(filepath.Join(string(s), "out", "version"))
	if err != nil {
		t.Fatal(err)
	}
	version, _, _ := strings.Cut(string(b), " ")
	return version
}

// TestVersion follows a tree from an archive without a history to a tag and beyond.
func TestVersion(t *testing.T) {
	s := newScratch(t)
	git := func(args ...string) {
		t.Helper()
		s.run(t, "git", args...)
	}
	commit := func() {
		t.Helper()
		git("commit", "-q", "--allow-empty", "-m", "x")
	}
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"no history", func() {}, `^unreleased\n?$`},
		{"no commit", func() { git("init", "-q") }, `^unreleased\n?$`},
		{"no tag", func() { git("add", "."); commit() }, `^unreleased-[0-9a-f]{12}$`},
		{"a tag that is no version", func() { git("tag", "latest") }, `^unreleased-[0-9a-f]{12}$`},
		{"a tag", func() { git("tag", "v0.2.0") }, `^v0\.2\.0$`},
		{"a change", func() { s.write(t, "Makefile", "\n# changed\n") }, `^v0\.2\.0-dirty$`},
		{"a commit after the tag", func() { git("checkout", "-q", "."); commit() }, `^v0\.2\.0-1-g[0-9a-f]{12}$`},
		{"a tag with a message", func() { git("tag", "-a", "-m", "x", "v0.3.0") }, `^v0\.3\.0$`},
	} {
		step.do()
		if got := s.version(t); !regexp.MustCompile(step.want).MatchString(got) {
			t.Errorf("with %s the version is %q, want %s", step.name, got, step.want)
		}
	}

	// The busybox, whose programs show it and store it in NVRAM.
	flags := s.run(t, "make", "-n", "out/busybox.cpio")
	for _, name := range []string{"wyrboot", "wyrefi"} {
		if want := "-X gitlab.com/wyrcan/wyrcan/cmds/" + name + ".version=v0.3.0"; !strings.Contains(flags, want) {
			t.Errorf("make builds the busybox without %s", want)
		}
	}
	if testing.Short() {
		return
	}
	s.run(t, "make", "-s", "out/wyrcan")
	if got := s.run(t, "out/wyrcan", "version"); !strings.HasPrefix(got, "wyrcan v0.3.0\ncommit ") {
		t.Errorf("wyrcan version: %s", got)
	}
	clone := scratch(t.TempDir())
	s.run(t, "git", "clone", "-q", string(s), string(clone))
	clone.run(t, "make", "-s", "out/wyrcan")
	if clone.read(t, "out/wyrcan") != s.read(t, "out/wyrcan") {
		t.Error("a clone of the same commit builds another program")
	}
	git("tag", "-d", "v0.2.0", "v0.3.0")
	s.run(t, "make", "-s", "out/wyrcan")
	if got := s.run(t, "out/wyrcan", "version"); !strings.HasPrefix(got, "wyrcan unreleased-") {
		t.Errorf("wyrcan version without a tag: %s", got)
	}
}

// write appends text to a file of the copy.
func (s scratch) write(t *testing.T, name, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(string(s), name), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s scratch) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(string(s), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
