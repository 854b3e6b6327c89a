package main

import (
	"errors"
	"regexp"
	"strings"
)

// A table is the table of Wyrcan's arguments in a document, and the paragraphs around it in its section. All text is
// Markdown.
type table struct {
	before, after []string
	rows          [][2]string
}

// readTable finds the table, which is the one whose first column is called argument and begins with wyr.
func readTable(markdown string) (t table, err error) {
	const head = "| argument | meaning |\n| --- | --- |\n| `wyr."
	start := strings.Index(markdown, head)
	if start < 0 {
		return t, errors.New("it has no table of Wyrcan's arguments, with the columns argument and meaning")
	}
	before := markdown[:start]
	before = before[strings.LastIndex(before, "\n#")+1:]
	_, before, _ = strings.Cut(before, "\n") // the heading
	t.before = paragraphs(before)
	rest := markdown[start:]
	for number, line := range strings.Split(rest, "\n") {
		if !strings.HasPrefix(line, "|") {
			break
		}
		rest = strings.TrimPrefix(rest, line+"\n")
		if number < 2 {
			continue
		}
		argument, meaning, ok := strings.Cut(strings.Trim(line, "| "), " | ")
		if !ok {
			return t, errors.New("this row of the table has not two columns: " + line)
		}
		t.rows = append(t.rows, [2]string{argument, meaning})
	}
	if end := strings.Index(rest, "\n#"); end >= 0 {
		rest = rest[:end+1]
	}
	t.after = paragraphs(rest)
	return t, nil
}

// paragraphs returns the paragraphs of text, each in one line. What is no text, a comment or code, is left out.
func paragraphs(text string) []string {
	var list []string
	for _, p := range strings.Split(text, "\n\n") {
		if p = strings.TrimRight(p, "\n"); strings.HasPrefix(p, "<!--") || strings.HasPrefix(p, "    ") {
			continue
		}
		if p = strings.Join(strings.Fields(p), " "); p != "" {
			list = append(list, p)
		}
	}
	return list
}

// marks are the marks within a line: code, links and bold text.
var marks = regexp.MustCompile("`[^`]+`" + `|\[[^\]]+\]\([^)]+\)|\*\*[^*]+\*\*`)

// inline converts a line of Markdown. The text of a link to a document stays, without the link.
func inline(text string) string {
	var out strings.Builder
	at := 0
	for _, m := range marks.FindAllStringIndex(text, -1) {
		out.WriteString(escape(text[at:m[0]]))
		switch mark := text[m[0]:m[1]]; mark[0] {
		case '`':
			out.WriteString(bold(strings.Trim(mark, "`")))
		case '[':
			label, _, _ := strings.Cut(mark[1:], "](")
			out.WriteString(inline(label))
		default:
			out.WriteString(bold(strings.Trim(mark, "*")))
		}
		at = m[1]
	}
	out.WriteString(escape(text[at:]))
	return out.String()
}
