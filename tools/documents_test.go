package tools

import (
	"cmp"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/tools/document"
)

// documents returns the text of each document of the tree, by its path from the top.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts, err := document.Texts("..")
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// TestLinks follows each link from one document to a file of the tree, and to a heading in it.
func TestLinks(t *testing.T) {
	texts := documents(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for name, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := filepath.Join(filepath.Dir(name), target)
			if target == "" {
				file = name
			}
			if _, err := os.Stat(filepath.Join("..", file)); err != nil {
				t.Errorf("%s: the link to %s: %v", name, m[1], err)
			} else if heading != "" && !anchors(texts[file])[heading] {
				t.Errorf("%s: the link to %s: no such heading", name, m[1])
			}
		}
	}
}

// anchors returns the names that GitLab and GitHub give to headings: lower case, punctuation left out, hyphens for
// blanks.
func anchors(text string) map[string]bool {
	out := make(map[string]bool)
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			name := drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			out[strings.ReplaceAll(name, " ", "-")] = true
		}
	}
	return out
}

// TestPaths looks for each path of the tree that a document names.
func TestPaths(t *testing.T) {
	path := regexp.MustCompile("`((?:cmds|pkg|tools|integration|examples|docs)/[A-Za-z0-9_./-]*[A-Za-z0-9_/-])`")
	for name, text := range documents(t) {
		for _, m := range path.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestArgumentTable compares the table of arguments in README.md with the help that the console shows.
func TestArgumentTable(t *testing.T) {
	_, table, found := strings.Cut(documents(t)["README.md"], "\n## Arguments\n")
	table, _, _ = strings.Cut(table, "\n## ")
	if !found {
		t.Fatal("README.md has no heading Arguments")
	}
	name := regexp.MustCompile(`\bwyr\.[a-z]+(?:\.keep)?`)
	inTable := make(map[string]bool)
	for line := range strings.Lines(table) {
		if argument, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok && strings.HasPrefix(line, "| `wyr.") {
			for _, n := range name.FindAllString(argument, -1) {
				inTable[n] = true
			}
		}
	}
	inHelp := make(map[string]bool)
	for line := range strings.Lines(config.Help) {
		if strings.HasPrefix(line, "    wyr.") {
			for _, n := range name.FindAllString(line, -1) {
				inHelp[n] = true
			}
		}
	}
	if len(inHelp) < 15 {
		t.Errorf("the help has only %d arguments", len(inHelp))
	}
	for n := range inHelp {
		if !inTable[n] {
			t.Errorf("%s is in the help, and in no row of the table", n)
		}
	}
	for n := range inTable {
		if !inHelp[n] && !strings.Contains(config.Help, n) {
			t.Errorf("%s is in the table, and not in the help", n)
		}
	}
}

// TestRegistryMessages compares the table of messages in docs/registries.md with what Wyrcan can say.
func TestRegistryMessages(t *testing.T) {
	_, table, found := strings.Cut(documents(t)["docs/registries.md"], "\n| the message says |")
	table, _, _ = strings.Cut(table, "\n\n")
	if !found {
		t.Fatal("docs/registries.md has no table of messages")
	}
	said := strings.Join(slices.Collect(maps.Keys(messages(t))), "\n")
	apart := regexp.MustCompile(`…|: |; |\d+( s\b| \pL+)?`)
	n := 0
	for line := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(cell, "---") {
			continue
		}
		// What a person sees is put together of several messages.
		for _, part := range apart.Split(cell, -1) {
			if len(strings.Fields(part)) < 2 {
				continue
			}
			n++
			if !strings.Contains(said, strings.TrimSpace(part)) {
				t.Errorf("%q: no program says %q", cell, part)
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d messages were found", n)
	}
}

// TestNamedTests looks for each test that a document names.
func TestNamedTests(t *testing.T) {
	there := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "out" || d.Name() == ".git") {
			return cmp.Or(err, fs.SkipDir)
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		for _, m := range function.FindAllStringSubmatch(string(b), -1) {
			there[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	texts := documents(t)
	// The reasons for stand-ins name tests, too.
	for program, why := range standIns {
		texts["standIns, "+program] = why
	}
	n := 0
	for name, text := range texts {
		for _, test := range regexp.MustCompile(`\b(?:Test|Benchmark)[A-Z]\w+`).FindAllString(text, -1) {
			n++
			if !there[test] {
				t.Errorf("%s: there is no %s", name, test)
			}
		}
	}
	if n < 8 {
		t.Errorf("only %d tests are named", n)
	}
}

// TestNamedTargets looks for each target of make that a document names in a sentence. TestShell has those in blocks.
func TestNamedTargets(t *testing.T) {
	targets := make(map[string]bool)
	makefiles, err := filepath.Glob("../*.mk")
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`(?m)^([\w./ -]+):(?:[^=]|$)`)
	for _, f := range append(makefiles, "../Makefile") {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range rule.FindAllStringSubmatch(string(b), -1) {
			for _, target := range strings.Fields(m[1]) {
				targets[target] = true
			}
		}
	}
	n := 0
	for name, text := range documents(t) {
		text = strings.ReplaceAll(text, "`make install` of the kernel", "")
		for _, m := range regexp.MustCompile("`make ([^`]+)`").FindAllStringSubmatch(text, -1) {
			for _, word := range strings.Fields(regexp.MustCompile(`'[^']*'`).ReplaceAllString(m[1], "")) {
				if strings.Contains(word, "=") {
					continue
				}
				n++
				if !targets[word] && !strings.HasPrefix(word, "out/") {
					t.Errorf("%s: make %s: there is no such target", name, word)
				}
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d targets are named", n)
	}
}
