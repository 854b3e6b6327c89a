package kexec

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// span is a stretch of physical memory; to is the first address after it.
type span struct{ from, to uint64 }

// readRAM returns the RAM that may be filled, as /proc/iomem lists it, from lowest on, in order and in whole pages.
//
// What lies inside a stretch of RAM is left out: a crash kernel and, on arm64, what is reserved. That can be memory
// which the firmware or a device still uses. The kernel lists there what it must not use itself, and what it allocated
// early (arch/arm64/kernel/setup.c, reserve_memblock_reserved_regions); nothing tells one from the other. The running
// kernel itself is not left out.
func readRAM(file string, lowest, page uint64) ([]span, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var ram []span
	s := bufio.NewScanner(f)
	for s.Scan() {
		r, name, ok := resource(s.Text())
		n := len(ram)
		switch {
		case !ok || r.to <= lowest:
		// Lines about parts of a stretch are indented.
		case strings.HasPrefix(s.Text(), " "):
			if n > 0 && !strings.HasPrefix(name, "Kernel ") && r.from < ram[n-1].to && r.to > ram[n-1].from {
				last := ram[n-1]
				ram = append(ram[:n-1], span{last.from, max(r.from, last.from)}, span{min(r.to, last.to), last.to})
			}
		case name != "System RAM":
		// A boot loader's setup data is listed as a stretch of RAM of any length.
		case n > 0 && ram[n-1].to == r.from:
			ram[n-1].to = r.to
		default:
			ram = append(ram, span{max(r.from, lowest), r.to})
		}
	}
	for i, r := range ram {
		ram[i] = span{roundUp(r.from, page), r.to &^ (page - 1)}
	}
	ram = slices.DeleteFunc(ram, func(r span) bool { return r.from >= r.to })
	return ram, s.Err()
}

// resource reads a line of /proc/iomem: "00100000-bffd6fff : System RAM".
func resource(line string) (span, string, bool) {
	from, rest, _ := strings.Cut(strings.TrimSpace(line), "-")
	last, name, _ := strings.Cut(rest, " : ")
	a, err1 := strconv.ParseUint(from, 16, 64)
	b, err2 := strconv.ParseUint(last, 16, 64)
	return span{a, b + 1}, name, err1 == nil && err2 == nil && a <= b && b+1 != 0
}

// roundUp rounds n up to a multiple of unit, which is a power of two.
func roundUp(n, unit uint64) uint64 { return (n + unit - 1) &^ (unit - 1) }

// number reads a sysfs file that holds one number.
func number(path ...string) (uint64, error) {
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 0, 64)
}
