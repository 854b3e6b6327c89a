// Witness is the /init of the Debian that package debian boots. It runs before systemd changes anything. It compares
// every path of / with /usr/lib/witness/expected, looks for remains of Wyrcan, prints its findings, and executes
// /sbin/init. With unread=yes on the kernel's command line it compares no path, so that no file is in a cache for it.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
)

const expected = "/usr/lib/witness/expected"

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "witness: this is the first process of a test system, and of nothing else")
		os.Exit(1)
	}
	begin := age()
	looks := []func() error{files, leftovers}
	if os.Getenv("unread") != "" {
		looks = looks[1:]
	}
	for _, look := range looks {
		if err := look(); err != nil {
			say("%v", err)
		}
	}
	took := age() - begin
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		say("cannot tell the processor time: %v", err)
	}
	say("it began %.2f s after the kernel, and took %.2f s; processor time: %.2f s, and %.2f s in the kernel",
		begin.Seconds(), took.Seconds(), time.Duration(used.Utime.Nano()).Seconds(),
		time.Duration(used.Stime.Nano()).Seconds())
	const init = "/sbin/init"
	if err := unix.Exec(init, append([]string{init}, os.Args[1:]...), os.Environ()); err != nil {
		say("cannot start %s: %v", init, err)
	}
}

// age returns for how long the kernel has run.
func age() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		say("cannot read the clock: %v", err)
	}
	return time.Duration(t.Nano())
}

// say prints one line.
func say(format string, args ...any) { fmt.Printf("witness: "+format+"\n", args...) }

// files compares all files of the root.
func files() error {
	f, err := os.Open(expected)
	if err != nil {
		return err
	}
	defer f.Close()
	want, err := report.Parse(f)
	if err != nil {
		return fmt.Errorf("cannot read the expected files: %w", err)
	}
	// Without what is mounted below it: wyrinit mounts a tmpfs on /run.
	const view = "/mnt"
	if err := unix.Mount("/", view, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot bind / to %s: %w", view, err)
	}
	got, err := report.FromDir(view)
	if err != nil {
		return fmt.Errorf("cannot read /: %w", err)
	}
	if err := unix.Unmount(view, 0); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", view, err)
	}
	delete(got, strings.TrimPrefix(expected, "/"))
	for _, builtin := range []string{"dev", "dev/console", "root"} { // from the archive inside the kernel
		if _, ok := want[builtin]; !ok {
			delete(got, builtin)
		}
	}
	diffs := report.Diff(want, got, 20)
	for _, d := range diffs {
		say("%s", d)
	}
	say("%d paths, %d differences", len(got), len(diffs))
	return nil
}

// leftovers prints processes, mounts and files that do not belong to the container, and the kernel's messages about
// unpacking.
func leftovers() error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("cannot mount /proc: %w", err)
	}
	defer unix.Unmount("/proc", 0)

	processes, err := programs()
	if err != nil {
		return err
	}
	say("processes: %s", strings.Join(processes, " "))
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] != "/proc" { // proc_pid_mountinfo(5)
			say("mount: %s", strings.TrimSpace(line))
		}
	}
	if _, err := os.Lstat(handover.Dir); !errors.Is(err, fs.ErrNotExist) {
		say("%s is still there: %v", handover.Dir, err)
	}
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, d := range descriptors {
		if n, err := strconv.Atoi(d.Name()); err == nil && n > 2 {
			if to, err := os.Readlink("/proc/self/fd/" + d.Name()); err == nil && !strings.HasPrefix(to, "/proc/") &&
				!strings.HasPrefix(to, "anon_inode:") {
				say("descriptor %d is open: %s", n, to)
			}
		}
	}
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(info)) {
		if key, _, _ := strings.Cut(line, ":"); slices.Contains([]string{"MemTotal", "MemAvailable", "Shmem"}, key) {
			say("memory: %s", strings.Join(strings.Fields(line), " "))
		}
	}
	return kernelLog()
}

// programs returns the paths of the programs of all processes except kernel threads.
func programs() ([]string, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range dirs {
		if exe, err := os.Readlink(d); err == nil {
			out = append(out, exe)
		}
	}
	return out, nil
}

// kernelLog prints the kernel's messages about the initramfs.
func kernelLog() error {
	buf := make([]byte, 1<<20)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
	if err != nil {
		return fmt.Errorf("cannot read the kernel's log: %w", err)
	}
	for line := range strings.Lines(string(buf[:n])) {
		if strings.Contains(line, "nitramfs") || strings.Contains(line, "initrd memory") {
			say("kernel: %s", strings.TrimSpace(line))
		}
	}
	return nil
}
