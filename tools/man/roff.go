package main

import (
	"fmt"
	"strings"
)

// roff is a page that is being written, with the macros of man(7).
type roff struct{ strings.Builder }

// footer is what stands at the foot of each page.
type footer struct{ date, version string }

func newPage(title string, section int, f footer) *roff {
	r := new(roff)
	r.WriteString(".\\\" Made by tools/man.\n")
	fmt.Fprintf(r, ".TH %s %d %s %s Wyrcan\n", quote(title), section, f.date, quote(f.version)) // mandoc parses the date
	r.WriteString(".nh\n.ad l\n")
	return r
}

// name writes the first section, which whatis(1) reads.
func (r *roff) name(name, about string) {
	r.section("NAME")
	fmt.Fprintf(r, "%s \\- %s\n", escape(name), escape(about))
}

func (r *roff) section(title string) { fmt.Fprintf(r, ".SH %s\n", quote(title)) }

// line writes one line of text. text is roff already, but may begin like a request.
func (r *roff) line(text string) {
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	r.WriteString(text + "\n")
}

// item writes an entry of a list.
func (r *roff) item(term, text string) {
	r.WriteString(".TP\n")
	r.line(term)
	r.line(text)
}

// paragraphs writes text whose paragraphs have blank lines between them. Lines that begin with a blank stay as they
// are.
func (r *roff) paragraphs(list []string) {
	for i, p := range list {
		if i > 0 {
			r.WriteString(".PP\n")
		}
		if strings.HasPrefix(p, " ") {
			r.WriteString(".RS 4\n.nf\n")
			for l := range strings.Lines(p) {
				r.line(escape(strings.TrimSpace(l)))
			}
			r.WriteString(".fi\n.RE\n")
			continue
		}
		for l := range strings.Lines(p) {
			r.line(escape(strings.TrimSpace(l)))
		}
	}
}

// prose writes paragraphs of Markdown.
func (r *roff) prose(list []string) {
	for i, p := range list {
		if i > 0 {
			r.WriteString(".PP\n")
		}
		r.line(inline(p))
	}
}

// escape makes text stand for itself.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "'", `\(aq`,
		"…", `\&...`).Replace(text)
}

func bold(text string) string   { return `\fB` + escape(text) + `\fR` }
func italic(text string) string { return `\fI` + escape(text) + `\fR` }

// quote makes text one argument of a request.
func quote(text string) string { return `"` + strings.ReplaceAll(escape(text), `"`, `\(dq`) + `"` }
