// init is the first process of Wyrcan: what u-root's init is on Linux, without its greeting.
//
// Synopsis:
//
//	init
//
// Description:
//
//	init makes u-root's environment, with the file systems, the devices and the loopback link that every command here
//	expects, and starts the uinit, then the shell. It ignores the words that the kernel gives it, which are those that
//	nobody else knew on the command line. When neither of the two runs any more it reboots the machine: the kernel panics
//	when its first process ends.
//
//	All of it is u-root's libinit. The command of u-root prints its own banner before that, and has no option against it.
package main

import (
	"log"
	"os"
	"time"

	"github.com/u-root/u-root/pkg/cmdline"
	"github.com/u-root/u-root/pkg/libinit"
	"github.com/u-root/u-root/pkg/uflag"
	"github.com/u-root/u-root/pkg/ulog"
	"golang.org/x/sys/unix"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("init: ")
	libinit.SetEnv()
	libinit.CreateRootfs()
	// What the kernel has to say that is no more than a notice stays in its log, and off the screen.
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
	time.Sleep(5 * time.Second) // for whoever reads
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	log.Printf("cannot reboot: %v; please switch the machine off and on", err)
	select {}
}

// uinitArguments are those of uroot.uinitargs= on the kernel's command line, then those that the initrd was built with.
func uinitArguments() []string {
	args := cmdline.GetUinitArgs()
	if flags, err := os.ReadFile("/etc/uinit.flags"); err == nil {
		args = append(args, uflag.FileToArgv(string(flags))...)
	}
	return args
}
