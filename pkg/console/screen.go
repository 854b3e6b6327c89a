package console

import (
	"bytes"
	"io"
	"sync"
	"unicode/utf8"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// Screen is an io.Writer for people. It is the last line of defence against strangers' texts, for what they hold of
// control characters, escape sequences and bytes that are no text becomes spaces; and it owns the last line: a status,
// as of a transfer, stays below whatever is written meanwhile. Its methods may be called at the same time.
type Screen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool

	open   bool   // the last line has no end yet
	status string // "" is none
	drawn  bool   // the status is the last line
}

// NewScreen returns a Screen on out. A terminal has its status rewritten in place. Anything else is a log, a serial
// line as well: somebody may record it, so that there a status is a line now and then.
func NewScreen(out io.Writer, terminal bool) *Screen {
	return &Screen{out: out, terminal: terminal}
}

// maxWrite is what a stranger can make a person scroll past at once, in bytes. The help, the longest text of our own,
// has 4 KiB.
const maxWrite = 64 << 10

// Write shows p above the status, in one piece.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	s.erase(&b)
	s.clean(&b, p)
	s.draw(&b)
	if _, err := s.out.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Status makes line the last one, in place of the one before. A log gets it when it is due. Without a line there is no
// status.
func (s *Screen) Status(line string, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	line = printable.Clip(line, 79) // what is wider than the screen goes on below, where nothing erases it
	switch {
	case s.terminal:
		s.status = line
		if line == "" || s.open {
			s.erase(&b)
		}
		s.draw(&b)
	case line != "" && due:
		if s.open {
			b.WriteByte('\n')
			s.open = false
		}
		b.WriteString(line + "\n")
	}
	if b.Len() > 0 {
		s.out.Write(b.Bytes()) // a status that cannot be shown is none that anybody misses
	}
}

// clear is ECMA-48's erase in line, from the cursor to the end.
const clear = "\x1b[K"

func (s *Screen) erase(b *bytes.Buffer) {
	if s.drawn {
		b.WriteString("\r" + clear)
		s.drawn = false
	}
}

// draw shows the status, unless what was written last waits for the rest of its line.
func (s *Screen) draw(b *bytes.Buffer) {
	if s.status != "" && !s.open {
		b.WriteString("\r" + s.status + clear)
		s.drawn = true
	}
}

// clean adds p to b without anything that a terminal would obey, but ends of lines and tabulators.
func (s *Screen) clean(b *bytes.Buffer, p []byte) {
	if len(p) > maxWrite {
		p = append(p[:maxWrite:maxWrite], "…\n"...)
	}
	shown := 0 // of the line
	for len(p) > 0 {
		r, size := utf8.DecodeRune(p)
		text := string(p[:size])
		p = p[size:]
		s.open = r != '\n'
		switch {
		case r == '\n':
			shown = 0
			b.WriteByte('\n')
			continue
		case r != '\t' && (!printable.Mark(r) || r == utf8.RuneError && size == 1):
			text = " "
		}
		switch shown++; {
		case shown < printable.Long:
			b.WriteString(text)
		case shown == printable.Long:
			b.WriteString("…")
		}
	}
}
