package integration

import (
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// TestShell opens the rescue shell after a failure, which invalid arguments cause, a lone quote among them. The
// commands must exist, modules that the kernel itself requests must load, and leaving the
// shell must reboot, also after a command that failed. From the shell, a boot from a dead
// registry ends with wyr.deadline.
func TestShell(t *testing.T) {
	t.Parallel()
	v := vm.Machine{
		Kernel: vm.Unpacked(t),
		CPUs:   1,
		Cmdline: `wyr.debug=shell wyr.efi=maybe wyr.net.x=y wyr.imgs=z wyr.root=disk wyr.img="a b" wyr.img=UPPER/Case ` +
			`quote="`,
	}.Start(t)
	v.Step(t, "strange arguments", func(*testing.T) {
		for _, want := range []string{
			`wyr\.efi=maybe is ignored: `, `wyr\.net\.x=y is ignored: `, `wyr\.imgs=z is ignored: .*wyr\.img is the nearest`,
			`wyr\.root=disk is ignored: `, `wyr\.img is given more than once`, `cannot get UPPER/Case: `,
		} {
			v.Wait(`^wyrboot: `+want, bootTime+stepTime)
		}
	})
	v.Wait(`press Enter to get a shell`, stepTime)
	v.Send("\r")
	v.Wait(`Leave the shell with exit 0 to reboot`, stepTime)
	for _, step := range []struct{ command, want string }{
		{"cat /proc/sys/kernel/modprobe", `^/bbin/modprobe\n`},
		{"ip link add name test0 type dummy && lsmod", `^dummy `},
		{"ip link", `test0: `},
		{"echo wyr.deadline=15s wyr.img=10.0.2.2:1/x >/tmp/line && wyrboot -cmdline /tmp/line",
			`^wyrboot: the boot has not come to its end within 15 s \(wyr\.deadline\), it is at the stage pull: ` +
				`cannot get 10\.0\.2\.2:1/x: cannot reach registry 10\.0\.2\.2:1: `},
		{"modprobe no-such-thing", `modprobe: this initrd has no kernel module for "no-such-thing"`},
	} {
		v.Wait(`^\$ `, stepTime)
		v.Send(step.command + "\r")
		v.Wait(step.want, stepTime)
	}
	v.Never(`dummy0`)
	v.Wait(`^\$ `, stepTime)
	v.Send("exit 0\r")
	v.Wait(`^wyrboot: reboots`, stepTime)
	v.Exit(stepTime)
	v.Never(`wyrboot: starts kernel|` + words)
}
