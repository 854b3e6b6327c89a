// Payload is the /init of the demo container: the first process of a system that Wyrcan booted.
//
// Description:
//
//	It mounts proc, sys and dev, prints a description of the system, waits for Enter and powers the machine off.
//	With demo=once on the kernel's command line it does not wait.
//
//	Its last line begins with "wyrcan-demo: the container's own words"; "wyrcan demo" waits for it.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/guest"
)

type cmd struct {
	stdin    io.Reader
	stdout   io.Writer
	root     string // "/", or a directory of a test
	prepare  func() error
	poweroff func() error
}

func main() {
	if os.Getpid() != 1 {
		log.Fatal("payload: this program runs only as the first process of a container that Wyrcan boots")
	}
	c := &cmd{stdin: os.Stdin, stdout: os.Stdout, root: "/", prepare: guest.Mount, poweroff: func() error {
		unix.Sync()
		return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}}
	if err := c.run(); err != nil {
		fmt.Printf("wyrcan-demo: %v\n", err)
	}
	select {} // process 1 must not end: the kernel would panic, and the last messages would be lost
}

func (c *cmd) run() error {
	if err := c.prepare(); err != nil {
		return err
	}
	words, err := c.report()
	if err != nil {
		return err
	}
	fmt.Fprintln(c.stdout, "wyrcan-demo: the container's own words: nothing of Wyrcan is left, this system is mine")
	if !slices.Contains(words, "demo=once") {
		fmt.Fprintln(c.stdout, "wyrcan-demo: press Enter to power off")
		if _, err := bufio.NewReader(c.stdin).ReadString('\n'); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return c.poweroff()
}

// report prints a description of the system and returns the words of the kernel's command line.
func (c *cmd) report() ([]string, error) {
	text := func(name string) (string, error) {
		b, err := os.ReadFile(filepath.Join(c.root, name))
		return strings.TrimSpace(string(b)), err
	}
	release, err := text("proc/sys/kernel/osrelease")
	if err != nil {
		return nil, err
	}
	line, err := text("proc/cmdline")
	if err != nil {
		return nil, err
	}
	mounts, err := text("proc/self/mounts")
	if err != nil {
		return nil, err
	}
	memory, err := text("proc/meminfo")
	if err != nil {
		return nil, err
	}
	uptime, err := text("proc/uptime")
	if err != nil {
		return nil, err
	}
	files, err := count(c.root)
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(uptime, " ")
	for _, fact := range [][2]string{
		{"kernel", release + " " + runtime.GOARCH},
		{"command line", line},
		{"root", rootType(mounts)},
		{"memory", field(memory, "MemTotal:") + " in all, " + field(memory, "MemAvailable:") + " available"},
		{"files", fmt.Sprint(files)},
		{"up for", first + " s"},
		{"time", time.Now().UTC().Format(time.DateTime)},
	} {
		fmt.Fprintf(c.stdout, "wyrcan-demo: %-14s%s\n", fact[0], fact[1])
	}
	return strings.Fields(line), nil
}

// rootType returns the type of the file system on /. The last line for / counts, because a mount hides earlier ones.
func rootType(mounts string) string {
	kind := "unknown"
	for line := range strings.Lines(mounts) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "/" {
			kind = f[2]
		}
	}
	return kind
}

// field returns the value of a line of /proc/meminfo.
func field(meminfo, name string) string {
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "unknown"
}

// count returns the number of files in the container's root, without those of proc, sys and dev.
func count(root string) (int, error) {
	n := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		n++
		switch rel, _ := filepath.Rel(root, path); rel {
		case "proc", "sys", "dev":
			return fs.SkipDir
		}
		return nil
	})
	return n, err
}
