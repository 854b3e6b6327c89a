package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// The size of a character and of the space around the text, in the SVG's own units.
const (
	wide   = 8.0
	high   = 18
	margin = 14
)

// colours are those of style.colour.
var colours = []string{"", "#5c6370", "#ff7b72", "#7ee787", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#e6edf3",
	"#8b949e", "#ffa198", "#aff5b4", "#f2cc60", "#a5d6ff", "#e2c5ff", "#b3f0ff", "#ffffff"}

// draw writes the picture as an SVG. Each version of a line is a text that is visible for its time; what the page does
// not animate is the last screen. So a reader who wants no motion sees that.
func draw(p picture, title, about string) []byte {
	var style, body bytes.Buffer
	names := make(map[[2]time.Duration]string)
	for _, v := range p.versions {
		times := [2]time.Duration{v.begin, v.end}
		name, ok := names[times]
		if !ok {
			name = fmt.Sprintf("k%d", len(names))
			names[times] = name
			p.appear(&style, name, v)
		}
		fmt.Fprintf(&body, `<text class="%s" y="%d">`, name, (v.line+1)*high-5)
		for _, r := range runs(v.cells) {
			body.WriteString(r)
		}
		body.WriteString("</text>\n")
	}
	p.scroll(&style)
	width, height := columns*wide+2*margin, rows*high+2*margin
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %d" role="img" aria-labelledby="t d">
<!-- Written by tools/cast: make docs/wyrcan.svg -->
<title id="t">%s</title>
<desc id="d">%s</desc>
<style>
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#e6edf3;white-space:pre}
text,g{animation:%gs step-end infinite}
.b{font-weight:bold}
%s%s@media (prefers-reduced-motion:reduce){text,g{animation:none!important}}
</style>
<rect width="100%%" height="100%%" rx="8" fill="#0d1117"/>
<svg x="%d" y="%d" width="%g" height="%d"><g>
`, width, height, escape(title), escape(about), p.length.Seconds(), palette(), style.String(),
		margin, margin, columns*wide, rows*high)
	b.Write(body.Bytes())
	b.WriteString("</g></svg>\n</svg>\n")
	return b.Bytes()
}

// appear writes the rules for a text that is visible for the time of v.
func (p picture) appear(style *bytes.Buffer, name string, v version) {
	fmt.Fprintf(style, "@keyframes %s{0%%{visibility:hidden}%s{visibility:visible}", name, p.percent(v.begin))
	hidden := ""
	if v.end > 0 {
		fmt.Fprintf(style, "%s{visibility:hidden}", p.percent(v.end))
		hidden = ";visibility:hidden"
	}
	fmt.Fprintf(style, "}.%s{animation-name:%s%s}\n", name, name, hidden)
}

// scroll writes the rules for the group of all texts, which moves up as a terminal scrolls.
func (p picture) scroll(style *bytes.Buffer) {
	style.WriteString("@keyframes s{")
	for _, s := range p.shots {
		fmt.Fprintf(style, "%s{transform:translateY(%dpx)}", p.percent(s.at), -s.top*high)
	}
	fmt.Fprintf(style, "}g{animation-name:s;transform:translateY(%dpx)}\n", -p.shots[len(p.shots)-1].top*high)
}

func (p picture) percent(at time.Duration) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", 100*at.Seconds()/p.length.Seconds()), "0"), ".") + "%"
}

// palette returns the rules for the colours.
func palette() string {
	var b strings.Builder
	for i, c := range colours {
		if c != "" {
			fmt.Fprintf(&b, ".c%d{fill:%s}", i, c)
		}
	}
	return b.String() + "\n"
}

// runs returns the parts of a line that look alike, each at its place. Fonts differ in their widths, so each part says
// how wide it is. Blanks between words are places, too, unless there is only one.
func runs(cells []cell) []string {
	var list []string
	for i := 0; i < len(cells); {
		if cells[i].r == ' ' {
			i++
			continue
		}
		end := i
		for end < len(cells) && cells[end].style == cells[i].style &&
			!(cells[end].r == ' ' && (end+1 == len(cells) || cells[end+1].r == ' ')) {
			end++
		}
		var text strings.Builder
		for _, c := range cells[i:end] {
			text.WriteRune(c.r)
		}
		class := ""
		if c := cells[i].colour; c > 0 {
			class = fmt.Sprintf("c%d", c)
		}
		if cells[i].bold {
			class = strings.TrimSpace(class + " b")
		}
		if class != "" {
			class = fmt.Sprintf(` class="%s"`, class)
		}
		list = append(list, fmt.Sprintf(`<tspan x="%g"%s textLength="%g">%s</tspan>`, float64(i)*wide, class,
			float64(end-i)*wide, escape(strings.TrimRight(text.String(), " "))))
		i = end
	}
	return list
}

func escape(s string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(s))
	return b.String()
}
