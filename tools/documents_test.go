package tools

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

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
