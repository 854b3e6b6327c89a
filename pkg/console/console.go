// Package console talks to the person in front of the machine, on all consoles of the kernel at once: it writes to
// every console, and reads an answer from any of them. It opens the terminals itself, because u-root's init gives its
// children pipes, which lose the last lines before a kexec or a reboot.
package console

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// backlog is how many writes may wait for one slow console; further ones are lost there. A full 80×25 screen takes two
// seconds at 9600 baud, and a console may stop entirely (flow control), which must not stop the boot.
const backlog = 256

// Console is all consoles of the kernel. It is an io.Writer whose Write neither fails nor blocks.
type Console struct {
	ttys []*tty
}

// Line is a line that somebody typed, without its newline, and the terminal on which it was typed.
type Line struct {
	Text string
	TTY  *os.File
}

type tty struct {
	file    atomic.Pointer[os.File]
	screen  *Screen
	pending chan []byte
	drained chan chan struct{}
}

// Open opens the consoles that the kernel has enabled (Documentation/ABI/testing/sysfs-tty, "active"). It looks for
// /sys and /dev below root, which is "" but in tests. Without any console, as in a container, it uses standard input
// and output.
func Open(root string) *Console {
	c := new(Console)
	active, _ := os.ReadFile(filepath.Join(root, "/sys/class/tty/console/active"))
	for _, name := range strings.Fields(string(active)) {
		if f, err := open(filepath.Join(root, "/dev", name)); err == nil {
			c.add(f, virtual(name))
		}
	}
	if len(c.ttys) == 0 {
		c.add(os.Stdout, false)
	}
	return c
}

func open(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0) }

// Reopen opens all consoles again. It is needed after a program has ended whose controlling terminal was one of them:
// the kernel then hangs the terminal up for all who have it open (drivers/tty/tty_jobctrl.c, disassociate_ctty).
func (c *Console) Reopen() {
	for _, t := range c.ttys {
		old := t.file.Load()
		if old == os.Stdout {
			continue
		}
		if f, err := open(old.Name()); err == nil {
			t.file.Store(f)
			old.Close()
		}
	}
}

// virtual reports whether a console is a virtual terminal (vt(4)), that is a screen and not a serial line.
func virtual(name string) bool {
	number, ok := strings.CutPrefix(name, "tty")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

func (c *Console) add(f *os.File, terminal bool) {
	t := &tty{pending: make(chan []byte, backlog), drained: make(chan chan struct{})}
	t.file.Store(f)
	t.screen = NewScreen(queue{t}, terminal)
	c.ttys = append(c.ttys, t)
	go t.copy()
}

func (t *tty) copy() {
	for {
		select {
		case b := <-t.pending:
			t.file.Load().Write(b) // there is no place to report an error of the console
		case done := <-t.drained:
			for range len(t.pending) {
				t.file.Load().Write(<-t.pending)
			}
			// tcdrain(3) waits until the bytes have left the machine. It fails if the file is not a terminal.
			if raw, err := t.file.Load().SyscallConn(); err == nil {
				raw.Control(func(fd uintptr) { unix.IoctlSetInt(int(fd), unix.TCSBRK, 1) })
			}
			close(done)
		}
	}
}

// Terminal returns the terminal of the last console, which is the one that /dev/console stands for
// (Documentation/ABI/testing/sysfs-tty).
func (c *Console) Terminal() *os.File { return c.ttys[len(c.ttys)-1].file.Load() }

// Write shows p on every console, without control characters: see Screen.
func (c *Console) Write(p []byte) (int, error) {
	for _, t := range c.ttys {
		t.screen.Write(p)
	}
	return len(p), nil
}

// Status shows a line below everything that is written, as Screen does.
func (c *Console) Status(line string, due bool) {
	for _, t := range c.ttys {
		if line == "" || len(t.pending) == 0 { // a console that is behind skips the status
			t.screen.Status(line, due)
		}
	}
}

// queue is an io.Writer that passes a Screen's output to the goroutine of its console. It drops output if backlog is
// full.
type queue struct{ t *tty }

func (q queue) Write(p []byte) (int, error) {
	select {
	case q.t.pending <- p:
	default:
	}
	return len(p), nil
}

// Flush returns when everything that was written has left the machine, but at the latest after limit.
func (c *Console) Flush(limit time.Duration) {
	timeout := time.After(limit)
	for _, t := range c.ttys {
		done := make(chan struct{})
		select {
		case t.drained <- done:
		case <-timeout:
			return
		}
		select {
		case <-done:
		case <-timeout:
			return
		}
	}
}

// ReadLine returns the next line typed on any console. It returns ctx's error if ctx ends first, and io.EOF if all
// consoles are closed. After it has returned, nothing reads from the consoles, so that a shell can read from them.
func (c *Console) ReadLine(ctx context.Context) (Line, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result, len(c.ttys))
	for _, t := range c.ttys {
		go func() { results <- t.readLine(ctx) }()
	}
	line, err := Line{}, io.EOF
	for range c.ttys {
		switch r := <-results; {
		case r.err == nil && line.TTY == nil:
			line, err = r.line, nil
			cancel()
		case r.err != nil && r.err != io.EOF && line.TTY == nil:
			err = r.err
		}
	}
	return line, err
}

type result struct {
	line Line
	err  error
}

// readLine reads from one terminal. One Read returns one line, because consoles are in canonical mode (termios(3)).
func (t *tty) readLine(ctx context.Context) result {
	in := t.file.Load()
	if in == os.Stdout {
		in = os.Stdin
	}
	read := make(chan result, 1)
	go func() {
		b := make([]byte, 4096) // N_TTY_BUF_SIZE, the longest line that canonical mode delivers
		n, err := in.Read(b)
		read <- result{Line{strings.TrimRight(string(b[:n]), "\r\n"), in}, err}
	}()
	select {
	case r := <-read:
		return r
	case <-ctx.Done():
	}
	// Standard input may be a file without deadlines. Then the goroutine stays, and takes one more line at most.
	if in.SetReadDeadline(time.Unix(1, 0)) == nil {
		<-read
		in.SetReadDeadline(time.Time{})
	}
	return result{err: ctx.Err()}
}

// Ask shows the question and returns the answer, without white space at its ends.
func (c *Console) Ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(c, question)
	l, err := c.ReadLine(ctx)
	return strings.TrimSpace(l.Text), err
}

// Reader returns a reader of the lines typed on any console. It ends with ctx.
func (c *Console) Reader(ctx context.Context) io.Reader {
	return &lineReader{c: c, ctx: ctx}
}

type lineReader struct {
	c    *Console
	ctx  context.Context
	rest string
}

func (r *lineReader) Read(p []byte) (int, error) {
	if r.rest == "" {
		l, err := r.c.ReadLine(r.ctx)
		if err != nil {
			return 0, err
		}
		r.rest = l.Text + "\n"
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
