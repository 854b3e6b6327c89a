// init is the first process of Wyrcan. It is u-root's init for Linux, without the banner.
//
// Synopsis:
//
//	init
//
// Description:
//
//	init makes u-root's environment, with the file systems, the devices and the loopback link that all commands expect,
//	and starts the uinit, then the shell. It ignores its arguments: the kernel passes it the words of the command line
//	that it does not know. After both have ended, init reboots the machine, because the kernel panics when its first
//	process ends.
//
//	All of this is u-root's package libinit. u-root's own init command prints a banner first, which no option turns off.
package main

import (
	"errors"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	uroot "github.com/u-root/u-root/pkg/cmdline"
	"github.com/u-root/u-root/pkg/libinit"
	"github.com/u-root/u-root/pkg/ulog"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("init: ")
	libinit.SetEnv()
	createRootfs()
	// Kernel messages of level notice and below stay in the log and are not printed on the console.
	if err := ulog.KernelLog.SetConsoleLogLevel(ulog.KLogNotice); err != nil {
		log.Printf("cannot keep the kernel's notices off the screen: %v", err)
	}
	libinit.NetInit()
	names, args, err := kernelLine()
	if err == nil {
		err = libinit.InstallAllModules()
	}
	if err != nil {
		log.Print(err)
	}
	terminal := libinit.WithTTYControl(true)
	consoles := libinit.WithMultiTTY(true, libinit.OpenTTYDevices, names)
	quiet := func(string, ...any) {}
	libinit.RunCommands(quiet,
		libinit.Command("/bin/uinit", terminal, consoles, libinit.WithArguments(append(args, builtArguments()...)...)),
		libinit.Command("/bin/sh", terminal, consoles))
	log.Print("nothing is left to run; the machine reboots")
	unix.Sync()
	time.Sleep(5 * time.Second) // so that people can read the message
	err = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	log.Printf("cannot reboot: %v; please switch the machine off and on", err)
	select {}
}

// createRootfs makes the file systems. u-root's parser of the command line panics on a value that is a single quote,
// and with process 1 the kernel would end. By then all is there but the control groups, which nothing here uses.
func createRootfs() {
	defer func() { _ = recover() }()
	libinit.CreateRootfs()
}

// kernelLine returns the consoles and the arguments for the uinit (uroot.uinitargs=) on the kernel's command line. If
// u-root's parser panics, the consoles are those that Wyrcan's own parser finds, and nothing else that u-root would
// take from the line counts.
func kernelLine() (consoles, args []string, err error) {
	defer func() {
		if recover() == nil {
			return
		}
		err = errors.New("u-root cannot read the kernel's command line, in which a value is a single quote: " +
			"uroot.* and modules_load= do not count")
		text, _ := os.ReadFile("/proc/cmdline")
		consoles, args = consolesOf(string(text)), nil
	}()
	return uroot.Consoles(), uroot.GetUinitArgs(), nil
}

// consolesOf returns the devices of console=DEVICE[,OPTIONS].
func consolesOf(line string) (names []string) {
	for _, a := range cmdline.Parse(line) {
		if name, _, _ := strings.Cut(a.Value, ","); a.Key == "console" && name != "" {
			names = append(names, name)
		}
	}
	return names
}

// builtArguments returns the arguments that the initrd was built with.
func builtArguments() []string {
	flags, err := os.ReadFile("/etc/uinit.flags")
	if err != nil {
		return nil
	}
	return arguments(string(flags))
}

// arguments returns the arguments in a file of u-root's form: one in each line, quoted as in Go. A line that is not, as
// a person writes one, is an argument as it stands. u-root's uflag.FileToArgv panics there, and the kernel with it.
func arguments(flags string) []string {
	var args []string
	for line := range strings.Lines(flags) {
		line = strings.TrimSpace(line)
		if arg, err := strconv.Unquote(line); err == nil {
			line = arg
		}
		if line != "" {
			args = append(args, line)
		}
	}
	return args
}
