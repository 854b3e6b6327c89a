// Crasher is the /init of a container whose kernel reserves memory for a second one. It tells what the kernel says
// about microcode, loads the second kernel from the file that the image has, as kdump does, and crashes. Then it is the
// /init of the second kernel, and tells that it has the memory of the first one.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/guest"
)

// The image's kernel, and the initrd for the second one. again is an argument of the second kernel.
const (
	kernel = "/boot/wyrcan.kernel"
	initrd = "/boot/second.initrd"
	again  = "crasher=again"
)

func main() { guest.Main("crasher", run) }

func say(format string, args ...any) { fmt.Printf("crasher: "+format+"\n", args...) }

func run() error {
	words, err := guest.Words()
	if err != nil {
		return err
	}
	if slices.Contains(words, again) {
		core, err := os.Stat("/proc/vmcore")
		if err != nil {
			return err
		}
		say("the second kernel has a core of %d MiB", core.Size()>>20)
		return nil
	}
	if err := tell(); err != nil {
		return err
	}
	if err := load(); err != nil {
		return err
	}
	guest.Drain() // before the kernel says that it crashes
	return os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
}

// tell prints the kernel's lines about microcode, and what is left of its archive. The kernel is silent when a
// processor refuses what came first in the initrd. But it keeps that, and says so when it starts a processor again.
func tell() error {
	for _, state := range []string{"0", "1"} {
		if err := os.WriteFile("/sys/devices/system/cpu/cpu1/online", []byte(state), 0); err != nil {
			return err
		}
	}
	buf := make([]byte, 1<<20)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
	if err != nil {
		return fmt.Errorf("cannot read the kernel's log: %w", err)
	}
	for line := range strings.Lines(string(buf[:n])) {
		if strings.Contains(line, "microcode") || strings.Contains(line, "npacking failed") {
			say("kernel: %s", strings.TrimSpace(line))
		}
	}
	if _, err := os.Lstat("/kernel"); !os.IsNotExist(err) {
		say("/kernel is there: %v", err)
	}
	return nil
}

// load loads the second kernel into the memory that is reserved for it.
func load() error {
	var fds []int
	for _, name := range []string{kernel, initrd} {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		fds = append(fds, int(f.Fd()))
	}
	const line = "console=ttyS0 panic=-1 nr_cpus=1 reset_devices " + again
	if err := unix.KexecFileLoad(fds[0], fds[1], line, unix.KEXEC_FILE_ON_CRASH); err != nil {
		return fmt.Errorf("cannot load %s: %w", kernel, err)
	}
	for _, name := range []string{"kexec_crash_loaded", "kexec_crash_size"} {
		b, err := os.ReadFile("/sys/kernel/" + name)
		if err != nil {
			return err
		}
		say("%s is %s", name, strings.TrimSpace(string(b)))
	}
	return nil
}
