package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/config"
)

// patience is how long a failure stays on the screen before the machine reboots, so that a person can read it and act.
const patience = time.Minute

// fail ends a failed boot: it prints the error, waits until a person could read it, and reboots. It does not return.
func (c *cmd) fail(ctx context.Context, err error) {
	if errors.Is(err, config.ErrNoImage) {
		c.sayf("%v", err)
		io.WriteString(c.console, config.Help)
		c.console.Ask(ctx, "Press Enter to reboot. ")
		c.reboot()
	}
	c.countdown(ctx, err, "", nil)
}

// countdown says what has failed, and reboots when a person has had the time to read it and to act. It returns only if
// mended is closed before, because the cause has gone; unless tells the person about that case.
func (c *cmd) countdown(ctx context.Context, err error, unless string, mended <-chan struct{}) {
	c.sayf("%v", err)
	action := "reboot now"
	if c.config.Debug == "shell" {
		action = "get a shell"
	}
	deadline, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	go func() {
		select {
		case <-mended:
			cancel()
		case <-deadline.Done():
		}
	}()
	c.sayf("the machine reboots in %.0f s%s; press Enter to %s", patience.Seconds(), unless, action)
	line, err := c.console.ReadLine(deadline)
	if errors.Is(err, io.EOF) { // there is no keyboard, but there may be a reader
		<-deadline.Done()
	}
	select {
	case <-mended:
		return
	default:
	}
	if err == nil && c.config.Debug == "shell" {
		c.shell(line.TTY)
	}
	c.reboot()
}

// shell runs u-root's gosh on the terminal where Enter was pressed, until gosh ends. gosh ends only at an exit with
// status zero; an exit without a number has the status of the last command.
func (c *cmd) shell(tty *os.File) {
	shell := exec.Command("/bbin/gosh")
	shell.Stdin, shell.Stdout, shell.Stderr = tty, tty, tty
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	fmt.Fprint(c.console, "Leave the shell with exit 0 to reboot, or try again with wyrboot.\n")
	c.console.Flush(time.Second)
	if err := shell.Run(); err != nil {
		c.sayf("the shell ended: %v", err)
	}
}

// reboot does not return. If even that fails, it keeps the reason on the screen and waits for ever: if this program
// ended, process 1 would end too, and the kernel would panic.
func (c *cmd) reboot() {
	c.sayf("reboots")
	c.console.Flush(2 * time.Second)
	unix.Sync()
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	c.sayf("cannot reboot: %v; please switch the machine off and on", err)
	select {}
}
