// Package memory reads how much memory the running machine has from /proc/meminfo (proc(5)), and makes files in memory.
package memory

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Info is how much memory there is at one moment, in bytes.
type Info struct {
	Total     int64 // MemTotal: what the kernel manages, without itself and what the firmware reserves
	Available int64 // MemAvailable: what programs can still use without swapping
}

// Read reads a file in the form of /proc/meminfo.
func Read(file string) (Info, error) {
	f, err := os.Open(file)
	if err != nil {
		return Info{}, fmt.Errorf("cannot tell how much memory there is: %w", err)
	}
	defer f.Close()
	var m Info
	s := bufio.NewScanner(f)
	for s.Scan() {
		// "MemTotal:       16384000 kB"
		key, value, _ := strings.Cut(s.Text(), ":")
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 53)
		if err != nil {
			continue
		}
		switch key {
		case "MemTotal":
			m.Total = kib << 10
		case "MemAvailable":
			m.Available = kib << 10
		}
	}
	if err := s.Err(); err != nil {
		return Info{}, fmt.Errorf("cannot tell how much memory there is: %w", err)
	}
	if m.Total == 0 || m.Available == 0 {
		return Info{}, fmt.Errorf("cannot tell how much memory there is: %s has no MemTotal and MemAvailable", file)
	}
	return m, nil
}
