package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/compression/foreign"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// room returns how much memory there is for this program: by /proc/meminfo, or what its control groups leave if that is
// less.
func (c *cmd) room() (memory.Info, error) {
	m, err := memory.Read(filepath.Join(c.root, "/proc/meminfo"))
	if err == nil {
		m.Available = min(m.Available, c.group())
	}
	return m, err
}

// control says where one version of control groups has the limit and the use of memory.
type control struct {
	controller, dir     string // its name in /proc/self/cgroup; the directory of its groups
	limit, used         string // names of files
	files, sharedMemory string // keys of memory.stat: all cached files; those of them that exist in memory only
}

// controls returns both versions: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
func controls() []control {
	return []control{
		{"", "/sys/fs/cgroup", "memory.max", "memory.current", "file", "shmem"},
		{
			"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
			"total_cache", "total_shmem",
		},
	}
}

// group returns how much memory the control groups of this program leave to it. In a container, the outermost visible
// group has the container's limit.
func (c *cmd) group() int64 {
	left := int64(math.MaxInt64)
	b, err := os.ReadFile(filepath.Join(c.root, "/proc/self/cgroup"))
	if err != nil {
		return left
	}
	for line := range bytes.Lines(b) {
		// "0::/user.slice", "7:memory:/user.slice"
		part := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		for _, how := range controls() {
			if len(part) < 3 || part[1] != how.controller || !filepath.IsAbs(part[2]) {
				continue
			}
			for dir := filepath.Clean(part[2]); ; dir = filepath.Dir(dir) {
				left = min(left, how.left(filepath.Join(c.root, how.dir, dir)))
				if dir == "/" {
					break
				}
			}
		}
	}
	return left
}

// left returns how much memory one control group has left. Cached files on disks do not count: the kernel drops them
// when memory is needed.
func (how *control) left(dir string) int64 {
	limit, err := number(filepath.Join(dir, how.limit))
	if err != nil {
		return math.MaxInt64 // "max", or none
	}
	used, err := number(filepath.Join(dir, how.used))
	if err != nil {
		return math.MaxInt64
	}
	if f, err := os.Open(filepath.Join(dir, "memory.stat")); err == nil {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			key, value, _ := strings.Cut(s.Text(), " ")
			n, _ := strconv.ParseInt(value, 10, 64)
			switch key {
			case how.files:
				used -= n
			case how.sharedMemory:
				used += n
			}
		}
	}
	return max(0, limit-used)
}

func number(file string) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

// budget is the memory that an image may use on this system, where other programs run too.
func (c *cmd) budget() bundle.Budget {
	return bundle.Budget{
		Read:       c.room,
		Reserve:    64 << 20, // with less the kernel would end other programs, or this one
		Processors: memory.Processors(filepath.Join(c.root, memory.Possible)),
		Kernel:     memory.Kernel(filepath.Join(c.root, memory.BootParams)),
		Remedy:     "end other programs, use a smaller image or add memory",
	}
}

// newBoot returns how this program handles images. Its Kernel is this system's only where a command loads one.
func (c *cmd) newBoot() *boot.Boot {
	return &boot.Boot{Budget: c.budget(), Logf: c.say, Formats: foreign.Formats(), Kernel: c.kernel}
}

// say tells the person one line, whatever strangers have put into the arguments.
func (c *cmd) say(format string, args ...any) {
	fmt.Fprintln(c.stderr, printable.Clip(fmt.Sprintf("wyrcan: "+format, args...), printable.Long))
}

// short reports whether err is about this machine's memory, and so says nothing about the image or about the machine
// that is to boot it.
func short(err error) bool { return errors.As(err, new(*bundle.Shortage)) }
