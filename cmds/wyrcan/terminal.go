package main

import (
	"context"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// A terminal is the user's terminal during a session with a machine. Input goes to the machine unchanged, and the
// output of the machine may leave the terminal in any state.
type terminal struct {
	in    *os.File      // nil if the input is not a terminal
	modes *unix.Termios // the modes of in before the session
	out   *os.File      // nil if the output is not a terminal
}

// modesReset resets the modes that firmware and programs of a machine may have set in the terminal. Resetting a mode
// that was not set does no harm. The private modes are those of xterm's ctlseqs; a terminal ignores those that it does
// not know.
const modesReset = "\x1b7\x1b[r\x1b8" + // the whole screen scrolls; the cursor stays
	"\x1b[?1047l" + // the normal screen; 1049 would also move the cursor if the alternate screen was not in use
	"\x1b[?7h" + // long lines wrap (DECAWM)
	"\x1b[?25h" + // the cursor shows
	"\x1b[4l" + // typed characters overwrite (IRM)
	"\x1b[?1l\x1b>" + // cursor keys and keypad send their normal codes
	"\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l" + // the mouse and the focus send nothing
	"\x1b[?2004l" + // a paste sends only the text
	"\x0f\x1b(B" + // the character set has letters, not line graphics
	"\x1b[0m" // no bold, no colours

// takeTerminal prepares the terminal for a session with a machine. If keys is set, every key goes to the machine, even
// Ctrl-C. The function that it returns restores the terminal; so does the end of ctx.
func takeTerminal(ctx context.Context, in io.Reader, out io.Writer, keys bool) (restore func()) {
	t := new(terminal)
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		t.out = f
	}
	if f, ok := in.(*os.File); ok && keys {
		// This fails if in is not a terminal. Then there is nothing to prepare.
		if modes, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			t.in, t.modes = f, modes
			unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, raw(*modes))
		}
	}
	// Restore when ctx ends, not only when the machine has ended: at a second signal this program ends at once.
	stop := context.AfterFunc(ctx, t.restore)
	return sync.OnceFunc(func() {
		stop()
		t.restore()
	})
}

// raw returns modes in which every key is passed on unchanged. Output is still processed, as in QEMU, because the lines
// of QEMU's messages and of ours end in a newline only.
func raw(modes unix.Termios) *unix.Termios {
	modes.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP
	modes.Iflag &^= unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	modes.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.IEXTEN | unix.ISIG
	modes.Cflag = modes.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	modes.Cc[unix.VMIN], modes.Cc[unix.VTIME] = 1, 0
	return &modes
}

// restore restores the terminal. It may be called again. It ignores errors, since the terminal may be gone.
func (t *terminal) restore() {
	if t.in != nil {
		unix.IoctlSetTermios(int(t.in.Fd()), unix.TCSETS, t.modes)
	}
	if t.out != nil {
		io.WriteString(t.out, modesReset)
	}
}
