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

// patience is how long a failure stays on the screen before the machine reboots, or does what wyr.fail says, so that a
// person can read it and act.
const patience = time.Minute

// An ending is what a machine does after its boot has failed.
type ending struct {
	verb, says string
	command    int // for reboot(2)
}

var (
	reboots = ending{"reboot", "reboots", unix.LINUX_REBOOT_CMD_RESTART}
	endings = map[string]ending{ // by wyr.fail; any other means a reboot
		"poweroff": {"power off", "powers off", unix.LINUX_REBOOT_CMD_POWER_OFF},
		"halt":     {"halt", "halts", unix.LINUX_REBOOT_CMD_HALT},
	}
)

// ending returns what wyr.fail says.
func (c *cmd) ending() ending {
	if e, ok := endings[c.config.Fail]; ok {
		return e
	}
	return reboots
}

// fail ends a failed boot: it prints the error, waits until a person could read it, and reboots, or does what wyr.fail
// says. It does not return.
func (c *cmd) fail(ctx context.Context, err error) {
	if errors.Is(err, config.ErrNoImage) {
		c.sayf("%v", err)
		io.WriteString(c.console, config.Help)
		if c.config.Fail == "" && c.config.Debug != "shell" {
			c.console.Ask(ctx, "Press Enter to reboot. ")
			c.reboot()
		}
	}
	if c.config.Fail == "shell" {
		c.sayf("%v", err)
		// A shell without a keyboard ends at once. Then there is the countdown, so that the error can be read.
		begin := time.Now()
		if c.shell(c.console.Terminal()) == nil && time.Since(begin) > 5*time.Second {
			c.reboot()
		}
	}
	c.countdown(ctx, err, "", nil)
}

// countdown says what has failed, and reboots, or does what wyr.fail says, when a person has had the time to read it
// and to act. It returns only if mended is closed before, because the cause has gone; unless tells the person about
// that case.
func (c *cmd) countdown(ctx context.Context, err error, unless string, mended <-chan struct{}) {
	c.sayf("%v", err)
	end := c.ending()
	action, shell := end.verb+" now", c.config.Debug == "shell" || c.config.Fail == "shell"
	if shell {
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
	c.sayf("the machine %s in %.0f s%s; press Enter to %s", end.says, patience.Seconds(), unless, action)
	line, err := c.console.ReadLine(deadline)
	if errors.Is(err, io.EOF) { // there is no keyboard, but there may be a reader
		<-deadline.Done()
	}
	select {
	case <-mended:
		return
	default:
	}
	if err == nil && shell {
		c.shell(line.TTY)
		end = reboots
	}
	c.stop(end)
}

// shell runs u-root's gosh on the terminal where Enter was pressed, until gosh ends. gosh ends only at an exit with
// status zero; an exit without a number has the status of the last command.
func (c *cmd) shell(tty *os.File) error {
	shell := exec.Command("/bbin/gosh")
	shell.Stdin, shell.Stdout, shell.Stderr = tty, tty, tty
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	fmt.Fprint(c.console, "Leave the shell with exit 0 to reboot, or try again with wyrboot.\n")
	c.console.Flush(time.Second)
	err := shell.Run()
	c.console.Reopen()
	if err != nil {
		c.sayf("the shell ended: %v", err)
	}
	return err
}

// reboot does not return.
func (c *cmd) reboot() { c.stop(reboots) }

// stop does not return. If even the ending fails, it keeps the reason on the screen and waits for ever: if this program
// ended, process 1 would end too, and the kernel would panic.
func (c *cmd) stop(end ending) {
	c.sayf("%s", end.says)
	c.console.Flush(2 * time.Second)
	unix.Sync()
	err := unix.Reboot(end.command)
	c.sayf("cannot %s: %v; please switch the machine off", end.verb, err)
	select {}
}
