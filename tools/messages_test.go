package tools

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// onConsole are the programs whose words a person sees on the console of a machine.
var onConsole = []string{"init", "wyrboot", "wyrinit", "wyrnet", "wyrefi", "modprobe"}

// messages returns what the programs of the boot environment can say, each with the package that says it. A message is
// a text of at least three words in the source, wherever it stands: so none is missed because a function of another
// name prints it. Where it is known that a function makes an error or a line of it, two words are enough. Shorter ones
// are parts of others. What is put into a message, such as a name or a number, is "…".
func messages(t *testing.T) map[string]string {
	t.Helper()
	list := make(map[string]string)
	for _, file := range sources(t) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		pkg := strings.TrimPrefix(filepath.Dir(file), "../")
		for _, m := range texts(parsed) {
			list[m] = pkg
		}
	}
	return list
}

// sources returns the files that the programs are built from, for both architectures.
func sources(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, arch := range []string{"amd64", "arm64"} {
		args := []string{"list", "-deps", "-f",
			`{{if .Module}}{{if .Module.Main}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`}
		for _, c := range onConsole {
			args = append(args, "./cmds/"+c)
		}
		c := exec.Command("go", args...)
		c.Dir, c.Env, c.Stderr = "..", append(os.Environ(), "GOARCH="+arch), os.Stderr
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		top, err := filepath.Abs("..")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if f := strings.TrimSpace(line); f != "" {
				files = append(files, strings.Replace(f, top, "..", 1))
			}
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// texts returns the messages in a file.
func texts(f *ast.File) []string {
	var list []string
	add := func(m string) {
		if m != "" && !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			if n.Tag != nil {
				return false
			}
		case *ast.CallExpr:
			if silent(n.Fun) {
				return false
			}
			if speaks(n.Fun) && len(n.Args) > 0 {
				if text, ok := constant(n.Args[0]); ok {
					add(message(text, 2))
				}
			}
		case *ast.GenDecl:
			for _, s := range n.Specs {
				// The help is a document of its own.
				if v, ok := s.(*ast.ValueSpec); ok && v.Names[0].Name == "Help" {
					return false
				}
			}
		case *ast.BinaryExpr, *ast.BasicLit:
			text, ok := constant(n.(ast.Expr))
			if ok {
				add(message(text, 3))
				return false
			}
		}
		return true
	})
	return list
}

// silent reports whether the arguments of a function are no messages, but what it searches for, or the help of options.
func silent(fun ast.Expr) bool {
	s, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch s.Sel.Name {
	case "BoolVar", "DurationVar", "StringVar", "Var":
		return true
	}
	pkg, ok := s.X.(*ast.Ident)
	if !ok {
		return false
	}
	switch pkg.Name + "." + s.Sel.Name {
	case "strings.Contains", "strings.HasPrefix", "strings.HasSuffix", "strings.TrimPrefix", "strings.CutPrefix",
		"strings.Cut", "regexp.MustCompile":
		return true
	}
	return false
}

// speaks reports whether a function makes an error or a line of its first argument.
func speaks(fun ast.Expr) bool {
	name := ""
	switch f := fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	return slices.Contains([]string{"New", "Errorf", "sayf", "say", "Logf", "logf", "permanent"}, name)
}

// constant returns the text of literals that are put together, with "…" for what is not a literal.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.ParenExpr:
		return constant(e.X)
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		a, okA := constant(e.X)
		b, okB := constant(e.Y)
		if !okA && !okB {
			return "", false
		}
		if !okA {
			a = "…"
		}
		if !okB {
			b = "…"
		}
		return a + b, true
	}
	return "", false
}

var (
	verb = regexp.MustCompile(`%[-+# 0]*(\[\d+\])?\d*(\.\d+)?[a-zA-Z]`)
	word = regexp.MustCompile(`(^| )[^ ]*\pL[^ ]*`)
	// A list of the keys of a network file is no sentence.
	sentence = regexp.MustCompile(`(^|[ (])\p{Ll}`)
)

