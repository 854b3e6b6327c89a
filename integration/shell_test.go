package integration

import "testing"

// TestShell opens the rescue shell after a failure and looks around: the commands
// are there, the kernel's own wish for a module is granted, and leaving reboots.
// (gosh does not take an exit right after a command that failed.)
func TestShell(t *testing.T) {
	t.Parallel()
	v := machine{cmdline: "wyr.debug=shell wyr.img=UPPER/Case"}.start(t)
	v.wait(`press Enter to get a shell`, bootTime+stepTime)
	v.send("\r")
	v.wait(`Leave the shell with exit`, stepTime)
	for _, step := range []struct{ command, want string }{
		{"modprobe no-such-thing", `modprobe: this initrd has no kernel module for "no-such-thing"`},
		{"cat /proc/sys/kernel/modprobe", `^/bbin/modprobe\n`},
		{"ip link add name test0 type dummy && lsmod", `^dummy `},
		{"ip link", `test0: `},
	} {
		v.wait(`^\$ `, stepTime)
		v.send(step.command + "\r")
		v.wait(step.want, stepTime)
	}
	v.never(`dummy0`)
	v.wait(`^\$ `, stepTime)
	v.send("exit\r")
	v.exit(stepTime)
}
