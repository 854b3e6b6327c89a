package console

import (
	"bytes"
	"io"
	"sync"
	"unicode/utf8"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// Screen is an io.Writer that people read. It does two things. It replaces control characters, escape sequences and
// bytes that are not text by spaces, as the last defence against untrusted text. And it keeps a status line, such as
// the progress of a transfer, below everything that is written. Its methods may be called at the same time.
type Screen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool

	open   bool   // the last line has no line end yet
	status string // "" for none
	drawn  bool   // the status is on the screen
}

// NewScreen returns a Screen on out. On a terminal the status is rewritten in place. Anything else is a log, in which
// the status is a line now and then. A serial line counts as a log, because somebody may record it.
func NewScreen(out io.Writer, terminal bool) *Screen {
	return &Screen{out: out, terminal: terminal}
}

// maxWrite is how many bytes of one Write are shown: untrusted text must not flood the screen. The help, our own
// longest text, has 4 KiB.
const maxWrite = 64 << 10

// Write shows p above the status.
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

// Status replaces the status by line; "" removes it. A log shows the status only if due is true.
func (s *Screen) Status(line string, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	width := printable.Long
	if s.terminal {
		width = 79 // a wider line would wrap, and erase removes only the last screen line
	}
	line = printable.Clip(line, width)
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
		s.out.Write(b.Bytes()) // an error does not matter: the next Write reports it
	}
}

// clear is ECMA-48's ERASE IN LINE, from the cursor to the end.
const clear = "\x1b[K"

func (s *Screen) erase(b *bytes.Buffer) {
	if s.drawn {
		b.WriteString("\r" + clear)
		s.drawn = false
	}
}

// draw shows the status, unless the last line is not complete yet.
func (s *Screen) draw(b *bytes.Buffer) {
	if s.status != "" && !s.open {
		b.WriteString("\r" + s.status + clear)
		s.drawn = true
	}
}

// clean appends p to b. It replaces everything that a terminal would execute by spaces, except line ends and tabs.
func (s *Screen) clean(b *bytes.Buffer, p []byte) {
	if len(p) > maxWrite {
		p = append(p[:maxWrite:maxWrite], "…\n"...)
	}
	shown := 0 // characters of this line
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
