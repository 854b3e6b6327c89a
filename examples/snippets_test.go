package examples

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// snippets returns the parts of Containerfiles in a document: code, which is indented by four blanks, with a line that
// begins with an instruction.
func snippets(text string) (all []string) {
	var block []string
	end := func() {
		for _, line := range block {
			if name, _, _ := strings.Cut(line, " "); name == "FROM" || name == "RUN" || name == "COPY" || name == "ENV" {
				all = append(all, strings.Join(block, "\n")+"\n")
				break
			}
		}
		block = nil
	}
	for line := range strings.Lines(text) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			block = append(block, strings.TrimRight(code, "\n"))
		} else {
			end()
		}
	}
	end()
	return all
}

// What the documents say about Containerfiles works: on the Debian that they begin with, or else on that of the
// examples,
// and then there is nothing to warn of.
func TestSnippets(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../README.md", "../docs/*.md", "README.md", "*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	context := t.TempDir()
	here, err := filepath.Abs(".")
	if err == nil {
		err = os.Symlink(here, filepath.Join(context, "examples"))
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(context, "out"), 0o700)
	}
	if err == nil { // what make builds
		err = os.WriteFile(filepath.Join(context, "out/wyrcan"), []byte("wyrcan"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, snippet := range snippets(string(text)) {
			count++
			steps, err := parse(snippet)
			if err != nil {
				t.Errorf("%s: %v in\n%s", file, err, snippet)
				continue
			}
			for _, problem := range problems(steps, context) {
				t.Errorf("%s: %s in\n%s", file, problem, snippet)
			}
			for _, of := range []distribution{debian12(), debian13()} {
				b := newBuild(t, of)
				if steps[0].name != "FROM" {
					b.run(recipes(t)["debian"], ".", nil)
				}
				b.run(steps, context, nil)
				if _, found := b.examine(); len(found) > 0 {
					t.Errorf("%s: %q of\n%s", file, found, snippet)
				}
			}
		}
	}
	if count < 2 {
		t.Errorf("only %d snippets were found", count)
	}
}
