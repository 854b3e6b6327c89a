package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// group is a control group of the memory controller. It measures the memory of its processes. Memory that they share
// counts once. Shared memory without a name counts too. Page cache does not count: the kernel can take it back. The
// zero value is for machines without such groups and measures nothing.
type group struct{ dir string }

// newGroup makes a group in the unified hierarchy, or in the older one.
func newGroup() group {
	for _, parent := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/memory"} {
		dir := filepath.Join(parent, fmt.Sprintf("wyrcan-bench-%d", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "memory.stat")); err == nil {
			return group{dir}
		}
		os.Remove(dir)
	}
	return group{}
}

// join returns the command with which a shell joins the group.
func (g group) join() string {
	if g.dir == "" {
		return ""
	}
	return "echo $$ >" + g.dir + "/cgroup.procs; "
}

// watch watches the memory of the group. The function that it returns ends that and returns the peak.
func (g group) watch() func() int64 {
	if g.dir == "" {
		return func() int64 { return 0 }
	}
	done := make(chan struct{})
	var wait sync.WaitGroup
	var peak int64
	wait.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				peak = max(peak, g.memory())
			}
		}
	})
	return func() int64 { close(done); wait.Wait(); return peak }
}

// memory returns the anonymous and the shared memory of the group in bytes. The names are those of both hierarchies.
func (g group) memory() int64 {
	f, err := os.Open(filepath.Join(g.dir, "memory.stat"))
	if err != nil {
		return 0
	}
	defer f.Close()
	var sum int64
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), " ")
		switch name {
		case "anon", "rss", "shmem":
			n, err := strconv.ParseInt(value, 10, 64)
			if err == nil {
				sum += n
			}
		}
	}
	return sum
}

func (g group) close() {
	if g.dir != "" {
		os.Remove(g.dir)
	}
}