// message returns a text as the document has it, "" if it has less than so many words.
func message(text string, least int) string {
	text = strings.ReplaceAll(text, "%%", "\x00")
	text = verb.ReplaceAllString(text, "…")
	text = strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "\x00", "%")
	if len(word.FindAllString(text, least)) < least || !sentence.MatchString(text) || strings.HasPrefix(text, "usage: ") {
		return ""
	}
	return text
}

// elsewhere returns the texts that are no messages though they look like them: the meanings of the keys of network
// files, which docs/networking.md has, and the names of units of time.
func elsewhere(t *testing.T) map[string]bool {
	t.Helper()
	list := map[string]bool{"usec us µs μs": true, "seconds second sec s": true, "minutes minute min m": true,
		"hours hour hr h": true, "days day d": true, "weeks week w": true}
	row := regexp.MustCompile(`(?m)^\| \S+ \| (.*) \|$`)
	for _, m := range row.FindAllStringSubmatch(documents(t)["docs/networking.md"], -1) {
		list[m[1]] = true
	}
	return list
}

const troubleshooting = "../docs/troubleshooting.md"

// An entry is a heading of docs/troubleshooting.md with the messages below it, and what it says about them.
type entry struct {
	title    string
	messages []string
	text     string
}

// entries returns the entries of a document. Those that have no messages are left out.
func entries(text string) []entry {
	var list []entry
	for _, part := range strings.Split(text, "\n#")[1:] {
		title, rest, _ := strings.Cut(strings.TrimLeft(part, "#"), "\n")
		e := entry{title: strings.TrimSpace(title)}
		for line := range strings.Lines(rest) {
			if m, ok := strings.CutPrefix(line, "    "); ok {
				e.messages = append(e.messages, strings.TrimSpace(m))
			} else {
				e.text += line
			}
		}
		if len(e.messages) > 0 {
			list = append(list, e)
		}
	}
	return list
}

// TestTroubleshooting compares docs/troubleshooting.md with what the programs can say. With -update it takes out what
// none says any more, and puts new messages at its end, for somebody to move them to where they belong, with an
// explanation.
func TestTroubleshooting(t *testing.T) {
	b, err := os.ReadFile(troubleshooting)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	said, others := messages(t), elsewhere(t)
	if len(said) < 700 {
		t.Fatalf("only %d messages were found in the source", len(said))
	}
	place := make(map[string]string)
	for _, e := range entries(text) {
		if len(strings.Fields(e.text)) < 8 {
			t.Errorf("%q: nothing is said about its messages", e.title)
		}
		for _, m := range e.messages {
			if first, twice := place[m]; twice {
				t.Errorf("%q stands in %q and in %q", m, first, e.title)
			}
			place[m] = e.title
			if said[m] == "" || others[m] {
				t.Errorf("%q in %q: no program says that", m, e.title)
				text = strings.Replace(text, "\n    "+m+"\n", "\n", 1)
			}
		}
	}
	var missing []string
	for m, pkg := range said {
		if place[m] == "" && !others[m] {
			t.Errorf("%s says %q, which stands nowhere", pkg, m)
			missing = append(missing, "    "+m+"\n")
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		text += "\n## New\n\n### Without an explanation yet\n\n" + strings.Join(missing, "")
	}
	if *update && text != string(b) {
		if err := os.WriteFile(troubleshooting, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMessages looks for messages in a source.
func TestMessages(t *testing.T) {
	const source = `package p
import "a b c/and more words"
type s struct { f int "json of three words" }
var list = []string{"a text in a list", "Only Names Of Keys"}
func f(n int) {
	sayf("cannot read %s: %v" + suffix + ", " + "100 %% sure of it", n)
	x.Errorf("it has %[1]d of %4.2f %w", n)
	say("two words")
	other("two more")
	strings.Contains(text, "what is looked for")
	x.StringVar(&y, "o", "help of an option", "")
}`
	parsed, err := parser.ParseFile(token.NewFileSet(), "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a text in a list", "cannot read …: ……, 100 % sure of it", "it has … of … …", "two words"}
	if got := texts(parsed); !slices.Equal(got, want) {
		t.Errorf("texts = %q, want %q", got, want)
	}
}
