package main

import (
	"context"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// A terminal is the person's while a machine has it: what is typed goes to the machine as it is, and what the machine
// shows may leave the terminal in any state.
type terminal struct {
	in    *os.File      // nil if nobody types on a terminal
	modes *unix.Termios // of in, as they were before
	out   *os.File      // nil if nobody looks at one
}

// modesReset undoes what programs of a machine do to a terminal, and their firmware. Each is harmless where it was not
// done: DEC's private modes are those of xterm's ctlseqs, and a terminal ignores those that it does not know.
const modesReset = "\x1b7\x1b[r\x1b8" + // the whole screen scrolls; the cursor stays
	"\x1b[?1047l" + // the normal screen; 1049 would move the cursor where nobody was on the other one
	"\x1b[?7h" + // long lines wrap (DECAWM)
	"\x1b[?25h" + // the cursor shows
	"\x1b[4l" + // what is typed overwrites (IRM)
	"\x1b[?1l\x1b>" + // cursor keys and keypad send what they do in a shell
	"\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l" + // the mouse and the focus send nothing
	"\x1b[?2004l" + // nor does a paste more than the text
	"\x0f\x1b(B" + // letters are letters, not lines and boxes
	"\x1b[0m" // neither bold nor coloured

// takeTerminal prepares the terminal for a session with a machine: every key is the machine's, Ctrl-C too, where keys
// is set. The terminal is right again when ctx ends, and after the function that it returns.
func takeTerminal(ctx context.Context, in io.Reader, out io.Writer, keys bool) (restore func()) {
	t := new(terminal)
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		t.out = f
	}
	if f, ok := in.(*os.File); ok && keys {
		// It fails where in is no terminal, and then there is nothing to prepare.
		if modes, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			t.in, t.modes = f, modes
			unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, raw(*modes))
		}
	}
	// Who asks twice for the end does not wait for the machine's: main then ends at once, by the signal.
	stop := context.AfterFunc(ctx, t.restore)
	return sync.OnceFunc(func() {
		stop()
		t.restore()
	})
}

// raw returns modes with which every key is passed on as it is. Output is processed as before, as QEMU has it: its own
// messages, and ours, end their lines with a newline alone.
func raw(modes unix.Termios) *unix.Termios {
	modes.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP
	modes.Iflag &^= unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	modes.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.IEXTEN | unix.ISIG
	modes.Cflag = modes.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	modes.Cc[unix.VMIN], modes.Cc[unix.VTIME] = 1, 0
	return &modes
}

// restore makes the terminal what it was. It may be called again. A terminal that is gone cannot be put right.
func (t *terminal) restore() {
	if t.in != nil {
		unix.IoctlSetTermios(int(t.in.Fd()), unix.TCSETS, t.modes)
	}
	if t.out != nil {
		io.WriteString(t.out, modesReset)
	}
}
