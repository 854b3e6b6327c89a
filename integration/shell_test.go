package integration

import (
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// TestShell opens the rescue shell after a failure. The commands must exist, modules
// that the kernel itself requests must load, and leaving the shell must reboot, also
// after a command that failed.
func TestShell(t *testing.T) {
	t.Parallel()
	v := vm.Machine{Cmdline: "wyr.debug=shell wyr.img=UPPER/Case"}.Start(t)
	v.Wait(`press Enter to get a shell`, bootTime+stepTime)
	v.Send("\r")
	v.Wait(`Leave the shell with exit 0 to reboot`, stepTime)
	for _, step := range []struct{ command, want string }{
		{"cat /proc/sys/kernel/modprobe", `^/bbin/modprobe\n`},
		{"ip link add name test0 type dummy && lsmod", `^dummy `},
		{"ip link", `test0: `},
		{"modprobe no-such-thing", `modprobe: this initrd has no kernel module for "no-such-thing"`},
	} {
		v.Wait(`^\$ `, stepTime)
		v.Send(step.command + "\r")
		v.Wait(step.want, stepTime)
	}
	v.Never(`dummy0`)
	v.Wait(`^\$ `, stepTime)
	v.Send("exit 0\r")
	v.Exit(stepTime)
}
