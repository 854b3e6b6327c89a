package kexec

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// span is a stretch of physical memory; to is the first address after it.
type span struct{ from, to uint64 }

// stretch is a stretch of RAM, or what is left of it.
type stretch struct {
	span
	parts bool // whether the kernel lists something inside of it
}

// readRAM returns the RAM that may be filled, as /proc/iomem lists it, from lowest on and in order.
//
// What lies inside a stretch of RAM is left out: a crash kernel and, on arm64, what is reserved. That can be memory
// which the firmware or a device still uses. The kernel lists there what it must not use itself, and what it allocated
// early (arch/arm64/kernel/setup.c, reserve_memblock_reserved_regions); nothing tells one from the other. The running
// kernel itself is not left out.
func readRAM(file string, lowest uint64) ([]stretch, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var ram []stretch
	first := 0 // of what is left of the stretch that was read last
	s := bufio.NewScanner(f)
	for s.Scan() {
		r, name, ok := resource(s.Text())
		switch {
		case !ok || r.to <= lowest:
		case strings.HasPrefix(s.Text(), " "): // a part of the stretch above
			n := len(ram)
			if n == first || r.from >= ram[n-1].to || r.to <= ram[n-1].from {
				continue
			}
			if last := ram[n-1]; !strings.HasPrefix(name, "Kernel ") {
				ram[n-1].to = max(r.from, last.from)
				ram = append(ram, stretch{span: span{min(r.to, last.to), last.to}})
			}
			for i := range ram[first:] {
				ram[first+i].parts = true
			}
		case name == "System RAM":
			first = len(ram)
			ram = append(ram, stretch{span: span{max(r.from, lowest), r.to}})
		default:
			first = len(ram)
		}
	}
	return ram, s.Err()
}

// whole returns the whole pages of ram, in order.
func whole(ram []stretch, page uint64) []span {
	var all []span
	for _, r := range ram {
		if s := (span{roundUp(r.from, page), r.to &^ (page - 1)}); s.from < s.to {
			all = append(all, s)
		}
	}
	return all
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
