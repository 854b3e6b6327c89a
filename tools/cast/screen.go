package main

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A style is how a character looks.
type style struct {
	colour int // 1 to 8: black to white; 9 to 16: the bright ones; 0 is the terminal's own
	bold   bool
}

// A cell is a place on the screen.
type cell struct {
	r rune
	style
}

// A screen is a terminal that never forgets a line: lines that have scrolled off stay. It knows what the programs of
// this project, a shell and a getty write (ECMA-48), and ignores other sequences.
type screen struct {
	lines [][]cell
	home  int // the line that is at the top: the lines before it have scrolled off, or were cleared
	row   int // of the cursor, in lines
	col   int
	style style
	rest  []byte // of a sequence or a character that is not complete yet
}

// longestSequence is how many bytes of a sequence without an end are kept.
const longestSequence = 256

func (s *screen) write(p []byte) {
	p = append(s.rest, p...)
	s.rest = nil
	for len(p) > 0 {
		n := s.one(p)
		if n == 0 {
			if len(p) < longestSequence {
				s.rest = p
				return
			}
			n = 1
		}
		p = p[n:]
	}
}

// one takes one character or one sequence from p, and returns how many bytes that was; 0 means that it is not complete.
func (s *screen) one(p []byte) int {
	switch b := p[0]; {
	case b == 0x1b:
		return s.escape(p)
	case b == '\r':
		s.col = 0
	case b == '\n':
		s.down()
	case b == '\b':
		s.col = max(0, s.col-1)
	case b == '\t':
		s.col = min(columns-1, (s.col/8+1)*8)
	case b < 0x20 || b == 0x7f:
	default:
		if !utf8.FullRune(p) {
			return 0
		}
		r, n := utf8.DecodeRune(p)
		s.put(r)
		return n
	}
	return 1
}

// escape takes a sequence that begins with ESC.
func (s *screen) escape(p []byte) int {
	if len(p) < 2 {
		return 0
	}
	switch p[1] {
	case '[':
		for i := 2; i < len(p); i++ {
			if p[i] >= 0x40 && p[i] <= 0x7e {
				s.control(string(p[2:i]), p[i])
				return i + 1
			}
		}
		return 0
	case ']': // OSC, for example the title of a window, up to BEL or ST
		for i := 2; i < len(p); i++ {
			if p[i] == 7 {
				return i + 1
			}
			if p[i] == '\\' && p[i-1] == 0x1b {
				return i + 1
			}
		}
		return 0
	case '(', ')', '%', '#': // which characters
		if len(p) < 3 {
			return 0
		}
		return 3
	}
	return 2
}

// control does what a control sequence says.
func (s *screen) control(parameters string, final byte) {
	n := numbers(parameters)
	first := max(1, at(n, 0))
	switch final {
	case 'm':
		s.paint(n)
	case 'K':
		s.eraseLine(at(n, 0))
	case 'J':
		if at(n, 0) >= 2 {
			s.home, s.row = len(s.lines), len(s.lines)
		} else if s.row < len(s.lines) {
			s.eraseLine(0)
			s.lines = s.lines[:s.row+1]
		}
	case 'H', 'f':
		s.row, s.col = s.home+min(rows, first)-1, min(columns, max(1, at(n, 1)))-1
	case 'A':
		s.row = max(s.home, s.row-first)
	case 'B':
		s.row = min(s.home+rows-1, s.row+first)
	case 'C':
		s.col = min(columns-1, s.col+first)
	case 'D':
		s.col = max(0, s.col-first)
	case 'G':
		s.col = min(columns, first) - 1
	}
}

// paint does what SELECT GRAPHIC RENDITION says.
func (s *screen) paint(n []int) {
	if len(n) == 0 {
		n = []int{0}
	}
	for i := 0; i < len(n); i++ {
		switch v := n[i]; {
		case v == 0:
			s.style = style{}
		case v == 1:
			s.style.bold = true
		case v == 22:
			s.style.bold = false
		case v >= 30 && v <= 37:
			s.style.colour = v - 29
		case v == 38 || v == 48: // 256 colours and more: their numbers are no colours of ours
			if at(n, i+1) == 5 {
				i += 2
			} else {
				i += 4
			}
		case v == 39:
			s.style.colour = 0
		case v >= 90 && v <= 97:
			s.style.colour = v - 81
		}
	}
}

// eraseLine erases the line from the cursor on (0), up to it (1), or all of it (2).
func (s *screen) eraseLine(how int) {
	if s.row >= len(s.lines) {
		return
	}
	l := s.lines[s.row]
	switch how {
	case 0:
		s.lines[s.row] = l[:min(len(l), s.col)]
	case 1:
		for i := range min(len(l), s.col+1) {
			l[i] = cell{r: ' '}
		}
	case 2:
		s.lines[s.row] = nil
	}
}

func (s *screen) down() {
	s.row++
	s.home = max(s.home, s.row-rows+1)
}

func (s *screen) put(r rune) {
	if s.col >= columns {
		s.col = 0
		s.down()
	}
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, nil)
	}
	l := s.lines[s.row]
	for len(l) <= s.col {
		l = append(l, cell{r: ' '})
	}
	l[s.col] = cell{r, s.style}
	s.lines[s.row] = l
	s.col++
}

// numbers returns the parameters of a control sequence.
func numbers(text string) []int {
	if text == "" {
		return nil
	}
	var list []int
	for p := range strings.SplitSeq(text, ";") {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 || n > 9999 {
			n = 0
		}
		list = append(list, n)
	}
	return list
}

func at(n []int, i int) int {
	if i < len(n) {
		return n[i]
	}
	return 0
}
