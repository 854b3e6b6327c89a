package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// pty opens a pseudo-terminal: the person's end and the program's end.
func pty(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// However a session ends, the terminal is restored: its modes are as before, and the sequences that reset its other
// state have been sent.
func TestTerminal(t *testing.T) {
	img := onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...)))
	const ready = `printf '\033c\033[?7l\033[?1049h\033[?25lready\n'; `
	for name, row := range map[string]struct {
		script string // the program that replaces QEMU
		typed  string
		signal syscall.Signal // sent to wyrcan; 0 for none
		signed bool           // wyrcan ends by that signal
		says   string
	}{
		"to its end":    {"dd bs=1 count=3 status=none | od -An -c", "a\x03\x04", 0, false, "a 003 004"},
		"a crash":       {"kill -9 $$", "", 0, false, "signal: killed"},
		"a failure":     {"exit 3", "", 0, false, "exit status 3"},
		"SIGTERM":       {"exec sleep 100", "", syscall.SIGTERM, true, "ended by a signal"},
		"SIGINT":        {"exec sleep 100", "", syscall.SIGINT, true, "interrupted"},
		"SIGHUP":        {"exec sleep 100", "", syscall.SIGHUP, true, "hangup"},
		"SIGQUIT":       {"exec sleep 100", "", syscall.SIGQUIT, true, "quit"},
		"a deaf QEMU":   {"trap '' TERM; kill -9 $$", "", 0, false, "signal: killed"},
		"stdio is left": {"exec sleep 100 <&- >&-", "", syscall.SIGTERM, true, "ended by a signal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, content := range map[string]string{
				"qemu-system-x86_64": "#!/bin/sh\n" + ready + row.script + "\n",
				"kernel":             string(imagetest.BzImage(release)),
				"initrd":             "x",
			} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			person, program := pty(t)
			before, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			p := process("run", "-arch", "amd64", "-kernel", dir+"/kernel", "-initrd", dir+"/initrd", img)
			p.Env = append(p.Env, "PATH="+dir+":"+os.Getenv("PATH"))
			p.Stdin, p.Stdout, p.Stderr = program, program, program
			p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			var shown bytes.Buffer
			ended := make(chan bool)
			go func() {
				defer close(ended)
				b := make([]byte, 4096)
				acted := false
				for {
					n, err := person.Read(b)
					shown.Write(b[:n])
					if err != nil {
						return
					}
					if !acted && strings.Contains(shown.String(), "ready\r\n") {
						acted = true
						person.WriteString(row.typed)
						if row.signal != 0 {
							p.Process.Signal(row.signal)
						}
					}
				}
			}()
			p.Wait() // the status is checked below
			after, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			program.Close() // nobody else has it open now, so the person's end reads EOF
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				t.Fatal("a process still has the terminal open")
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the modes before and after:\n%s", diff)
			}
			status := p.ProcessState.Sys().(syscall.WaitStatus)
			if row.signal == syscall.SIGQUIT { // a Go program that ends by SIGQUIT prints its goroutines
				if status.ExitStatus() != 128+int(row.signal) || strings.Contains(shown.String(), "goroutine") {
					t.Errorf("it ended with %v", p.ProcessState)
				}
			} else if status.Signaled() != row.signed || row.signed && status.Signal() != row.signal {
				t.Errorf("it ended with %v", p.ProcessState)
			}
			hint := strings.Index(shown.String(), "press Ctrl-A, then X, to end it\r\n")
			last := strings.LastIndex(shown.String(), modesReset)
			words := strings.Join(strings.Fields(shown.String()), " ")
			if hint < 0 || last < strings.Index(shown.String(), "ready") || !strings.Contains(words, row.says) {
				t.Errorf("the person saw %q, want the hint, %q and the terminal put right", shown.String(), row.says)
			}
		})
	}
}

// A machine does not outlive the program that started it, even if that program is killed.
func TestKilled(t *testing.T) {
	img := onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...)))
	dir := t.TempDir()
	for file, content := range map[string]string{
		"qemu-system-x86_64": "#!/bin/sh\necho $$\nexec sleep 100\n",
		"kernel":             string(imagetest.BzImage(release)),
		"initrd":             "x",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p := process("run", "-arch", "amd64", "-kernel", dir+"/kernel", "-initrd", dir+"/initrd", img)
	p.Env = append(p.Env, "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	var qemu int
	if _, err := fmt.Fscan(out, &qemu); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.Wait() // it was killed: the error does not matter
	for range 100 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", qemu))
		if err != nil || strings.Contains(string(stat), ") Z ") { // gone, or a zombie
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("QEMU still runs")
	syscall.Kill(qemu, syscall.SIGKILL)
}
