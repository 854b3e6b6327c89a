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

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// room reads how much memory there is for this program: what /proc/meminfo says, or what its control group has left.
func (c *cmd) room() (memory.Info, error) {
	m, err := memory.Read(filepath.Join(c.root, "/proc/meminfo"))
	if err == nil {
		m.Available = min(m.Available, c.group())
	}
	return m, err
}

// A control is how a version of control groups tells what one may take and takes.
type control struct {
	controller, dir     string // in /proc/self/cgroup; where its groups are
	limit, used         string // files
	files, sharedMemory string // keys of memory.stat: all files that are cached; those of them that are in memory only
}

// controls are those of Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
func controls() []control {
	return []control{
		{"", "/sys/fs/cgroup", "memory.max", "memory.current", "file", "shmem"},
		{"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache", "total_shmem"},
	}
}

// group returns how much memory the control groups of this program leave to it. In a container the outermost one that is seen
// has the container's limit.
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

// left returns how much memory one control group has left. What it has of files on disks makes room when it is wanted.
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

// shortage is that this machine, not the one that is to boot an image, has too little memory.
type shortage struct{ error }

func (s *shortage) Unwrap() error { return s.error }

func short(err error) bool { return errors.As(err, new(*shortage)) }

// enough returns an error when the memory is about to run out: the kernel would end other programs of this system for it, or
// this one.
func (c *cmd) enough() error {
	m, err := c.room()
	if err == nil {
		err = bundle.EnoughOf(m, 64<<20, "end other programs, use a smaller image or add memory")
	}
	if err != nil {
		return &shortage{err}
	}
	return nil
}

// tooMuch says of layers that are more than this machine may read what would help.
func tooMuch(err error, m memory.Info, disk int64) error {
	if disk > 0 {
		return &shortage{fmt.Errorf("%w: this machine has %d MiB of memory and %d MiB of the disk free; make room there, or use a smaller image", err, m.Available>>20, disk>>20)}
	}
	return &shortage{fmt.Errorf("%w: this machine has %d MiB of memory free, and nothing near as much is in the image as it is stored; use a machine with more memory, or a smaller image", err, m.Available>>20)}
}
