package bundle

import (
	"strconv"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

// setAside returns how many of total bytes the arguments of a kernel take before it unpacks its initramfs, of a machine
// with so much memory in all. They are for a kernel that runs after a crash, for huge pages, and what mem= leaves unused.
func setAside(line string, total, all int64) int64 {
	var crash, huge, unused int64
	size, standard := int64(hugePage), int64(hugePage)
	for _, a := range cmdline.Parse(line) {
		switch a.Key {
		case "crashkernel": // the last one counts; those with ,high and ,low add up
			if n, kind := crashkernel(a.Value, all); kind == "low" {
				crash += n
			} else {
				crash = n
			}
		case "mem":
			if n := memparse(a.Value); n > 0 {
				unused = max(unused, all-n)
			}
		case "default_hugepagesz":
			if n := memparse(a.Value); n > 0 {
				size, standard = n, n
			}
		case "hugepagesz":
			if size = memparse(a.Value); size == 0 {
				size = standard
			}
		case "hugepages":
			huge += pages(a.Value) * size
		}
	}
	return min(max(crash, 0)+max(huge, 0)+max(unused, 0), total)
}

// hugePage is the size of a huge page where nothing says another one, with base pages of 4 KiB.
const hugePage = 2 << 20

// crashkernel returns how much memory an argument reserves on a machine with so much: kernel/crash_core.c,
// parse_crashkernel. kind is what comes after a size: "high", "low", "cma", or nothing.
func crashkernel(value string, all int64) (n int64, kind string) {
	value, _, _ = strings.Cut(value, "@") // the address
	if !strings.Contains(value, ":") {
		value, kind, _ = strings.Cut(value, ",")
		return memparse(value), kind
	}
	// Since Linux 6.2 it rounds the memory up, so that 2 GiB without what the firmware has are 2 GiB.
	const round = 128 << 20
	all = (all + round - 1) &^ (round - 1)
	for part := range strings.SplitSeq(value, ",") {
		where, size, _ := strings.Cut(part, ":")
		from, to, _ := strings.Cut(where, "-")
		if all >= memparse(from) && (to == "" || all < memparse(to)) {
			return memparse(size), ""
		}
	}
	return 0, ""
}

// pages returns a number of huge pages, or the sum for each node: "0:2,1:2".
func pages(value string) (n int64) {
	for part := range strings.SplitSeq(value, ",") {
		if _, of, ok := strings.Cut(part, ":"); ok {
			part = of
		}
		i, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return n
		}
		n += int64(i)
	}
	return n
}

// memparse returns a number of bytes as the kernel reads one: lib/cmdline.c. It is 0 if that is none, and a petabyte at
// most.
func memparse(text string) int64 {
	const most = 1 << 50
	unit := int64(1)
	if n := len(text); n > 0 {
		if i := strings.IndexByte("kmgtp", text[n-1]|0x20); i >= 0 {
			unit, text = 1<<(10*(i+1)), text[:n-1]
		}
	}
	n, err := strconv.ParseUint(text, 0, 62)
	if err != nil {
		return 0
	}
	if n > uint64(most/unit) {
		return most
	}
	return int64(n) * unit
}
