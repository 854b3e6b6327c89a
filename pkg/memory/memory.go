// Package memory reads how much memory the running machine has from /proc/meminfo (proc(5)), and makes files in memory.
package memory

import (
	"bufio"
	"encoding/binary"
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

// BootParams is where an amd64 kernel shows what its boot loader has told it, the header of its own file among that:
// Documentation/arch/x86/boot.rst and zero-page.rst.
const BootParams = "/sys/kernel/boot_params/data"

// Kernel reads, from a file in the form of BootParams, how much memory the running kernel said that it takes for itself
// when it starts (init_size), which is not in Total. It returns 0 if that is not known, as on arm64 or where a boot loader
// has started a kernel by another protocol.
func Kernel(file string) int64 {
	const magic, version, initSize, end = 0x202, 0x206, 0x260, 0x264
	b, err := os.ReadFile(file) // one page
	if err != nil || len(b) < end || string(b[magic:version]) != "HdrS" {
		return 0
	}
	if binary.LittleEndian.Uint16(b[version:]) < 0x20a { // the first with that field
		return 0
	}
	return int64(binary.LittleEndian.Uint32(b[initSize:]))
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
