// Package guest is what the /init programs of test systems have in common. The systems are made of an initramfs or of a
// container's files, and nothing else runs in them.
package guest

import (
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Main is the whole of such a program. It mounts what Mount mounts, calls run, prints its error, if any, after the
// program's name, and powers the machine off.
func Main(name string, run func() error) {
	if os.Getpid() != 1 {
		log.Fatalf("%s: this is the first process of a test system, and of nothing else", name)
	}
	err := Mount()
	if err == nil {
		err = run()
	}
	if err != nil {
		fmt.Printf("%s: %v\n", name, err)
	}
	err = PowerOff()
	fmt.Printf("%s: cannot power off: %v\n", name, err)
	select {} // process 1 must not end: the kernel would panic
}

// Mount mounts proc, sys and dev, unless the kernel or wyrinit has mounted them.
func Mount() error {
	for _, m := range []struct{ fs, dir string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.fs, m.dir, m.fs, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("cannot mount %s: %w", m.dir, err)
		}
	}
	return nil
}

// Silence keeps the kernel's messages off the console, where one could come between two words of the program.
func Silence() error { return os.WriteFile("/proc/sys/kernel/printk", []byte("1"), 0) }

// PowerOff powers the machine off, as soon as the serial line has sent everything. It returns only on failure.
func PowerOff() error {
	Drain()
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// Drain waits until the serial line has sent everything: tcdrain(3).
func Drain() {
	if err := unix.IoctlSetInt(1, unix.TCSBRK, 1); err != nil {
		time.Sleep(time.Second)
	}
}

// Words returns the words of the kernel's command line.
func Words() ([]string, error) {
	line, err := os.ReadFile("/proc/cmdline")
	return strings.Fields(string(line)), err
}
