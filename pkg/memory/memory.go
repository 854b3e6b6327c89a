// Package memory tells how much memory the running machine has, as proc(5) tells it in /proc/meminfo, and makes files
// that are in it.
package memory

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Info is a moment's state, in bytes.
type Info struct {
	Total     int64 // MemTotal: what the kernel manages, without itself and what firmware keeps
	Available int64 // MemAvailable: what programs can still get without swapping
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
