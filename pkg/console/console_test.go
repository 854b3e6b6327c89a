package console

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// world makes a /dev and a /sys with the named consoles. Each console is a pseudo-terminal; far are their other ends.
func world(t *testing.T, names ...string) (root string, far []*os.File) {
	t.Helper()
	root = t.TempDir()
	for _, dir := range []string{"dev", "sys/class/tty/console"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ptmx.Close() })
		n, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("/dev/pts", strconv.Itoa(n)), filepath.Join(root, "dev", name)); err != nil {
			t.Fatal(err)
		}
		far = append(far, ptmx)
	}
	active := filepath.Join(root, "sys/class/tty/console/active")
	if err := os.WriteFile(active, []byte(strings.Join(names, " ")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root, far
}

func expect(t *testing.T, f *os.File, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(f, b); err != nil || string(b) != want {
		t.Errorf("console shows %q, %v, want %q", b, err, want)
	}
}

func TestEveryConsoleShowsAndAnswers(t *testing.T) {
	root, far := world(t, "tty0", "ttyS0")
	c := Open(root)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for i := range far {
		go far[i].WriteString(" yes \n")
		got, err := c.Ask(ctx, "sure? ")
		if err != nil || got != "yes" {
			t.Errorf("Ask = %q, %v, want yes from console %d", got, err, i)
		}
	}
	for i, f := range far { // on its own console, the echo of the answer stands between the questions
		shown := ""
		for b := make([]byte, 4096); strings.Count(shown, "sure? ") < 2; {
			n, err := f.Read(b)
			if err != nil {
				t.Fatalf("console %d shows %q, then %v, want both questions", i, shown, err)
			}
			shown += string(b[:n])
		}
	}
}

// A console whose other end never reads must not stop the boot or the other consoles.
func TestStuckConsole(t *testing.T) {
	root, far := world(t, "stuck", "ttyS0")
	c := Open(root)
	block := []byte(strings.Repeat("x", 1024))
	for range backlog / 2 {
		c.Write(block)
	}
	got := make([]byte, backlog/2*1024)
	if _, err := io.ReadFull(far[1], got); err != nil {
		t.Error(err)
	}
	start := time.Now()
	c.Flush(200 * time.Millisecond)
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("Flush took %v with a stuck console", d)
	}
}

func TestReadLineEnds(t *testing.T) {
	root, _ := world(t, "ttyS0")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(root).ReadLine(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ReadLine = %v, want the deadline", err)
	}
}

// TestReopen hangs a console up, as the kernel does when a shell on it ends (a pseudo-terminal it would leave alone).
// Then the consoles still show what is written, and a person can still answer.
func TestReopen(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may hang a terminal up")
	}
	root, far := world(t, "tty0", "ttyS0")
	c := Open(root)
	if err := unix.IoctlSetInt(int(c.Terminal().Fd()), unix.TIOCVHANGUP, 0); err != nil {
		t.Skipf("terminals cannot be hung up here: %v", err)
	}
	if _, err := c.Terminal().Write([]byte("x")); err == nil {
		t.Fatal("the terminal has not been hung up")
	}
	c.Reopen()
	io.WriteString(c, "hello\n")
	for _, f := range far {
		expect(t, f, "hello\r\n")
	}
	go io.WriteString(far[1], "yes\n")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if l, err := c.ReadLine(ctx); err != nil || l.Text != "yes" {
		t.Errorf("ReadLine = %q, %v", l.Text, err)
	}
}

func TestMissingConsole(t *testing.T) {
	root, far := world(t, "ttyS0")
	active := filepath.Join(root, "sys/class/tty/console/active")
	if err := os.WriteFile(active, []byte("ttyGone ttyS0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	io.WriteString(Open(root), "hello")
	expect(t, far[0], "hello")
}
