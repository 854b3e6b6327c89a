package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// described returns what wyrcan says about itself.
func described(t *testing.T) []byte {
	t.Helper()
	out, err := exec.Command("go", "run", "gitlab.com/wyrcan/wyrcan/cmds/wyrcan", "__describe").Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// document returns the document with the table of arguments, as make finds it.
func document(t *testing.T) string {
	t.Helper()
	others, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append([]string{"../../README.md"}, others...) {
		if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte("\n| argument | meaning |\n")) {
			return file
		}
	}
	t.Fatal("no document has the table of arguments")
	return ""
}

// The pages have all commands, options and arguments, and man and mandoc find nothing wrong with them.
func TestPages(t *testing.T) {
	imagetest.NeedsPrograms(t, "mandoc", "man")
	description, dir := described(t), t.TempDir()
	if err := run(bytes.NewReader(description), document(t), dir, "v1.2.3", "1700000000"); err != nil {
		t.Fatal(err)
	}
	var m manual
	if err := json.Unmarshal(description, &m); err != nil {
		t.Fatal(err)
	}
	text := func(page string) string {
		file := filepath.Join(dir, page)
		if out, err := exec.Command("mandoc", "-Tlint", "-Wwarning", file).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("mandoc -Tlint: %v\n%s", err, out)
		}
		p := exec.Command("man", "--warnings", "-Tutf8", "-l", file)
		p.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		var warnings bytes.Buffer
		p.Stderr = &warnings
		if err := p.Run(); err != nil || warnings.Len() > 0 {
			t.Errorf("man %s: %v\n%s", page, err, &warnings)
		}
		out, err := exec.Command("mandoc", "-Tutf8", "-Owidth=1000", file).Output()
		if err != nil {
			t.Errorf("mandoc %s: %v", page, err)
		}
		return bare(string(out))
	}
	has := func(page string, words ...string) {
		t.Helper()
		got := text(page)
		for _, w := range words {
			if !strings.Contains(got, w) {
				t.Errorf("%s has no %q", page, w)
			}
		}
	}
	all := []string{"wyrcan - check, convert", "2023-11-14", "Wyrcan v1.2.3", "containers-storage:NAME",
		"wyrcan.cmdline(7)"}
	for _, c := range m.Commands {
		all = append(all, "\n       "+c.Name, "wyrcan-"+c.Name+"(1)")
		words := []string{"wyrcan-" + c.Name + " - " + c.Summary, "wyrcan " + c.Name + " " + c.Synopsis, "EXIT STATUS"}
		for _, o := range c.Options {
			words = append(words, strings.TrimRight("\n       -"+o.Name+" "+o.Argument, " "))
		}
		has("wyrcan-"+c.Name+".1", words...)
	}
	if len(m.Commands) < 11 {
		t.Errorf("there are %d commands", len(m.Commands))
	}
	has("wyrcan.1", all...)
	has("wyrcan-check.1", "3 if the image could not be read", "The kernel: a path in IMAGE, /PATH, or another IMAGE")
	has("wyrcan-completion.1", "\n           bash   source <(wyrcan completion bash)\n")

	markdown, err := os.ReadFile(document(t))
	if err != nil {
		t.Fatal(err)
	}
	table, err := readTable(string(markdown))
	if err != nil {
		t.Fatal(err)
	}
	if len(table.rows) < 20 || len(table.before) == 0 || len(table.after) == 0 {
		t.Errorf("the table has %d rows, %d paragraphs before it and %d after it", len(table.rows), len(table.before),
			len(table.after))
	}
	var words []string
	for _, row := range table.rows {
		words = append(words, "\n       "+strings.ReplaceAll(row[0], "`", "")+"\n")
	}
	has("wyrcan.cmdline.7", append(words, "${mac}", "docs/booting.md has more.", `wyr.arg="quiet log-buf-len=1M"`)...)
	if got := text("wyrcan.cmdline.7"); strings.ContainsAny(got, "`*") || strings.Contains(got, "](") {
		t.Errorf("Markdown is left in wyrcan.cmdline.7:\n%s", got)
	}
}

// bare returns text without what makes it bold on a printer.
func bare(text string) string {
	var out []rune
	for _, r := range text {
		if r == '\b' && len(out) > 0 {
			out = out[:len(out)-1]
		} else {
			out = append(out, r)
		}
	}
	return string(out)
}

// Text that looks like roff is shown as it is.
func TestEscape(t *testing.T) {
	imagetest.NeedsPrograms(t, "mandoc")
	want := []string{`.B x`, `'quoted' \fB "it"`, `-o ~/.x ^ ` + "`y`"}
	r := newPage("X", 1, footer{"2023-11-14", "v"})
	r.name("x", "y")
	r.section("D")
	r.paragraphs([]string{" " + strings.Join(want, "\n ")})
	file := filepath.Join(t.TempDir(), "x.1")
	if err := os.WriteFile(file, []byte(r.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("mandoc", "-Tascii", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range want {
		if !strings.Contains(bare(string(out)), line+"\n") {
			t.Errorf("there is no line %s in\n%s", line, bare(string(out)))
		}
	}
}

func TestTable(t *testing.T) {
	const head = "# A\n\n## B\n\nbefore\nit\n\n| argument | meaning |\n| --- | --- |\n"
	got, err := readTable(head + "| `wyr.a=X`, `wyr.b` | It **is** [a link](x.md#y). |\n\nafter\n\n    code\n\n## C\n\nother\n")
	if err != nil || len(got.rows) != 1 || got.rows[0] != [2]string{"`wyr.a=X`, `wyr.b`", "It **is** [a link](x.md#y)."} ||
		strings.Join(got.before, "|") != "before it" || strings.Join(got.after, "|") != "after" {
		t.Errorf("readTable = %q, %v", got, err)
	}
	if s := inline(got.rows[0][1]); s != `It \fBis\fR a link.` {
		t.Errorf("inline = %s", s)
	}
	for _, text := range []string{"", "## B\n| argument | meaning |\n| --- | --- |\n| other | x |\n", head + "| `wyr.a` x |\n"} {
		if got, err := readTable(text); err == nil {
			t.Errorf("readTable(%q) = %q", text, got)
		}
	}
}

// Between two paragraphs there is a blank line, and no request for it is seen.
func TestProse(t *testing.T) {
	r := newPage("X", 7, footer{"2023-11-14", "v"})
	r.prose([]string{"one", ".two"})
	if want := "\none\n.PP\n\\&.two\n"; !strings.HasSuffix(r.String(), want) {
		t.Errorf("the page is %q, want %q at its end", r.String(), want)
	}
}
