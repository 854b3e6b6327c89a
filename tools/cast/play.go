package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The size of the terminal.
const (
	columns = 96
	rows    = 26
)

// An event is what the terminal got at a time.
type event struct {
	at    time.Duration
	bytes []byte
}

// limit is how long a command may take.
const limit = 10 * time.Minute

// prompt stands before each command.
const prompt = "\x1b[1;32m$\x1b[0m "

// play runs the scenes, and returns all that the terminal got.
func play(scenes []scene) ([]event, error) {
	r := &recorder{}
	for _, s := range scenes {
		r.typed(prompt, s.command)
		if err := r.scene(s); err != nil {
			return nil, fmt.Errorf("%s: %w", s.command, err)
		}
		r.add(400*time.Millisecond, nil)
	}
	return r.events, nil
}

type recorder struct {
	events []event
	now    time.Duration // on the picture's clock
}

func (r *recorder) add(wait time.Duration, b []byte) {
	r.now += wait
	r.events = append(r.events, event{r.now, b})
}

// typed shows a command as if somebody typed it. The shell that runs it shows no prompt.
func (r *recorder) typed(prompt, command string) {
	r.add(0, []byte(prompt))
	r.add(600*time.Millisecond, nil)
	for i := 0; i < len(command); i += 3 {
		r.add(100*time.Millisecond, []byte(command[i:min(i+3, len(command))]))
	}
	r.add(400*time.Millisecond, []byte("\r\n"))
}

// scene runs one command.
func (r *recorder) scene(s scene) error {
	far, near, err := pair()
	if err != nil {
		return fmt.Errorf("cannot make a terminal: %w", err)
	}
	defer far.Close()
	c := exec.Command("sh", "-c", s.command)
	c.Env = append(os.Environ(), "TERM=linux")
	c.Stdin, c.Stdout, c.Stderr = near, near, near
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = c.Start()
	near.Close()
	if err != nil {
		return err
	}
	defer c.Process.Kill()
	pieces := make(chan []byte)
	go func() {
		defer close(pieces)
		b := make([]byte, 4096)
		for {
			n, err := far.Read(b)
			if n > 0 {
				pieces <- bytes.Clone(b[:n])
			}
			if err != nil { // EIO: nobody has the other end open any more
				return
			}
		}
	}()
	if err := r.watch(s.steps, pieces, far); err != nil {
		return err
	}
	return c.Wait()
}

// watch records the pieces, and does the steps. It returns when the pieces end.
func (r *recorder) watch(steps []step, pieces <-chan []byte, far *os.File) error {
	var seen []byte // since the last step that waited
	late := time.After(limit)
	begin, last := time.Now(), r.now
	for {
		for len(steps) > 0 {
			s := steps[0]
			if s.wait != "" {
				_, rest, found := bytes.Cut(seen, []byte(s.wait))
				if !found {
					break
				}
				seen = rest
			} else if err := r.press(far, s.keys); err != nil {
				return err
			}
			steps = steps[1:]
		}
		select {
		case b, ok := <-pieces:
			if !ok && len(steps) > 0 {
				return fmt.Errorf("the command has ended, and %+v was not done", steps[0])
			} else if !ok {
				return nil
			}
			seen = append(seen, b...)
			r.now = last + time.Since(begin)
			r.add(0, b)
		case <-late:
			return fmt.Errorf("this takes longer than %v", limit)
		}
	}
}

// press types keys as fast as a person does. The program's echo shows them.
func (r *recorder) press(far *os.File, keys string) error {
	time.Sleep(500 * time.Millisecond)
	for i := range len(keys) {
		if _, err := far.WriteString(keys[i : i+1]); err != nil {
			return err
		}
		time.Sleep(40 * time.Millisecond)
	}
	return nil
}

// pair returns the two ends of a new terminal.
func pair() (far, near *os.File, err error) {
	far, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			far.Close()
		}
	}()
	fd := int(far.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	if err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		return nil, nil, err
	}
	near, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	return far, near, err
}
