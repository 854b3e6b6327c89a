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
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/cmdline"
	"github.com/u-root/u-root/pkg/libinit"
	"github.com/u-root/u-root/pkg/ulog"
	"golang.org/x/sys/unix"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("init: ")
	libinit.SetEnv()
	libinit.CreateRootfs()
	// Kernel messages of level notice and below stay in the log and are not printed on the console.
	if err := ulog.KernelLog.SetConsoleLogLevel(ulog.KLogNotice); err != nil {
		log.Printf("cannot keep the kernel's notices off the screen: %v", err)
	}
	libinit.NetInit()
	if err := libinit.InstallAllModules(); err != nil {
		log.Print(err)
	}
	terminal := libinit.WithTTYControl(true)
	consoles := libinit.WithMultiTTY(true, libinit.OpenTTYDevices, cmdline.Consoles())
	quiet := func(string, ...any) {}
	libinit.RunCommands(quiet,
		libinit.Command("/bin/uinit", terminal, consoles, libinit.WithArguments(uinitArguments()...)),
		libinit.Command("/bin/sh", terminal, consoles))
	log.Print("nothing is left to run; the machine reboots")
	unix.Sync()
	time.Sleep(5 * time.Second) // so that people can read the message
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	log.Printf("cannot reboot: %v; please switch the machine off and on", err)
	select {}
}

// uinitArguments returns the arguments of uroot.uinitargs= on the kernel's command line, then those that the initrd was
// built with.
func uinitArguments() []string {
	args := cmdline.GetUinitArgs()
	if flags, err := os.ReadFile("/etc/uinit.flags"); err == nil {
		args = append(args, arguments(string(flags))...)
	}
	return args
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
